"""Listings of Orange Cloud: complete or an error, verified against the cache of known items.

The engine concludes from a listing that a name is absent, and then deletes the other side's file. The API's
listings may be cut short (paging is not documented) and may lag behind a write. So

- a long response is asked for its continuation until no new item comes, and what took several pages is listed
  until two passes agree (`_complete`);
- a name that the cache knows and the listing lacks is looked at by itself, and so is one that this client
  wrote a moment ago and that the listing shows otherwise (`Lister._confirmed`);
- one flat listing serves for a whole tree where ids are paths; a folder that is empty in it is listed by
  itself, since a flat listing that was cut short looks the same (`Lister._surveyed`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from syncer.engine.fingerprint import fingerprint
from syncer.engine.model import BlockedEntry, BlockReason, Entry, Listing, RelPath
from syncer.engine.paths import PRIVATE, is_below, is_private, join, split
from syncer.errors import AuthError, NotFound, PermanentError, PreconditionFailed, TransientError, Unreadable
from syncer.stores.http.bodies import Overlarge
from syncer.stores.http.json import Malformed
from syncer.stores.orange import items as values
from syncer.stores.orange.api import OrangePage
from syncer.stores.orange.cache import FILE, FOLDER, GONE, CachedItem
from syncer.stores.orange.context import Item, OrangeRoot
from syncer.stores.orange.items import DIRECTORY, File, Folder
from syncer.stores.orange.staging import OrangeStaging
from syncer.wire.bounded_json import TooLarge

log = logging.getLogger(__name__)
Children: TypeAlias = Mapping[str, Item | BlockedEntry]
SUSPECT = 20  # items from which on a response may be a first page of several
PASSES = 5
MOST = 60_000  # items of one listing that are held in memory: some 150 MB
LAG_NS = 120 * 10**9  # for so long after a write of ours a listing may show the state before it
FRESH_SECONDS = 60.0  # for so long a flat listing is used
AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """An item of a listing of which only the name can be understood."""

    name: str
    message: str


class OrangeLister:
    """Lists directories.

    Safe to share between threads. `now_ns` is the wall time, which ages our own writes.
    """

    def __init__(self, root: OrangeRoot, staging: OrangeStaging, *, now_ns: Callable[[], int]) -> None:
        self._root = root
        self._staging = staging
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._tree: dict[RelPath, Children] = {}
        self._until = float("-inf")

    def outdated(self) -> None:
        """Forget the flat listing: something was changed since."""
        with self._lock:
            self._tree = {}

    def survey(self) -> None:
        """Get a flat listing of the whole tree, if the service gives one. Raises AuthError."""
        clock = self._root.api.session.clock
        with self._lock:
            until = clock.monotonic() + FRESH_SECONDS
            try:
                self._tree = self._flat()
            except AuthError:
                raise
            except (NotFound, TransientError, PermanentError, PreconditionFailed) as error:
                log.info("no listing of the whole tree: %s", error)
                self._tree = {}
            self._until = until

    def listing(self, path: RelPath) -> Listing:
        """The verified listing of one directory. Raises NotFound, Unreadable, TransientError."""
        try:
            found = self._surveyed(path) or self.children(self._root.at(path))
        except (NotFound, Unreadable):
            raise
        except (PermanentError, PreconditionFailed) as error:
            raise Unreadable(str(error), path=path, hint=error.hint) from error
        if path:
            self._root.cache.put(path, CachedItem(kind=FOLDER))
        return self._shown(path, self._confirmed(path, found))

    def children(self, place: RelPath) -> Children:
        """The items of a folder of the account, private names included. Raises NotFound, StoreError."""
        page = _complete(lambda offset: self._root.page(place, offset=offset))
        found: dict[str, Item | BlockedEntry] = {}
        for item in _items(page):
            _add(found, item)
            if isinstance(item, Folder | File):
                self._root.ids.learn(join(place, item.name), item.id, folder=isinstance(item, Folder))
        return found

    # -- the whole tree ------------------------------------------------------------

    def _surveyed(self, path: RelPath) -> Children | None:
        """A directory of the flat listing, once; None if it has to be listed by itself (an empty one too).

        Once: a second listing of the same directory is asked for because something may have changed.
        """
        with self._lock:
            found = self._tree.pop(path, None)
            fresh = self._root.api.session.clock.monotonic() < self._until
        return found if found and fresh else None

    def _flat(self) -> dict[RelPath, Children]:
        """All directories of the root by a flat listing; nothing where ids do not show where an item is.

        All or nothing: if a single item cannot be placed, a directory that lacks it would look complete.
        """
        root = self._root
        if root.stat("") is None or not root.ids.are_paths:
            return {}
        try:
            page = _complete(lambda offset: root.page(root.base, offset=offset, flat=True))
        except (Overlarge, TooLarge):
            return {}
        places: dict[RelPath, dict[str, Item | BlockedEntry]] = {"": {}}
        items = list(_items(page))
        for item in items:
            if isinstance(item, Folder):
                place = self._place(item)
                if place is None:
                    return {}
                places.setdefault(place, {})
        for item in items:
            place = self._place(item) if isinstance(item, Folder | File) else None
            around = None if place is None else places.get(split(place)[0])
            if around is None:
                return {}
            _add(around, item)
        return {
            path: found for path, found in places.items() if path != PRIVATE and not is_below(path, PRIVATE)
        }

    def _place(self, item: Item) -> RelPath | None:
        """An item's path below the root by its id, if the id ends in the item's name."""
        path, folder = self._root.ids.path_of(item.id), isinstance(item, Folder)
        if path is None or path.endswith("/") is not folder:
            return None
        path, base = path.removesuffix("/"), self._root.base
        if split(path)[1] != item.name or not is_below(path, base):
            return None
        return path[len(base) + 1 :] if base else path

    # -- doubts ----------------------------------------------------------------------

    def _confirmed(self, path: RelPath, found: Children) -> Children:
        """The listing, with every doubtful name replaced by a look at that name.

        This is what makes absence safe: a name that the cache knows is absent only after a look of its own.
        Names that nobody here ever saw can be missing without harm: no base row exists for them, so the
        engine concludes nothing from their absence.
        """
        notes = self._root.cache.of(path)
        doubtful = [name for name, note in notes.items() if self._doubtful(note, found.get(name))]
        for name, note in notes.items():
            if note.kind == GONE and not self._recent(note):
                self._root.cache.drop(join(path, name))
        if not doubtful:
            return found
        known = dict(found)
        for name, item in zip(doubtful, self._asked(path, doubtful), strict=True):
            known.pop(name, None)
            if item is not None:
                known[name] = item
            elif notes[name].kind != GONE:
                self._root.cache.drop(join(path, name))
        return known

    def _doubtful(self, note: CachedItem, shown: Item | BlockedEntry | None) -> bool:
        if shown is None or isinstance(shown, BlockedEntry):
            return shown is None and note.kind != GONE
        if not self._recent(note):
            return False
        if note.kind == GONE:
            return True
        if note.kind == FILE and isinstance(shown, File):
            return note.version not in (b"", shown.version)
        return (note.kind == FOLDER) is not isinstance(shown, Folder)

    def _recent(self, note: CachedItem) -> bool:
        return note.wrote_ns > 0 and 0 <= self._now_ns() - note.wrote_ns <= LAG_NS

    def _asked(self, path: RelPath, names: Sequence[str]) -> Iterable[Item | BlockedEntry | None]:
        def one(name: str) -> Item | BlockedEntry | None:
            try:
                return self._root.stat(join(path, name))
            except (PermanentError, PreconditionFailed) as error:
                return BlockedEntry(BlockReason.UNREADABLE, str(error))

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look") as pool:
            return list(pool.map(one, names))

    def _shown(self, path: RelPath, found: Children) -> Listing:
        entries: dict[str, Entry | BlockedEntry] = {}
        leftovers: list[RelPath] = []
        notes = self._root.cache.of(path)
        for name, child in found.items():
            if is_private(name, at_root=not path):
                if self._staging.is_left_over(name):
                    leftovers.append(join(path, name))
            elif isinstance(child, BlockedEntry):
                entries[name] = child
            else:
                entries[name] = _entry(child, notes.get(name))
        plain = [
            (name, entry) for name, entry in entries.items() if isinstance(entry, Entry) and entry.trusted
        ]
        whole = len(plain) == len(entries) and not leftovers
        print_ = fingerprint((name, entry.version) for name, entry in plain) if whole else None
        return Listing(entries=entries, fingerprint=print_, leftovers=tuple(leftovers))


def _entry(child: Item, note: CachedItem | None) -> Entry:
    if isinstance(child, Folder):
        return DIRECTORY
    known = note is not None and note.version == child.version
    return child.entry(note.digest if known and note is not None else None)


def _complete(fetch: Callable[[int], OrangePage]) -> OrangePage:
    """All pages of a listing.

    A single page was taken at one moment; several are taken until two passes agree, since an item may move
    from a later page to an earlier one between two requests.
    """
    before: object = None
    for _ in range(PASSES):
        page, pages = _passed(fetch)
        now = sorted(map(repr, (*page.files, *page.folders))) if pages > 1 else None
        if pages == 1 or now == before:
            return page
        before = now
    raise TransientError(f"{page.itself.name or 'the root'}: it changes faster than it can be listed")


def _passed(fetch: Callable[[int], OrangePage]) -> tuple[OrangePage, int]:
    """All pages of one pass, and their number.

    It is not documented whether an offset counts files, folders or both together: both offsets are tried
    until neither brings a new item. A pass that ends here has seen every item at least once, whatever is
    counted.
    """
    first, pages = fetch(0), 1
    files = {_id(document): document for document in first.files}
    folders = {_id(document): document for document in first.folders}
    grown = len(files) + len(folders) >= SUSPECT
    while grown:
        grown = False
        for offset in sorted({max(len(files), len(folders)), len(files) + len(folders)}):
            page, before = fetch(offset), len(files) + len(folders)
            for known, documents in ((files, page.files), (folders, page.folders)):
                for document in documents:
                    known.setdefault(_id(document), document)
            if len(files) + len(folders) > MOST:
                raise Overlarge(f"more than {MOST:,} items in one listing")
            if len(files) + len(folders) > before:
                pages, grown = pages + 1, True
                break
    whole = OrangePage(
        itself=first.itself,
        files=tuple(files.values()),
        folders=tuple(folders.values()),
        asked_ns=first.asked_ns,
    )
    return whole, pages


def _id(document: object) -> str:
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else repr(document)


def _items(page: OrangePage) -> Iterator[Item | Odd]:
    for document in page.files:
        yield _understood(lambda document=document: values.file(document, page.asked_ns))  # type: ignore[misc]
    for document in page.folders:
        yield _understood(lambda document=document: values.folder(document))  # type: ignore[misc]


def _understood(read: Callable[[], Item]) -> Item | Odd:
    try:
        return read()
    except Malformed as error:
        if not error.name:
            raise TransientError("the listing holds an item without a name") from None
        return Odd(name=error.name, message=str(error))


def _add(found: dict[str, Item | BlockedEntry], item: Item | Odd) -> None:
    """A name that is listed twice is blocked: neither item can be taken for the file."""
    if item.name in found:
        found[item.name] = BlockedEntry(BlockReason.CLASH, "the service lists this name twice")
    else:
        found[item.name] = (
            BlockedEntry(BlockReason.UNREADABLE, item.message) if isinstance(item, Odd) else item
        )
