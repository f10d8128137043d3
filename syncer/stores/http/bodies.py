"""HTTP bodies: request bodies that can be sent again, multipart forms, bounded reading of responses.

A request body is opened anew for each attempt and never held in memory; a stream that was begun is never sent
again. A response is decompressed piece by piece (urllib3 does so since 2.6), and never assumed to end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncer.errors import PermanentError, TransientError

if TYPE_CHECKING:
    import requests

PIECE = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """`open` returns the bytes from the start each time; `length` in bytes, None if it is not known."""

    open: Callable[[], Iterable[bytes]]
    length: int | None
    content_type: str = "application/octet-stream"


class BodyIterator:
    """A body as requests takes it: iterated once, its length known up front or (None) sent chunked.

    A body with a length is sent with Content-Length, which quotas of the services go by.
    """

    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return (chunk for chunk in self._body.open() if chunk)  # an empty chunk would end a chunked body

    def __len__(self) -> int:
        return self._body.length or 0

    def __bool__(self) -> bool:
        return True  # requests drops a body that is false, also an empty one with a length of 0


def multipart(part: str, filename: str, body: Body, *, before: str = "") -> Body:
    """A form (RFC 7578) with one file, after a JSON `description` part if `before` holds its text.

    `part`, `filename` and `before` are plain ASCII; the names have no quotes.
    """
    boundary = secrets.token_hex(16)
    description = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="description"\r\n'
        f"Content-Type: application/json\r\n\r\n{before}\r\n"
        if before
        else ""
    )
    head = (
        f'{description}--{boundary}\r\nContent-Disposition: form-data; name="{part}"; '
        f'filename="{filename}"\r\nContent-Type: {body.content_type}\r\n\r\n'
    ).encode("ascii")
    tail = f"\r\n--{boundary}--\r\n".encode("ascii")

    def opened() -> Iterator[bytes]:
        yield head
        yield from body.open()
        yield tail

    return Body(
        open=opened,
        length=None if body.length is None else len(head) + body.length + len(tail),
        content_type=f"multipart/form-data; boundary={boundary}",
    )


class Overlarge(PermanentError):
    """The response is larger than the limit for what is held in memory."""


def read_bounded(
    response: requests.Response,
    *,
    max_bytes: int,
    seconds: float,
    what: str,
    about: str = "",
    now: Callable[[], float] = time.monotonic,
) -> bytes:
    """Read all of a response, at most `max_bytes`, within `seconds`; closes the response.

    `what` names the request in messages. Raises Overlarge, TransientError after `seconds`, and what reading
    raises.
    """
    started, data = now(), bytearray()
    try:
        for piece in response.iter_content(PIECE):
            data += piece
            if len(data) > max_bytes:
                raise Overlarge(f"{what}: the response is larger than {max_bytes >> 10} KiB", path=about)
            if now() - started > seconds:
                raise TransientError(f"{what}: the response was not complete after {seconds:g} s", path=about)
    finally:
        response.close()
    return bytes(data)
