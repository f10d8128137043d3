"""Watches folders for changes: reports the directories to scan, never their content."""
