"""Accounts: the built-in account types, their stores and logins, and the checks of credentials."""
