"""How values stand in the tables of the state database. No connection is made here.

Names and paths are BLOBs (`os.fsencode`), because a name need not be UTF-8; wall time is in nanoseconds
since 1970. Rows are positional and need no conversion by the driver: everything stored is `bytes`, `int`,
`str` or None.
"""

from __future__ import annotations

APPLICATION_ID = 0x53594E43  # "SYNC" in the file's header, so that `file` and we know it


def below(key: bytes) -> tuple[bytes, bytes]:
    """The range [from, to) of the keys of a directory and of all below it (not for the root).

    A key of something below goes on with a NUL, which no name contains, so a sibling like
    `ab` beside `a` is outside.
    """
    return key, key + b"\x01"


def wide(number: int | None) -> int | bytes | None:
    """The number as SQLite can hold it: 64 bits, or its digits."""
    if number is None or -(1 << 63) <= number < 1 << 63:
        return number
    return str(number).encode()


def unwide(stored: int | bytes | None) -> int | None:
    """The number that `wide` stored."""
    return None if stored is None else int(stored)
