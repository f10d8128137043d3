"""`syncer daemon`: keeps all jobs in sync for months, woken by changes on either side."""
