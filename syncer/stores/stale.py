"""The error of an item whose plan no longer holds: raised inside every store, never to its caller."""


class StaleError(Exception):
    """What stands at a name is not what was planned on: the item is stale, and stays as it is.

    str() says what is so instead.
    """
