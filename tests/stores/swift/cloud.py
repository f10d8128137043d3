"""A job between a folder and a container, where a test is a user of the command line on both sides.

`CloudWorld` is the `World` of two folders with a container of the real Swift as its remote. Long contents are
told by their digest, and an object that a listing shows unchanged is not fetched again.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from syncer.engine.paths import PRIVATE
from tests.contract.swift_rig import Hands
from tests.swift.server import Swift
from tests.world import Node, Ran, Snapshot, World, call, every_content, snapshot

PREFIX = "docs/"
LONG = 4096  # bytes from which on a content is told by its digest
DIRECTORY, SYMLINK = "application/directory", "inode/symlink"


def brief(data: bytes) -> bytes:
    """What tells a content from others."""
    return data if len(data) < LONG else b"blake3 " + blake3(data).digest()


def write_config(file: Path, swift: Swift, home: Path, remote: str, **keys: str) -> None:
    """A job "it" from `home/local` to a place in the account "cloud"; `keys` as TOML text."""
    lines = [f'state_dir = "{home}/state"', "[accounts.cloud]", 'type = "swift"', 'auth = "v1"']
    lines += [f'auth_url = "{swift.auth_url}"', f'user = "{swift.user}"', f'key = "{swift.key}"']
    lines += ["[jobs.it]", f'local = "{home}/local"', f'remote = "cloud:{remote}"', "settle = 0"]
    lines += [f"{key} = {value}" for key, value in keys.items()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file.chmod(0o600)


class CloudWorld(World):
    """`hands` work in the container as another tool does, `segments` in that of its segments."""

    def __init__(self, home: Path, swift: Swift, **keys: str) -> None:
        self.swift, self.container = swift, swift.fresh_name()
        url, token = swift.log_in()
        self.hands = Hands(url, token, self.container)
        self.segments = Hands(url, token, f"{self.container}_segments")
        self._fetched: dict[tuple[str, str, str], Node] = {}
        super().__init__(home, **keys)

    def configure(self, remote: str = "", **keys: str) -> None:
        """Write the config file anew."""
        write_config(self.config, self.swift, self.home, remote or f"{self.container}/{PREFIX}", **keys)

    def close(self) -> None:
        self.hands.session.close()
        self.segments.session.close()

    def gc(self, *words: str) -> Ran:
        """Orphan segments of the container."""
        return call(*self.words("gc", "--json", f"cloud:{self.container}", *words))

    # -- what stands there ---------------------------------------------------------

    def side(self, side: str) -> Snapshot:
        """As for folders; directories of the container are those that names imply, too."""
        if side == "local":
            found = snapshot(self.home / side)
            return {path: replace(node, data=brief(node.data)) for path, node in found.items()}
        objects = self.objects(PREFIX)
        seen = {name: node for name, node in objects.items() if name.split("/")[0] != PRIVATE}
        implied = {above for name in seen for above in _above(name)}
        return {**dict.fromkeys(implied, Node("directory")), **seen}

    def equal(self) -> bool:
        return self._told("local") == self._told("remote")

    def _told(self, side: str) -> dict[str, tuple[str, bytes]]:
        """Executable bits are for `check`."""
        return {path: (node.kind, node.data) for path, node in self.side(side).items()}

    def everything(self) -> set[bytes]:
        """All contents under a user's name or in a trash, here and there."""
        trashes = [*self.home.glob("state/pairs/*/*/trash"), self.home / "local" / PRIVATE / "trash"]
        here = [self.home / "local", *(place for place in trashes if place.is_dir())]
        found = {brief(data) for place in here for data in every_content(place)}
        trashed = self.objects(f"{PREFIX}{PRIVATE}/trash/")
        nodes = [*self.side("remote").values(), *trashed.values()]
        return found | {node.data for node in nodes if node.kind != "directory"}

    def objects(self, prefix: str, *, anew: bool = False) -> Snapshot:
        """What the container holds below a prefix. `anew`: read again, whatever the listing says."""
        rows = self.hands.ask("GET", query=f"format=json&prefix={prefix}").json()
        found: Snapshot = {}
        for row in rows:
            name = row["name"]
            key = (name, str(row.get("slo_etag") or row["hash"]), row["last_modified"])
            if anew or key not in self._fetched:
                self._fetched[key] = self._object(name, row.get("content_type", ""))
            found[name.removeprefix(prefix)] = self._fetched[key]
        return found

    def _object(self, name: str, content_type: str) -> Node:
        if content_type == DIRECTORY:
            return Node("directory")
        data = self.hands.ask("GET", name).content
        return Node("symlink" if content_type == SYMLINK else "file", brief(data))

    # -- the user at the container -----------------------------------------------------

    def put(self, path: str, data: bytes) -> None:
        """A file, by another tool."""
        self.hands.put(PREFIX + path, data)

    def link(self, path: str, target: str) -> None:
        self.hands.put(PREFIX + path, os.fsencode(target), Content_Type=SYMLINK)

    def remove(self, path: str) -> None:
        """The object; its segments stay, as with a tool that knows nothing of them."""
        self.hands.ask("DELETE", PREFIX + path, fine=False)

    def rename(self, origin: str, path: str) -> None:
        """By a copy, of the manifest where it is a large object; nothing where nothing is."""
        where = {"Destination": f"{self.container}/{PREFIX}{path}"}
        done = self.hands.ask(
            "COPY", PREFIX + origin, fine=False, query="multipart-manifest=get", headers=where
        )
        if done.ok:
            self.remove(origin)


def _above(name: str) -> list[str]:
    return [name[:end] for end, letter in enumerate(name) if letter == "/"]
