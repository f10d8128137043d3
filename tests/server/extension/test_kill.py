"""The server is killed in the middle of patches: a file is its old or its new content, the next one goes on.

The kill comes when a random share of the delta was sent, or while the answer is waited for.
"""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.delta.rsync import Copy, Literal, encode
from syncer.engine.model import Done, Entry
from syncer.wire import frames as wire
from syncer.wire.frames import Data, End, Head
from tests.server.conftest import serving
from tests.server.extension.processes import client_of
from tests.server.extension.speaking import Client, told

SIZE = 4 << 20
BLOCK = 64 << 10


class Patching:
    """Two files and small ones, patched again and again; what each may hold is remembered."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.held = {name: {self.content()} for name in ("a", "b")}
        folder.mkdir()
        for name, contents in self.held.items():
            (folder / name).write_bytes(next(iter(contents)))

    def content(self) -> bytes:
        return blake3(self.random.randbytes(16)).digest(SIZE)

    def check(self) -> None:
        """Each file is one of the contents that it may have, whole; from here on only that one."""
        for name, allowed in self.held.items():
            found = (self.folder / name).read_bytes()
            assert found in allowed, f"{name} holds {len(found)} bytes that were never its content"
            self.held[name] = {found}

    def changed(self, name: str) -> tuple[bytes, bytes]:
        """A new content and the delta that makes it."""
        [old] = self.held[name]
        place = self.random.randrange(SIZE - BLOCK)
        new = old[:place] + self.random.randbytes(BLOCK) + old[place + BLOCK :]
        self.held[name].add(new)
        edit = (
            Copy(0, place),
            Literal(new[place : place + BLOCK]),
            Copy(place + BLOCK, SIZE - place - BLOCK),
        )
        return new, b"".join(encode(c for c in edit if not isinstance(c, Copy) or c.size))

    def patches(self, client: Client):
        """The frames of a put that patches both files, cut small."""
        entries: dict[str, Entry] = {name: client.entry(name) for name in self.held}
        made = {name: self.changed(name) for name in self.held}
        yield Head({"items": [told(n, SIZE, entries[n]) for n in made]})
        for index, (new, delta) in enumerate(made.values()):
            yield Head({"index": index, "encoding": "delta", "start": 0})
            for at in range(0, len(delta), 4096):
                yield Data(delta[at : at + 4096])
            yield End({"digest": blake3(new).hexdigest()})


def killed_in_the_middle(base: Path, story: Patching) -> int:
    """One life of the server; answers how many outcomes were heard of before its death."""
    with serving(story.folder, state=base / "state") as server:
        client = client_of(server)
        client.entry("a")
        body = b"".join(wire.encode(story.patches(client)))
        at = story.random.randrange(len(body) + 1)
        late = story.random.random() < 0.5
        heard: list[object] = []

        def pieces():
            if late:
                yield body
                killer.start()
            else:
                yield body[:at]
                server.process.send_signal(signal.SIGKILL)
                yield body[at:]

        killer = threading.Timer(story.random.random() * 0.08, server.process.kill)
        try:
            heard = client.call("put", pieces()).outcomes
        except (OSError, AssertionError, ValueError, IndexError):
            pass  # it died before it answered, or in the middle
        if late:
            killer.join()
        server.process.wait(20)
    return sum(isinstance(outcome, Done) for outcome in heard)


def campaign(base: Path, kills: int, seed: int) -> None:
    story = Patching(base / "folder", seed)
    for _ in range(kills):
        before = {name: next(iter(contents)) for name, contents in story.held.items()}
        done = killed_in_the_middle(base, story)
        story.check()
        after = {name: next(iter(contents)) for name, contents in story.held.items()}
        assert sum(before[n] != after[n] for n in before) >= done  # what was told is so
    with serving(story.folder, state=base / "state") as server:
        client = client_of(server)
        [first, second] = client.call("put", wire.encode(story.patches(client))).outcomes
        assert isinstance(first, Done) and isinstance(second, Done)
    story.check()
    assert sorted(p.name for p in story.folder.iterdir() if not p.name.startswith(".syncer")) == ["a", "b"]


def test_a_server_killed_during_patches_leaves_old_or_new_content(tmp_path):
    campaign(tmp_path, kills=10, seed=20)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_kills_during_patches_tear_nothing(tmp_path):
    campaign(tmp_path, kills=100, seed=random.SystemRandom().randrange(1 << 30))
