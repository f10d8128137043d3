"""A folder on this machine as one side of a job."""
