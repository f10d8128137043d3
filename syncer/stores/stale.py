"""StaleError.

An item is not the version that was planned on. Raised inside stores, never to their callers.
"""


class StaleError(Exception):
    """The item is stale and is left as it is; str() says what was found instead."""
