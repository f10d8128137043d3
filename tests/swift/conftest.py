"""The real Swift, for the tests of itself."""

from tests.swift.fixtures import cloud, make_swift, rgw, swift

__all__ = ["cloud", "make_swift", "rgw", "swift"]
