"""The form of an upload: what the file is to be, then its bytes (RFC 7578). Nothing is held in memory."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

from syncer.stores.smartfile.bodies import Body


def upload_form(name: str, folder: str, content: Body) -> Body:
    """The description first, as the service wants it; the size in it is text. `name` is plain ASCII.

    `folder` is an id, "" for the root. The content's length must be known.
    """
    boundary = secrets.token_hex(16)
    description = {"name": name, "size": str(content.length or 0)}
    if folder:
        description["folder"] = folder
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="description"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(description)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {content.content_type}\r\n\r\n"
    ).encode("ascii")
    tail = f"\r\n--{boundary}--\r\n".encode("ascii")

    def opened() -> Iterator[bytes]:
        yield head
        yield from content.open()
        yield tail

    return Body(
        open=opened,
        length=len(head) + (content.length or 0) + len(tail),
        content_type=f"multipart/form-data; boundary={boundary}",
    )
