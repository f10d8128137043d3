"""What rclone tells of files and directories, read from its JSON with nothing believed.

Pure. A name that could lead elsewhere, or is there twice, is an item with a `problem`: it is reported and
never touched. An item outside of what was asked for spoils the whole answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from syncer.engine.paths import is_name, join
from syncer.errors import PermanentError

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file or directory. `size` in bytes (0 of a directory), `mtime_ns` since 1970, None where not told.

    `hashes` by rclone's names (`md5`, `sha1`, ...), in hex; `ident` is the service's own id for this
    version, or "". `problem` says why it must be left alone; "" where it need not.
    """

    name: str
    is_directory: bool
    size: int
    mtime_ns: int | None
    hashes: Mapping[str, str]
    metadata: Mapping[str, str]
    ident: str = ""
    problem: str = ""


def parse_item(document: object, path: str) -> Item:
    """The item that `operations/stat` tells of `path`. Raises PermanentError."""
    item, where = _item(document)
    if where != path:
        raise PermanentError(f"rclone tells of {where!r} where it was asked for {path!r}", path=path)
    return item


def parse_listing(documents: object, directory: str) -> list[Item]:
    """The items of `operations/list` for one directory. Raises PermanentError."""
    if not isinstance(documents, list):
        raise PermanentError("rclone lists something else than items", path=directory)
    items = []
    for document in documents:
        item, where = _item(document)
        if where != join(directory, item.name):
            raise PermanentError(f"rclone lists {where!r} in the directory {directory!r}", path=directory)
        items.append(item)
    count = Counter(item.name for item in items)
    return [
        replace(item, problem="several files have this name: see `rclone dedupe`")
        if count[item.name] > 1
        else item
        for item in items
    ]


def _item(document: object) -> tuple[Item, str]:
    """One item, and the path that it claims."""
    if not isinstance(document, dict):
        raise PermanentError("rclone tells of something else than an item")
    name, where, size = document.get("Name"), document.get("Path"), document.get("Size")
    if not isinstance(name, str) or not isinstance(where, str):
        raise PermanentError("rclone tells of an item without a name")
    is_directory = document.get("IsDir") is True
    mtime_ns = time_ns(document.get("ModTime"))
    length = size if isinstance(size, int) and not isinstance(size, bool) else -1
    problem = ""
    if name and not is_name(name):
        problem = "not a name"
    elif "\ufffd" in name:
        problem = "the name is not UTF-8, and rclone cannot ask for it"
    elif not is_directory and length < 0:
        problem = "it has no size (a document of the service itself?)"
    return Item(
        name=name,
        is_directory=is_directory,
        size=0 if is_directory else max(length, 0),
        mtime_ns=mtime_ns,
        hashes=_texts(document.get("Hashes")),
        metadata=_texts(document.get("Metadata")),
        ident=next((i for i in (document.get("ID"), document.get("OrigID")) if isinstance(i, str)), ""),
        problem=problem,
    ), where


def time_ns(text: object) -> int | None:
    """Nanoseconds since 1970 from RFC 3339 with up to nine decimals; None where it is no time."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return None
    try:
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    except ValueError:
        return None
    seconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // _SECOND
    return seconds * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


_SECOND = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)


def _texts(document: object) -> Mapping[str, str]:
    if not isinstance(document, dict):
        return {}
    return {k.lower(): v for k, v in document.items() if isinstance(k, str) and isinstance(v, str) and v}


def as_json(document: Any) -> Mapping[str, Any]:
    """An object, or an empty one."""
    return document if isinstance(document, dict) else {}
