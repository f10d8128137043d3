"""Looking at directories from afar: few questions for many listings.

The reconciler asks for one directory after the other, in tree order, and needs few of
them. Those that are known to have changed come in one stream; a directory that nothing is known of comes
with all that is below it. What was sent ahead belongs to one scan, and is handed out once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b

from syncer.engine.interfaces import KnownDirectories
from syncer.engine.model import Listing, RelPath
from syncer.engine.paths import tree_key
from syncer.errors import LocalError, StoreError, TransientError
from syncer.stores.base import ScanBase, with_fingerprint
from syncer.stores.peer.client import PeerClient, parsed
from syncer.stores.peer.large_listings import LARGE, large_listing, weight
from syncer.wire.bounded_json import Json, dumps
from syncer.wire.schema import error_in, listing_in, malformed, path_in, take
from syncer.wire.validation import checked_child, checked_listing, is_encodable

_KEPT = 32 << 20  # bytes of listings that were received and not asked for yet
_KNOWN = 12 << 20  # bytes of one list of known directories
_FEW = 100  # directories whose fingerprints are sent at once, without trying the name of the list
_AHEAD = 2000  # directories of one request

Told = Listing | StoreError | LocalError


class PeerScan(ScanBase):
    """Implements `engine.interfaces.Scan`.

    Listings of the known directories that changed, or that came without a fingerprint, are asked for in
    pieces of `_AHEAD`, by one stream each; a directory that is not known begins a stream of all below it.
    """

    def __init__(self, link: PeerClient, known: KnownDirectories) -> None:
        self._link = link
        self._all = known
        self._known = frozenset(p for p, _ in known)
        self._expect([p for p, print_ in known if print_ is None])
        self._streams: list[_Stream] = []
        self._ready = _Ready()

    def changed(self) -> Sequence[RelPath]:
        """See `engine.interfaces.Scan`; by the name of the list where the server still has it."""
        pairs = with_fingerprint(self._all)
        found = [path for some in _cut(pairs) for path in self._link.retried(partial(self._ask, some))]
        differing = set(found)
        self._expect([p for p, print_ in self._all if print_ is None or p in differing])
        return found

    def _expect(self, directories: Sequence[RelPath]) -> None:
        """These known directories will be listed, in this order."""
        self._wanted = directories
        self._position = {p: at for at, p in enumerate(directories)}

    def _ask(self, pairs: Sequence[tuple[RelPath, bytes]]) -> list[RelPath]:
        told: Json = [[p, print_.hex()] for p, print_ in pairs]
        name = list_name(told)
        few = len(pairs) <= _FEW  # as many as a look at what was heard of has: one question, not two
        answer = (
            {"unknown": True}
            if few
            else self._link.request("changed", {"name": name}, accept_compressed=True)
        )
        if answer.get("unknown"):
            payload: Json = {"name": name, "known": told}
            answer = self._link.request("changed", payload, compress=True, accept_compressed=True)
        changed = {path_in(p) for p in take(answer.get("changed"), list, "a list of directories")}
        return [p for p, _ in pairs if p in changed]

    def list(self, directory: RelPath) -> Listing:
        found = self._ahead(directory)
        return listed(self._link, directory) if found is None else _sound(found)

    def close(self) -> None:
        """Drop what was sent ahead, and end what is still being sent."""
        self._ready.clear()
        while self._streams:
            self._streams.pop().close()

    def _ahead(self, directory: RelPath) -> Told | None:
        """What was sent ahead of the directory, or is in the stream that begins with it."""
        found = self._ready.take(directory)
        if found is None:
            found = next((f for s in self._streams if (f := self._pull(s, directory)) is not None), None)
        if found is None and (stream := self._begin(directory)) is not None:
            self._streams.append(stream)
            found = self._pull(stream, directory)
        return found

    def _begin(self, directory: RelPath) -> _Stream | None:
        """A stream that begins with the directory, where more are likely to be asked for."""
        at = self._position.get(directory)
        if at is not None:
            wanted: list[Json] = [*self._wanted[at : at + _AHEAD]]
            return _Stream(self._link, "list", {"paths": wanted, "mounts": True}) if len(wanted) > 1 else None
        if directory in self._known:
            return None
        return _Stream(self._link, "tree", {"path": directory, "mounts": True})

    def _pull(self, stream: _Stream, directory: RelPath) -> Told | None:
        """Reads on until the directory comes; what comes before it waits until it is asked for."""
        key = tree_key(directory)
        try:
            while stream.next_key is not None and stream.next_key <= key:
                came, listing = stream.pop()
                if came == directory:
                    return listing
                self._ready.add(came, listing)
        except (StoreError, LocalError) as error:
            self._drop(stream)
            if not isinstance(error, TransientError):
                raise
            return None
        if stream.next_key is None:
            self._drop(stream)
        return None

    def _drop(self, stream: _Stream) -> None:
        stream.close()
        self._streams = [s for s in self._streams if s is not stream]


def listed(link: PeerClient, directory: RelPath) -> Listing:
    """One directory, by a request of its own. Raises NotFound, Unreadable, TransientError."""
    found: Told | None = None
    with link.open("list", {"paths": [directory], "mounts": True}, accept_compressed=True) as answer:
        for came, listing in _listings(answer.texts()):
            if came == directory:
                found = listing
    if found is None:
        raise TransientError("the server left out a listing", path=directory)
    return _sound(found)


def _sound(found: Told) -> Listing:
    if isinstance(found, Listing):
        return found
    raise found


class _Stream:
    """A response with many listings; the next one's place in tree order is known before it is taken."""

    def __init__(self, link: PeerClient, call: str, told: Json) -> None:
        self._answer = link.open(call, told, accept_compressed=True)
        self._listings = _listings(self._answer.texts())
        self._next: tuple[RelPath, Told] | None = None
        self.next_key: bytes | None = None
        try:
            self._advance()
        except BaseException:
            self._answer.close()
            raise

    def pop(self) -> tuple[RelPath, Told]:
        """Take the next listing, and read the one after it."""
        assert self._next is not None
        taken = self._next
        self._advance()
        return taken

    def _advance(self) -> None:
        self._next = next(self._listings, None)
        self.next_key = tree_key(self._next[0]) if self._next is not None else None

    def close(self) -> None:
        self._answer.close()


class _Ready:
    """Listings that were not asked for yet; the oldest are dropped if they take too much memory."""

    def __init__(self) -> None:
        self._listings: OrderedDict[RelPath, tuple[Told, int]] = OrderedDict()
        self._size = 0

    def add(self, directory: RelPath, listing: Told) -> None:
        self.take(directory)
        size = 1000 + (weight(listing) if isinstance(listing, Listing) else 0)
        if size > _KEPT:
            return  # it will be requested by itself
        self._listings[directory] = listing, size
        self._size += size
        while self._size > _KEPT:
            _, (_, dropped) = self._listings.popitem(last=False)
            self._size -= dropped

    def take(self, directory: RelPath) -> Told | None:
        taken = self._listings.pop(directory, None)
        if taken is None:
            return None
        self._size -= taken[1]
        return taken[0]

    def clear(self) -> None:
        self._listings.clear()
        self._size = 0


def _listings(lines: Iterator[bytearray]) -> Iterator[tuple[RelPath, Told]]:
    """Yield directory and listing (or error) of each line. Raises PermanentError for a malformed one."""
    for text in lines:
        if len(text) >= LARGE:
            name, value = large_listing(text, checked_child)
            if isinstance(value, Listing):
                yield _directory_in(name), value
            else:
                yield _directory_in(name), error_in(take(value, dict, "a listing").get("error"))
            continue
        match parsed(text):
            case [directory, {"error": error}]:
                yield _directory_in(directory), error_in(error)
            case [directory, listing]:
                yield _directory_in(directory), checked_listing(listing_in(listing))
            case _:
                raise malformed("a listing")


def _directory_in(value: Json) -> RelPath:
    """A path that can be compared in tree order, which is an order of bytes. Raises PermanentError."""
    directory = path_in(value)
    if not is_encodable(directory):
        raise malformed("a path")
    return directory


def _cut(pairs: Sequence[tuple[RelPath, bytes]]) -> Iterator[Sequence[tuple[RelPath, bytes]]]:
    """Cut into pieces that fit a request; the same directories give the same pieces, which have names."""
    start = size = 0
    for at, (directory, _) in enumerate(pairs):
        size += 6 * len(directory) + 64  # a character takes six bytes at most, as JSON escapes it
        if size > _KNOWN or at + 1 == len(pairs):
            yield pairs[start : at + 1]
            start, size = at + 1, 0


def list_name(told: Json) -> str:
    """The name of a list of known directories: BLAKE2b-256 of its JSON without blanks, in hex."""
    return blake2b(dumps(told), digest_size=32).hexdigest()
