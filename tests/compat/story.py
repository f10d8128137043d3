"""What happens between a client and a server in the recordings: every kind of change, on both sides."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

LINES = b"".join(b"%06d the same line but for its number\n" % n for n in range(2_500))
"""Long enough for deltas."""
EDITED = LINES.replace(b"001000 the same", b"001000 another")
EDITED_AGAIN = EDITED.replace(b"002000 the same", b"002000 one more")
_MOMENT = 1_700_000_000  # the mtime of what is written, so that recordings are alike

Change = tuple[str, str, bytes | None]
"""The side, the path, the content (None: deleted)."""

CHAPTERS: Sequence[Sequence[Change]] = (
    [("local", "large", LINES), ("local", "d/small", b"small"), ("local", "gone", b"soon gone")],
    [("local", "large", EDITED), ("local", "gone", None), ("remote", "theirs", b"theirs, edited")],
    [("remote", "theirs", None), ("remote", "large", EDITED_AGAIN), ("local", "d/small", b"larger now")],
    [("remote", "d/new", b"new")],
)
"""Each is followed by a run."""
END = {"large": EDITED_AGAIN, "d/small": b"larger now", "d/new": b"new"}
"""What both sides have at the end."""
TRASH = {"home": [b"theirs", b"theirs, edited", EDITED], "server": [LINES, b"small", b"soon gone"]}
"""What was replaced and deleted by whom."""


def begin(folder: Path) -> None:
    """What the server has before the client comes."""
    write(folder, "theirs", b"theirs")


def write(folder: Path, path: str, content: bytes | None) -> None:
    """One change."""
    place = folder / path
    if content is None:
        place.unlink()
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    os.utime(place, (_MOMENT, _MOMENT))
