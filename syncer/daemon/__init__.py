"""`syncer daemon`: every job kept in step for months, woken by what happens on either side."""
