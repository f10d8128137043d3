"""The root of a store: a container, or a prefix in one. `.syncer/root-id` holds its identity.

With a prefix it is there as long as anything below it is, or a marker of its own.
"""

from __future__ import annotations

import threading

from syncer.engine.interfaces import RootState
from syncer.engine.model import Kind
from syncer.errors import NotFound, PermanentError, TransientError, Unreadable
from syncer.stores.swift import metadata
from syncer.stores.swift.capabilities import container
from syncer.stores.swift.client import Call
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.objects import Objects

SETTLING = 2.0  # seconds after which the marker of another machine's first run shows
_LONGEST = 1 << 10  # bytes of a marker
_REFUSED = 412


class Root:
    """Safe to share between threads."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._heeded: bool | None = None
        self._occupied = False  # seen before: a run asks about its root several times

    @property
    def _place(self) -> ContainerPath:
        return self._objects.place

    @property
    def _id(self) -> str:
        return self._place.private + "root-id"

    def state(self) -> RootState | None:
        """The state of the root; None if there is none. Raises StoreError."""
        try:
            return self._state()
        except PermanentError as error:
            raise self._refused(error) from error

    def _refused(self, error: PermanentError) -> PermanentError:
        """What was wrong, in the words of the container, where the service refuses that."""
        call = Call(method="HEAD", path=self._place.url(), accept=(400, 403, 404))
        status, name = self._objects.connection.ask(call).status, self._place.container
        if status == 400:
            return PermanentError(
                f"{name}: the service refuses this container name",
                hint="3 to 63 small letters, digits, '-' and '.' are a name that every service takes",
            )
        if status == 403:
            return Unreadable(
                f"{name}: not allowed to read this container, which may be another account's (403)",
                hint="take another container, or ask its owner for access",
            )
        return error

    def _state(self) -> RootState | None:
        marker = self._marker()
        if marker and self._occupied:
            return RootState(marker=marker, device="", empty=False)
        try:
            empty = not self._content()
        except NotFound:
            return None
        self._occupied = not empty
        name = self._place.prefix.removesuffix("/")
        if not marker and empty and name:  # a container exists by itself, a prefix by its marker
            head = self._objects.head(name, newest=True)
            if head is None or head.kind(name) is not Kind.DIRECTORY:
                return None
        return RootState(marker=marker, device="", empty=empty)

    def stands(self) -> bool:
        """Whether there is a root. Raises StoreError."""
        return self.state() is not None

    def create(self) -> None:
        """The container, and a marker for the prefix. Raises StoreError."""
        connection = self._objects.connection
        if container(connection, self._place) is None:
            connection.ask(Call(method="PUT", path=self._place.url(), body=b""))
        name = self._place.prefix.removesuffix("/")
        if not name:
            return
        # One look: between two, another machine's first run may make the directory.
        head = self._objects.head(name, newest=True)
        if head is None:
            self._objects.put(name, b"", content_type=metadata.MARKER, only_new=True)
        elif head.kind(name) is not Kind.DIRECTORY:
            raise PermanentError(f"{self._place.container}/{name} is an object, and no directory")

    def mark(self, marker: str, *, only_first: bool = False) -> None:
        """Writes the identity, and reads it again; `only_first`: one that is there stands. Raises StoreError.

        A cluster that does not heed the condition keeps the last one of several that are written at once: all
        who wrote wait until the others have, and the caller takes what is there then.
        """
        reply = self._objects.put(self._id, marker.encode(), only_new=only_first)
        if not only_first:
            if self._marker() != marker:
                raise TransientError("the root's identity was written by somebody else at the same time")
        elif reply.status != _REFUSED and not self._heeds(marker):
            # RACE: somebody who saw no marker, and writes one later than that.
            self._objects.connection.clock.sleep(SETTLING)

    def _heeds(self, marker: str) -> bool:
        """Whether the condition is heeded: tried on a marker that is there."""
        with self._lock:
            reply = self._objects.put(self._id, marker.encode(), only_new=True)
            self._heeded = reply.status == _REFUSED
            return self._heeded

    def heeds_new(self) -> bool:
        """Whether a PUT with `If-None-Match: *` is refused where the name is taken; tried on the identity.

        A cluster that does not heed it writes there what is there already.
        """
        with self._lock:
            known = self._heeded
        if known is not None:
            return known
        marker = self._marker()
        return bool(marker) and self._heeds(marker)

    def _marker(self) -> str:
        try:
            with self._objects.get(self._id, end=_LONGEST) as answer:
                return answer.read().decode("utf-8", "replace").strip() if answer.status < 300 else ""
        except NotFound:
            return ""

    def _content(self) -> bool:
        """Whether anything but our own is there. Raises NotFound where there is no container."""
        place = self._place
        if self._objects.rows(prefix=place.prefix, marker=place.behind_private, limit=1):
            return True
        rows = self._objects.rows(prefix=place.prefix, end=place.private, limit=2)
        return any(row.name != place.prefix for row in rows)
