"""The service's own ways to fail, as faults; `tests.doubles.faults` has those that any server knows."""

from __future__ import annotations

import json

from tests.doubles.faults import Altered, Answer


def throttled(seconds: float = 0.0, *, after: int | None = None) -> Answer:
    """The old form: 503, `X-Throttle: throttled; next=… sec`. `after`: once so many bytes have arrived."""
    return Answer(
        status=503, headers={"X-Throttle": f"throttled; next={seconds:g} sec"}, body=b"Throttled", after=after
    )


def too_many_requests(
    seconds: int | None = None, *, after: int | None = None, old_header: bool = False
) -> Answer:
    """The new form: 429, `Retry-After` (None: without it, which means a second), maybe the old header too."""
    headers = {"content-type": "application/json"}
    if seconds is not None:
        headers["Retry-After"] = str(seconds)
    if old_header:
        headers["X-Throttle"] = f"throttled; next={seconds or 0} sec"
    return Answer(status=429, headers=headers, body=b'{"detail": "Request was throttled."}', after=after)


def refused(status: int, body: object, *, effect: bool = False) -> Answer:
    """A JSON error of any shape."""
    return Answer(
        status=status,
        headers={"content-type": "application/json"},
        body=json.dumps(body).encode(),
        effect=effect,
    )


def midway(status: int = 400, text: str = "The upload failed.") -> Answer:
    """An upload of version 3 that failed after its status line was sent: 200 with an error inside."""
    return refused(200, {"status": status, "detail": text})


def out_of_space(status: int = 402) -> Answer:
    """The quota is used up, whatever the files add up to."""
    return refused(status, {"detail": "Disk quota exceeded."})


def wrong_checksum() -> Altered:
    """A task's result with every checksum replaced (for a poll: `GET /task/`)."""

    def change(body: bytes) -> bytes:
        answer = json.loads(body)
        inner = answer["result"].get("result", answer["result"])
        sums = inner.get("checksums", {})
        inner["checksums"] = {path: "0" * len(digest) for path, digest in sums.items()}
        return json.dumps(answer).encode()

    return Altered(change=change)


def garbled(position: int = 0) -> Altered:
    """The byte there is another one: in content, a signature or a delta."""

    def change(body: bytes) -> bytes:
        return body[:position] + bytes(b ^ 0xFF for b in body[position : position + 1]) + body[position + 1 :]

    return Altered(change=change)
