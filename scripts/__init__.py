"""What `make` runs besides the tests; nothing in here is installed."""
