"""Noticing that something happens in a folder: where to look, never what is there."""
