"""The stored files: bytes in memory, with the server's time and the client's attributes.

It knows nothing of HTTP except what it refuses. Tests use it behind the client's back; every method
takes the lock, so that a second client can act at any moment.
"""

from __future__ import annotations

import mimetypes
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.doubles.smartfile.options import Options
from tests.doubles.smartfile.refusals import detail, missing


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """A file, or (`content` is None) a directory."""

    id: int
    name: str
    parent: Node | None
    content: bytes | None
    time: float  # seconds since 1970, when the server wrote it
    uploaded: float = 0.0
    attributes: dict[str, str] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    size: int = 0  # a directory's is that of everything below it
    kind: str | None = None  # a type other than the one its name suggests

    @property
    def isdir(self) -> bool:
        return self.content is None

    @property
    def path(self) -> str:
        """Absolute, without a slash at the end; "/" for the root."""
        if self.parent is None:
            return "/"
        above = self.parent.path
        return f"{'' if above == '/' else above}/{self.name}"

    @property
    def mime(self) -> str:
        if self.isdir:
            return "application/x-directory"
        return self.kind or mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    def within(self, other: Node) -> bool:
        """Whether it is `other` or stands below it."""
        return self is other or (self.parent is not None and self.parent.within(other))


def names(path: str) -> list[str]:
    """The names along a path; slashes at the ends and repeated ones do not count."""
    return [name for name in path.split("/") if name]


class Tree:
    """Paths are absolute with "/" between names; what a method cannot do it refuses (`Refused`)."""

    def __init__(self, options: Options) -> None:
        self.lock = threading.RLock()
        self.clock: Callable[[], float] = time.time
        self.history: list[tuple[float, str, str]] = []  # when, what, which path
        self._options = options
        self._last_id = 70
        self.root = self._node("", None, None)

    def look(self, path: str) -> Node | None:
        """What stands there."""
        with self.lock:
            node = self.root
            for name in names(path):
                below = node.children.get(self._key(name))
                if below is None:
                    return None
                node = below
            return node

    def find(self, path: str) -> Node:
        """The same, or 404."""
        node = self.look(path)
        if node is None:
            raise missing(path)
        return node

    def walk(self, top: Node | None = None) -> Iterator[Node]:
        """Everything below, parents first, by name."""
        for node in sorted((top or self.root).children.values(), key=lambda node: node.name):
            yield node
            yield from self.walk(node)

    def mkdir(self, path: str) -> Node:
        """With its parents; one that exists is fine. 409 where a file is in the way."""
        with self.lock:
            node = self.root
            for name in _sound(names(path)):
                below = node.children.get(self._key(name))
                if below is None:
                    below = self._hang(self._node(name, node, None))
                    self._note("mkdir", below.path)
                if not below.isdir:
                    raise detail(409, f"A file is in the way: {below.path}")
                node = below
            return node

    def put(self, folder: str, name: str, content: bytes, *, kind: str | None = None) -> Node:
        """A whole file, new or replaced. 409: no such directory; 415: a directory has that name."""
        with self.lock:
            parent = self.folder(folder)
            _sound([name])
            old = parent.children.get(self._key(name))
            if old is None:
                node = self._node(name, parent, b"")
                self._afford(len(content))
                self._hang(node)
            else:
                node = old
            self.overwrite(node, content, "overwrite")
            node.kind = kind or node.kind
            node.uploaded = self.clock()
            return node

    def folder(self, path: str) -> Node:
        """A directory that must exist: 409."""
        node = self.look(path)
        if node is None or not node.isdir:
            raise detail(409, f"The directory does not exist: {path}")
        return node

    def overwrite(self, node: Node, content: bytes, how: str) -> None:
        """Other content for a file that stands there; `how` settles whether its attributes survive."""
        with self.lock:
            if not self._stands(node):
                raise missing(node.path)
            if node.content is None:
                raise detail(415, f"It is a directory: {node.path}")
            self._afford(len(content) - len(node.content))
            self._grow(node, len(content) - len(node.content))
            node.content = content
            node.time = self.clock()
            if how not in self._options.attributes_survive:
                node.attributes.clear()
            self._note("write", node.path)

    def remove(self, node: Node) -> None:
        """With all below it; nothing if it is gone already."""
        with self.lock:
            if not self._stands(node):
                return
            self._note("remove", node.path)
            self._unhang(node)

    def move(self, node: Node, parent: Node, name: str, how: str) -> Node:
        """To another directory or name; the caller has seen to it that the name is free."""
        with self.lock:
            if parent.within(node):
                raise detail(400, f"{node.path} cannot be moved into itself")
            _sound([name])
            old = node.path
            self._unhang(node)
            node.parent, node.name = parent, name
            self._hang(node)
            if how not in self._options.attributes_survive:
                node.attributes.clear()
            self._note(how, f"{old} {node.path}")
            return node

    def copy(self, node: Node, parent: Node, name: str) -> Node:
        """With all below it."""
        with self.lock:
            self._afford(node.size)
            twin = self._node(name, parent, node.content)
            twin.size = 0 if node.isdir else node.size
            twin.kind = node.kind
            if "copy" in self._options.attributes_survive:
                twin.attributes = dict(node.attributes)
            below = list(node.children.values())
            self._hang(twin)
            self._note("copy", twin.path)
            for child in below:
                self.copy(child, twin, child.name)
            return twin

    def _stands(self, node: Node) -> bool:
        """Nobody removed it meanwhile, nor a directory above it."""
        while node.parent is not None:
            if node.parent.children.get(self._key(node.name)) is not node:
                return False
            node = node.parent
        return node is self.root

    def _node(self, name: str, parent: Node | None, content: bytes | None) -> Node:
        self._last_id += 1
        size = len(content or b"")
        return Node(id=self._last_id, name=name, parent=parent, content=content, time=self.clock(), size=size)

    def _hang(self, node: Node) -> Node:
        assert node.parent is not None
        node.parent.children[self._key(node.name)] = node
        self._grow(node.parent, node.size)
        return node

    def _unhang(self, node: Node) -> None:
        assert node.parent is not None
        del node.parent.children[self._key(node.name)]
        self._grow(node.parent, -node.size)

    def _grow(self, node: Node | None, size: int) -> None:
        while node is not None:
            node.size += size
            node = node.parent

    def _afford(self, more: int) -> None:
        if more > 0 and self.root.size + more > self._options.disk_limit:
            raise detail(self._options.quota_status, "Disk quota exceeded.")

    def _key(self, name: str) -> str:
        return name.casefold() if self._options.case_blind else name

    def _note(self, what: str, path: str) -> None:
        self.history.append((self.clock(), what, path))


def _sound(parts: list[str]) -> list[str]:
    for name in parts:
        if name in ("", ".", "..") or "/" in name or "\x00" in name:
            raise detail(400, f"Invalid name: {name!r}")
    return parts
