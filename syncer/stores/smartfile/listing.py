"""Listings of SmartFile: complete or an error, pages verified against each other.

A page is a window on a directory that goes on changing: what one page lost, the next may have passed by. So
a listing of several pages is taken until two in a row agree. What is not one whole and
consistent answer is a TransientError, never a short listing: absence is concluded from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from syncer.engine.fingerprint import fingerprint
from syncer.engine.model import BlockedEntry, BlockReason, Entry, Listing
from syncer.engine.paths import is_private
from syncer.errors import NotFound, TransientError, Unreadable
from syncer.stores.http.json import Malformed
from syncer.stores.smartfile import info
from syncer.stores.smartfile.api import Overtaxed, SmartFileApi, SmartFilePage
from syncer.stores.smartfile.info import Info

LARGEST, SMALLEST = 500, 25  # entries of a page; above 500 the service was seen to give up
PASSES = 5
MOST_PAGES = 400_000  # ten million entries of the smallest pages
_ROOM = 128 << 20  # bytes that the entries of one directory may take,
_ENTRY = 900  # and about what one takes
Children = Mapping[str, Info | BlockedEntry]


class SmartFileLister:
    """Lists directories; remembers how large a page the service accepts."""

    def __init__(self, api: SmartFileApi) -> None:
        self._api = api
        self._limit = LARGEST

    def children(self, path: str) -> Children:
        """The items of a directory, private names included. Raises NotFound, Unreadable, TransientError.

        A pass over several pages is believed only if the next one agrees: between two requests an item may
        move to a page that was read already, and would be missing without any sign of it.
        """
        before = b""
        for _ in range(PASSES):
            try:
                taken = self._pass(path)
            except _Moved:
                before = b""
                continue
            if not taken.doubtful or before == (now := _print(taken.children)):
                return taken.children
            before = now
        raise TransientError(f"{path}: it changes faster than it can be listed", path=path)

    def holds_anything(self, path: str) -> bool:
        """Whether anything but our own is in a root. Raises as `children` does."""
        try:
            some = self._api.page(path, 1, SMALLEST).children  # usually enough to know
        except Overtaxed:
            some = ()
        names = (child.get("name") for child in some if isinstance(child, dict))
        if any(isinstance(name, str) and not is_private(name, at_root=True) for name in names):
            return True
        return any(not is_private(name, at_root=True) for name in self.children(path))

    def _pass(self, path: str) -> _Taken:
        limit = self._limit
        first = self._page(path, 1)
        pages, count, room = first.pages, len(first.children), _ROOM
        children: dict[str, Info | BlockedEntry] = {}
        one_page = pages is None or pages <= 1
        room = _add(children, first, path, room, one_page=one_page)
        number = 1
        while pages is not None and number < pages:
            number += 1
            page = self._page(path, number, before=first)
            if self._limit != limit or not page.children:
                raise _Moved
            count += len(page.children)
            room = _add(children, page, path, room, one_page=False)
        if first.total is not None and first.total != count:
            raise _Moved
        return _Taken(children, doubtful=number > 1)

    def _page(self, path: str, number: int, before: SmartFilePage | None = None) -> SmartFilePage:
        while True:
            try:
                page = self._api.page(path, number, self._limit)
                break
            except Overtaxed as refused:
                if self._limit <= SMALLEST:
                    if isinstance(refused.error, TransientError):
                        raise refused.error from None
                    raise Unreadable(str(refused.error), path=path) from None
                self._limit = max(self._limit // 2, SMALLEST)
                if number > 1:
                    raise _Moved from None
            except NotFound:
                if number == 1:
                    raise
                raise _Moved from None
        if page.page not in (None, number) or (page.pages or 0) > MOST_PAGES:
            raise _Moved
        if before is not None and (page.pages, page.total) != (before.pages, before.total):
            raise _Moved
        return page


@dataclass(frozen=True, slots=True)
class _Taken:
    """One pass. A listing of one page shows one moment, and is not doubtful."""

    children: Children
    doubtful: bool


class _Moved(Exception):
    """The pages do not belong together."""


def _add(
    children: dict[str, Info | BlockedEntry], page: SmartFilePage, path: str, room: int, *, one_page: bool
) -> int:
    """Takes a page; the bytes of memory that are left of `room`. Raises Unreadable where there are none.

    A name that is listed twice is blocked; on several pages it shows that items moved between them.
    """
    for document in page.children:
        name, child = _child(document, page.itself.asked_ns)
        if name in children:
            if not one_page:
                raise _Moved
            child = BlockedEntry(BlockReason.CLASH, "the service lists this name twice")
        children[name] = child
        room -= _ENTRY + 8 * len(name)  # in the name and in the path, of up to four bytes a character
        if room < 0:
            raise Unreadable(
                f"{path}: the service lists more in one directory than can be held in memory",
                hint="spread the files over several directories, or leave this one out with `ignore`",
                path=path,
            )
    return room


def _child(document: object, asked_ns: int | None) -> tuple[str, Info | BlockedEntry]:
    try:
        child = info.read(document, asked_ns)
    except Malformed as error:
        if not error.name:
            raise TransientError("the listing holds an entry without a name") from None
        return error.name, BlockedEntry(BlockReason.UNREADABLE, str(error))
    if not child.name:
        raise TransientError("the listing holds an entry without a name")
    try:
        os.fsencode(child.name)
    except UnicodeEncodeError:
        raise Unreadable("the directory holds a name that is no text") from None
    if any("\ud800" <= c <= "\udfff" for c in child.name):  # JSON can hold halves of characters
        return child.name, BlockedEntry(BlockReason.UNSAFE_NAME, "its name is no text")
    return child.name, child


def _print(children: Children) -> bytes:
    """A digest of a pass, to compare it with another."""
    hasher = blake2b()
    for name in sorted(children):
        child = children[name]
        payload = (
            child if isinstance(child, BlockedEntry) else (child.directory, child.directory or child.version)
        )
        hasher.update(repr((name, payload)).encode("utf-8", "surrogatepass"))
    return hasher.digest()


def listing(children: Children, *, at_root: bool) -> Listing:
    """The engine's listing, without private names."""
    entries: dict[str, Entry | BlockedEntry] = {
        name: child if isinstance(child, BlockedEntry) else child.entry()
        for name, child in children.items()
        if not is_private(name, at_root=at_root)
    }
    plain = [(name, entry) for name, entry in entries.items() if isinstance(entry, Entry) and entry.trusted]
    whole = len(plain) == len(entries)
    return Listing(
        entries=entries,
        fingerprint=fingerprint((name, entry.version) for name, entry in plain) if whole else None,
    )
