"""Syncer: a two-way file synchroniser that sends only what changed.

The package's public face is the command line (`syncer`, `python -m syncer`);
its layout and the direction of its imports are described in ARCHITECTURE.md.
"""

__version__ = "0.1.0"
