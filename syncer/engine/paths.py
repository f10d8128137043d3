"""Relative paths as strings: which are paths at all, how they sort, fold and combine.

Pure. A path is "" (the root) or names joined by "/"; see `engine.model.RelPath`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime

from syncer.engine.interfaces import Capabilities
from syncer.engine.model import RelPath

PRIVATE = ".syncer"  # at the root: marker and trash
ROOT_ID = "root-id"  # the marker in it
TRASH = "trash"  # the trash in it, if it is there
NAME_MAX = 255  # bytes of a name, as most file systems have it
TEMPORARY = ".syncer-tmp-"  # prefix of a name that is being staged
_DEVICE = re.compile("con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3]", re.IGNORECASE)
_CONFLICT_MARK = re.compile(r"\.sync-conflict-\d{8}-\d{6}-[A-Za-z0-9_-]+(?=\.[^.]*$|$)", re.ASCII)
_IGNORABLE = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


def join(directory: RelPath, name: str) -> RelPath:
    """The path of a name in a directory."""
    return f"{directory}/{name}" if directory else name


def split(path: RelPath) -> tuple[RelPath, str]:
    """The directory a path stands in, and its name there."""
    directory, _, name = path.rpartition("/")
    return directory, name


def parts(path: RelPath) -> list[str]:
    """The names a path is made of; none for the root."""
    return path.split("/") if path else []


def is_below(path: RelPath, directory: RelPath) -> bool:
    """Whether `path` is somewhere below `directory` (not the same)."""
    return path != directory and (not directory or path.startswith(directory + "/"))


def upwards(path: RelPath) -> Iterator[RelPath]:
    """The path and every directory above it, the root last."""
    while path:
        yield path
        path = split(path)[0]
    yield ""


def depth(path: RelPath) -> int:
    """How many names a path is made of."""
    return path.count("/") + 1 if path else 0


def tree_key(path: RelPath) -> bytes:
    """Sorts a directory before what is below it, and that before its next sibling."""
    return os.fsencode(path).replace(b"/", b"\0")


def directory_key(path: RelPath) -> tuple[bytes, str]:
    """Sorts paths directory by directory, so that each is opened once; directories in tree order."""
    directory, name = split(path)
    return tree_key(directory), name


def look_alike(name: str) -> str:
    """What a careless reader or file system takes the name for: NFKC, case folded, all visible."""
    return unicodedata.normalize("NFKC", _IGNORABLE.sub("", name)).casefold()


def is_private(name: str, *, at_root: bool) -> bool:
    """Whether the name is one of ours: it is never listed, synced or taken from a peer."""
    if name.startswith(TEMPORARY):
        return True
    return at_root and name == PRIVATE


def is_name(name: str) -> bool:
    """Whether it is one part of a path at all."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def unsafe(name: str, *, at_root: bool) -> str:
    """Why no side may ever be given this name; "" if it may."""
    if name in ("", ".", ".."):
        return "not a name"
    if "/" in name or "\0" in name:
        return "contains a slash or a NUL"
    alike = look_alike(name) if not name.isascii() or not name.islower() else name
    if alike.startswith(TEMPORARY) or (at_root and alike == PRIVATE):
        return "could be taken for one of Syncer's own files"
    return ""


def unholdable(name: str, able: Capabilities) -> str:
    """Why a store with these capabilities cannot hold the name; "" if it can."""
    if len(os.fsencode(name)) > able.max_name_bytes:
        return f"the name is longer than {able.max_name_bytes} bytes"
    if not able.any_bytes and not _is_utf8(name):
        return "the name is not UTF-8"
    if able.reserves_private and not (name.isascii() and name[0] != ".") and look_alike(name) == PRIVATE:
        return "it keeps names like this one for itself"
    bad = next((c for c in able.forbidden if c in name), "")
    if bad:
        return f"the name contains {bad!r}"
    if able.forbidden_ends and name.endswith(tuple(able.forbidden_ends)):
        return f"the name ends in {name[-1]!r}"
    if able.reserved_names and _DEVICE.fullmatch(name.partition(".")[0].rstrip(" ")):
        return "the name is that of a DOS device"
    return ""


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def fold(name: str, *, case: bool, form: bool) -> str:
    """The name as a side knows it that does not tell case or Unicode form apart."""
    if form:
        name = unicodedata.normalize("NFC", name)
    return name.casefold() if case else name


def conflict_name(name: str, *, mtime_ns: int, host: str, attempt: int = 0, longest: int = NAME_MAX) -> str:
    """`stem.sync-conflict-YYYYMMDD-HHMMSS-HOST.ext`, at most `longest` bytes long.

    Made from the losing file's own mtime (UTC), so that a run that was killed half-way
    makes the same name again. A leading dot belongs to the stem. The copy of a copy is named after the
    original: a file in conflict again and again would else grow a longer name each time.
    """
    name = original_of(name)
    seconds = min(max(mtime_ns // 1_000_000_000, 0), 253_402_300_799)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d-%H%M%S")
    stem, dot, extension = name.rpartition(".")
    if not stem.strip("."):
        stem, dot, extension = name, "", ""
    again = f"-{attempt + 1}" if attempt else ""
    mark = f".sync-conflict-{moment}-{_plain(host)}{again}"
    room = longest - len(os.fsencode(mark + dot + extension))
    if room < 1:
        stem, dot, extension, room = name, "", "", longest - len(os.fsencode(mark))
    return _cut(stem, room) + mark + dot + extension


def original_of(name: str) -> str:
    """The name without what earlier conflicts put into it."""
    while (shorter := _CONFLICT_MARK.sub("", name)) not in ("", name):
        name = shorter
    return name


def is_conflict_name(name: str, *, of: str) -> bool:
    """Whether `conflict_name` may have made this of the other name, on whatever machine."""
    return _CONFLICT_MARK.search(name) is not None and original_of(name) == original_of(of)


def _plain(host: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", host)[:40] or "host"


def _cut(text: str, room: int) -> str:
    """As much of the text as fits `room` bytes, cut between characters."""
    while len(os.fsencode(text)) > room:
        text = text[:-1]
    return text


def printable(path: RelPath) -> str:
    """The path for people: control, bidi and undecodable characters escaped."""
    if path.isprintable():
        return path
    return "".join(c if c.isprintable() or c == " " else _escape(c) for c in path)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # PEP 383: one undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
