"""Different versions of Syncer with each other: what was released, today's, and tomorrow's."""
