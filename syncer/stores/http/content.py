"""What an answer holds, read within bounds: of size, of time, and of what its values take.

Everything is unpacked as it comes (urllib3 does so piece by piece since 2.6); none of it is believed to end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from syncer.errors import PermanentError, TransientError

if TYPE_CHECKING:
    import requests

PIECE = 256 << 10


class Overlarge(PermanentError):
    """The answer is longer than is worth holding in memory."""


def whole(
    response: requests.Response,
    *,
    most: int,
    seconds: float,
    what: str,
    about: str = "",
    now: Callable[[], float] = time.monotonic,
) -> bytes:
    """All of the content, `most` bytes of it, within `seconds`. The answer is over afterwards.

    Raises Overlarge, TransientError where it drips for longer, and what reading does.
    """
    started, data = now(), bytearray()
    try:
        for piece in response.iter_content(PIECE):
            data += piece
            if len(data) > most:
                raise Overlarge(f"{what}: the answer has no end ({most >> 10} KiB would do)", path=about)
            if now() - started > seconds:
                raise TransientError(f"{what}: the answer takes for ever ({seconds:g} s)", path=about)
    finally:
        response.close()
    return bytes(data)
