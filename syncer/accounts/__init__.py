"""Accounts: how each service is logged in to, and the stores that are built from an account."""
