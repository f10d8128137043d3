"""Stores for tests: in memory, and with scripted failures."""
