"""Signatures, deltas and block indexes: the rsync algorithm, and librsync."""
