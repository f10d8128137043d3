"""One user's drive: names, contents, dates, ids that are made of paths. Speaks no HTTP."""

from __future__ import annotations

import hashlib
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

from tests.doubles.orange.options import Options

APPLICATION = "mes dossiers partenaires/Syncer/"


class Refused(Exception):
    """What the API answers: HTTP status, code, label."""

    def __init__(self, status: int, code: int, label: str) -> None:
        super().__init__(label)
        self.status, self.code, self.label = status, code, label


@dataclass(frozen=True, slots=True)
class Node:
    """A file (`content`) or a folder (None). Dates in seconds since 1970."""

    content: bytes | None
    date: float = 0.0
    created: float = 0.0


class Drive:
    """Paths have no slash at either end; "" is the root. What users do is seen at once."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.lock = threading.RLock()
        self.clock: Callable[[], float] = time.time
        self.nodes: dict[str, Node] = {}
        self.exists = not options.restricted
        self._listings = 0
        self._before: list[tuple[int, dict[str, Node | None]]] = []

    # -- ids -----------------------------------------------------------------------

    def id_of(self, path: str, *, folder: bool) -> str:
        """A folder's path ends with a slash, the root's is nothing but that."""
        prefix = APPLICATION if self.options.restricted else ""
        full = f"{prefix}{path}/" if folder and path else prefix + path if path else prefix or "/"
        if self.options.opaque_ids:
            return "o" + hashlib.sha256(full.encode()).hexdigest()[:24]
        return urlsafe_b64encode(full.encode()).decode().rstrip("=")

    def find(self, id_: str, *, folder: bool) -> str:
        """The path of what is there by this id."""
        if folder and id_ in ("", self.id_of("", folder=True)):
            if not self.exists:
                raise Refused(404, 60, "Resource not found")
            return ""
        if not self.options.opaque_ids:
            return self._decoded(id_, folder=folder)
        for path, node in self.nodes.items():
            if (node.content is None) is folder and self.id_of(path, folder=folder) == id_:
                return path
        raise Refused(404, 60, "Resource not found")

    def _decoded(self, id_: str, *, folder: bool) -> str:
        try:
            full = urlsafe_b64decode(id_ + "=" * (-len(id_) % 4)).decode()
        except ValueError:
            raise Refused(400, 20, "Invalid URL parameter") from None
        path = full.removeprefix(APPLICATION) if self.options.restricted else full
        node = self.nodes.get(path.removesuffix("/"))
        if node is None or (node.content is None) is not folder or path.endswith("/") is not folder:
            raise Refused(404, 60, "Resource not found")
        return path.removesuffix("/")

    # -- looking -------------------------------------------------------------------

    def view(self) -> dict[str, Node]:
        """All nodes as a listing shows them, which may lag."""
        self._listings += 1
        shown: dict[str, Node | None] = dict(self.nodes)
        self._before = [(until, old) for until, old in self._before if until >= self._listings]
        for _, old in reversed(self._before):
            shown.update(old)
        return {path: node for path, node in shown.items() if node is not None}

    # -- changing, as the API does ---------------------------------------------------

    def make(self, parent: str, name: str) -> str:
        """A folder."""
        name = self._name(name)
        path = _join(parent, name)
        if path in self.nodes:
            if self.options.collisions == "error":
                raise Refused(409, 800, "PDK_CW_0009-ALREADY_EXISTS")
            if self.options.collisions == "overwrite" and self.nodes[path].content is None:
                return path
            path = self._free(path)
        self._remember([path])
        self.nodes[path] = Node(None)
        return path

    def put(self, parent: str, name: str, content: bytes) -> str:
        """A file."""
        name = self._name(name)
        if self.options.largest is not None and len(content) > self.options.largest:
            raise Refused(500, 1, "TOO_BIG_FILE")
        if self.used() + len(content) > self.options.room:
            raise Refused(500, 1, "NO_SPACE_LEFT")
        self.exists = True
        path = self._taken(_join(parent, name))
        self._remember([path])
        now = self.clock()
        self.nodes[path] = Node(content, now, now)
        return path

    def carry(self, origin: str, target: str) -> str:
        """A rename or a move, with all that is below."""
        target = _join(_split(target)[0], self._name(_split(target)[1]))
        if target == origin:
            return origin
        if f"{target}/".startswith(f"{origin}/"):
            raise Refused(403, 800, "PDK_CW_0003-FORBIDDEN_ACCESS")
        target = self._taken(target)
        moving = [p for p in self.nodes if p == origin or p.startswith(f"{origin}/")]
        self._remember([*moving, *(target + p[len(origin) :] for p in moving)])
        for path in moving:
            node = self.nodes.pop(path)
            touched = self.options.touches_date and path == origin and node.content is not None
            date = self.clock() if touched else node.date
            self.nodes[target + path[len(origin) :]] = Node(node.content, date, node.created)
        return target

    def copy(self, origin: str, target: str) -> str:
        """The same content again, at another place."""
        target = self._taken(target)
        for path in [p for p in self.nodes if p == origin or p.startswith(f"{origin}/")]:
            now = self.clock()
            self.nodes[target + path[len(origin) :]] = Node(self.nodes[path].content, now, now)
        return target

    def drop(self, path: str) -> None:
        """For good, and with all that is below."""
        going = [p for p in self.nodes if p == path or p.startswith(f"{path}/")]
        self._remember(going)
        for gone in going:
            del self.nodes[gone]

    def used(self) -> int:
        return sum(len(node.content or b"") for node in self.nodes.values())

    def _name(self, name: str) -> str:
        name = self.options.renamed(name)
        if not name or "/" in name or "\0" in name:
            raise Refused(400, 24, "Invalid body field: name")
        return name

    def _taken(self, path: str) -> str:
        if path not in self.nodes:
            return path
        if self.options.collisions == "error":
            raise Refused(409, 800, "PDK_CW_0009-ALREADY_EXISTS")
        if self.options.collisions == "rename":
            return self._free(path)
        self.drop(path)
        return path

    def _free(self, path: str) -> str:
        number = 1
        while f"{path} ({number})" in self.nodes:
            number += 1
        return f"{path} ({number})"

    def _remember(self, paths: list[str]) -> None:
        if self.options.lag:
            old = {path: self.nodes.get(path) for path in paths}
            self._before.append((self._listings + self.options.lag, old))


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name
