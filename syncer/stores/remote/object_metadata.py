"""Values in the metadata of objects (Swift, S3): mtime, digest, executable bit, media type. Pure.

The names of the headers are each service's own (`swift.metadata`, `s3.metadata`). rclone writes the mtime in
the same form to both.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

LONGEST_TARGET = 4095  # bytes of a symlink's target: PATH_MAX without its end
_LONGEST_NUMBER, _DIGITS = 64, 20  # characters; digits before and after the point
_FARTHEST = 1 << 63  # nanoseconds: what a database and every system call can take


def mtime_in(text: str) -> int | None:
    """Nanoseconds since 1970 of a number of seconds, as far as 64 bits hold them; None for anything else."""
    try:
        seconds = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("nan")
    except InvalidOperation:
        return None
    if not seconds.is_finite() or not -_DIGITS <= seconds.adjusted() < _DIGITS:
        # Also 1e999999999, whose digits alone would take the memory of a machine.
        return 0 if seconds.is_finite() and not seconds else None
    nanoseconds = int(seconds * 1_000_000_000)
    return nanoseconds if -_FARTHEST <= nanoseconds < _FARTHEST else None


def mtime_text(mtime_ns: int) -> str:
    """As rclone writes it: seconds with nine decimals."""
    sign, rest = ("-", -mtime_ns) if mtime_ns < 0 else ("", mtime_ns)
    return f"{sign}{rest // 1_000_000_000}.{rest % 1_000_000_000:09}"


def digest_in(text: str, etag: str) -> bytes | None:
    """The BLAKE3-256 of `HEX/ETAG`; None unless the ETag is that of the content."""
    digest, _, of = text.partition("/")
    try:
        found = bytes.fromhex(digest)
    except ValueError:
        return None
    return found if len(found) == 32 and of == etag else None


def digest_text(digest: bytes, etag: str) -> str:
    """What `digest_in` reads."""
    return f"{digest.hex()}/{etag}"


def executable_in(text: str) -> bool | None:
    """Of the text "1" or "0"; None for anything else."""
    return {"1": True, "0": False}.get(text)


def executable_text(executable: bool) -> str:
    """What `executable_in` reads."""
    return "1" if executable else "0"


def plain_type(content_type: str) -> str:
    """A media type without its parameters."""
    return content_type.partition(";")[0].strip().lower()
