"""What a request carries: content that can be opened anew for each try, alone or as a part of a form.

Nothing is held in memory, and a stream that was begun is never sent again: whoever retries opens it afresh.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """`open` gives the bytes from the start each time; `length` is their number, None if nobody knows yet."""

    open: Callable[[], Iterable[bytes]]
    length: int | None
    content_type: str = "application/octet-stream"


class Opened:
    """A body as requests wants it: iterated once, its length known up front or (None) sent chunked."""

    def __init__(self, body: Body) -> None:
        self._chunks = iter(body.open())
        self._length = body.length or 0

    def __iter__(self) -> Iterator[bytes]:
        return (chunk for chunk in self._chunks if chunk)  # an empty chunk would end a chunked body

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True  # empty or not, it is a body


def multipart(part: str, filename: str, body: Body) -> Body:
    """A form with this one file in it (RFC 7578). Both names are ours: plain ASCII without quotes."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"; filename="{filename}"\r\n'
        f"Content-Type: {body.content_type}\r\n\r\n"
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
