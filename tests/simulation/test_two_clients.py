"""Two machines and somebody at the server's disk, all editing, with runs and the server killed at any moment.

Real processes: `syncer serve`, and a `syncer sync` for each machine, at the same time. A user here never
destroys a content: what is deleted or overwritten goes to a bin of the user's. So every content that was ever
written must stand somewhere to the end, whole, and in quiet all three folders become equal.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.engine.paths import TEMPORARY
from syncer.stores.local.root import TAG_LENGTH
from tests.server.conftest import Serving, environment, program, serving

BELOW = "docs"
NAMES = ("a", "b", "c.txt", "é", "d", "e", "new\nline", "F", "f")
PATIENCE = 120  # seconds for a run
FINE = {0, 1, 3, 4}  # exit codes that a run may end with in such a world
MIB = 1 << 20
ORDINARY = len(TEMPORARY) + TAG_LENGTH + 8  # characters of a temporary's name; a partial's is longer


@dataclass(slots=True)
class Hands:
    """The users: whatever they write is new, and what they take away goes to their bin."""

    random: random.Random
    bin: Path
    written: dict[bytes, str] = field(default_factory=dict)  # digest of content: where it was written
    count: int = 0

    def content(self) -> bytes:
        self.count += 1
        size = self.random.choice((1, 40, 3000, 70_000, 200_000, 2 * MIB, 9 * MIB))
        seed = b"%d %d" % (self.random.getrandbits(60), self.count)
        return blake3(seed).digest(16 + size)

    def changed(self, old: bytes) -> bytes:
        """Another content that has much of the old one."""
        self.count += 1
        place = self.random.randrange(len(old) + 1)
        return old[:place] + b"<%d>" % self.count + old[place + self.random.choice((0, 3, 500)) :]

    def edit(self, root: Path) -> None:
        """One step; what is in its way by now is somebody else's doing, and left."""
        step = self.random.choice(
            (self.write, self.write, self.write, self.patch, self.patch, self.remove, self.rename, self.turn)
        )
        with suppress(FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, OSError):
            step(root)

    def place(self, root: Path) -> Path:
        """A name, one or two or three deep."""
        return root.joinpath(*(self.random.choice(NAMES) for _ in range(self.random.choice((1, 2, 2, 3)))))

    def some(self, root: Path, *, files: bool) -> Path | None:
        found = [
            p
            for p in sorted(root.rglob("*"))
            if ".syncer" not in str(p.relative_to(root)) and (p.is_file() or not files)
        ]
        return self.random.choice(found) if found else None

    def write(self, root: Path) -> None:
        place = self.place(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        self._put(place, self.content())

    def patch(self, root: Path) -> None:
        place = self.some(root, files=True)
        if place is not None:
            self._put(place, self.changed(place.read_bytes()))

    def remove(self, root: Path) -> None:
        place = self.some(root, files=self.random.random() < 0.8)
        if place is not None:
            self._away(place)

    def rename(self, root: Path) -> None:
        origin, place = self.some(root, files=self.random.random() < 0.5), self.place(root)
        if origin is not None and not place.exists() and origin not in place.parents:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._named(origin, place)

    def turn(self, root: Path) -> None:
        """A file becomes a directory, or the other way round."""
        place = self.some(root, files=False)
        if place is None:
            return
        was_file = place.is_file()
        self._away(place)
        if was_file:
            place.mkdir()
            self._put(place / "inside", self.content())
        else:
            self._put(place, self.content())

    def _put(self, place: Path, data: bytes) -> None:
        """Whole under its name at once, and only after what stood there is in the bin."""
        self.count += 1
        made = self.bin / f"made-{self.count}"
        made.write_bytes(data)
        self.written[blake3(data).digest()] = str(place)
        self._away(place)
        os.link(made, place)  # fails where somebody was faster
        made.unlink()

    def _away(self, place: Path) -> None:
        self.count += 1
        with suppress(FileNotFoundError):
            place.rename(self.bin / f"gone-{self.count}")

    def _named(self, origin: Path, place: Path) -> None:
        """A rename that replaces nothing."""
        if origin.is_dir():
            origin.rename(place)  # fails on anything but an empty directory
        else:
            os.link(origin, place)
            origin.unlink()


@dataclass(slots=True)
class Client:
    """A machine: a folder, a config, and the runs it began."""

    home: Path
    running: subprocess.Popen[str] | None = None
    said: str = ""

    @property
    def local(self) -> Path:
        return self.home / "local"

    def configure(self, server: Serving) -> None:
        self.local.mkdir(parents=True, exist_ok=True)
        config = self.home / "config.toml"
        config.write_text(
            f'state_dir = "{self.home}/state"\n[accounts.far]\ntype = "smartfile"\nurl = "{server.url}"\n'
            f'key = "{server.key}"\npassword = "{server.password}"\n'
            f'[jobs.docs]\nlocal = "{self.local}"\nremote = "far:{BELOW}"\nsettle = 0\n',
            encoding="utf-8",
        )
        config.chmod(0o600)

    def begin(self, *words: str) -> None:
        command = program("--config", str(self.home / "config.toml"), "sync", "--json", *words)
        self.running = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def kill(self) -> None:
        if self.running is not None:
            self.running.kill()

    def end(self) -> int:
        """The exit code of the run."""
        assert self.running is not None
        self.said, _ = self.running.communicate(timeout=PATIENCE)
        code = self.running.returncode
        assert "Traceback" not in self.said, self.said
        assert code in FINE or code == -signal.SIGKILL, (code, self.said)
        return code

    def run(self) -> int:
        self.begin()
        code = self.end()
        if code == 4:  # many deletions, all of them wanted
            self.begin("--yes")
            code = self.end()
        return code


@dataclass(slots=True)
class Story:
    """One world and its seed."""

    base: Path
    seed: int
    random: random.Random = field(init=False)
    hands: Hands = field(init=False)
    clients: list[Client] = field(init=False)
    server: Serving | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    port: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        (self.base / "bin").mkdir(parents=True)
        self.hands = Hands(self.random, self.base / "bin")
        self.clients = [Client(self.base / name) for name in ("one", "two")]

    @property
    def remote(self) -> Path:
        return self.base / "served" / BELOW

    @property
    def roots(self) -> list[Path]:
        return [*(client.local for client in self.clients), self.remote]

    def start(self) -> None:
        """The server, again where it was before."""
        listen = ("--listen", f"127.0.0.1:{self.port}") if self.port else ()
        first = self.server is None
        self.server = self.stack.enter_context(
            serving(self.base / "served", *listen, state=self.base / "state")
        )
        self.port = self.server.port
        if first:
            for client in self.clients:
                client.configure(self.server)

    def stop(self) -> None:
        self.stack.close()

    def round(self) -> None:
        """Everybody at once, and a few deaths."""
        for root in self.roots:
            for _ in range(self.random.randrange(5)):
                self.hands.edit(root)
        hasty = [c for c in self.clients if self.random.random() < 0.3]
        dies = self.random.random() < 0.3
        moments = [self.random.random() * 2.5 for _ in range(len(hasty) + 1)]
        timers = [threading.Timer(at, c.kill) for at, c in zip(moments, hasty, strict=False)]
        for client in self.clients:
            client.begin()
        assert self.server is not None
        if dies:
            timers.append(threading.Timer(moments[-1], self.server.process.kill))
        for timer in timers:
            timer.start()
        while any(c.running is not None and c.running.poll() is None for c in self.clients):
            self.hands.edit(self.random.choice(self.roots))
            time.sleep(self.random.random() * 0.2)  # hands are slow; nothing waits for them
        for timer in timers:
            timer.cancel()
            timer.join()
        for client in self.clients:
            client.end()
        if self.server.process.poll() is not None:
            self.stop()
            self.start()
        self.nothing_is_lost()

    def heal(self) -> None:
        """In quiet all become equal, and stay so."""
        for _ in range(5):
            codes = [client.run() for client in self.clients]
            trees = [tree(root) for root in self.roots]
            if codes == [0, 0] and trees[0] == trees[1] == trees[2]:
                break
        else:
            raise AssertionError(f"seed {self.seed}: never equal: {codes} {[c.said for c in self.clients]}")
        self.nothing_is_lost()
        before = [tree(root) for root in self.roots]
        for client in self.clients:
            assert client.run() == 0, client.said
            assert '"actions": []' in client.said, f"seed {self.seed}: not at rest: {client.said}"
        assert [tree(root) for root in self.roots] == before
        self.is_tidy()

    def is_tidy(self) -> None:
        """Nothing is left on its way, but for parts of broken-off transfers: those wait a week."""
        passing = [p for root in self.roots for p in root.rglob(".syncer-tmp-*")]
        ordinary = [p for p in passing if len(p.name) == ORDINARY]
        assert not ordinary, f"seed {self.seed}: left behind: {ordinary}"

    def nothing_is_lost(self) -> None:
        """Every content stands somewhere; under users' names stand only whole ones."""
        found: dict[bytes, str] = {}
        for path in self.base.rglob("*"):
            if not path.is_symlink() and path.is_file() and path.suffix != ".sketch":
                with suppress(FileNotFoundError):
                    found[blake3(path.read_bytes()).digest()] = str(path)
        lost = [where for digest, where in self.hands.written.items() if digest not in found]
        assert not lost, f"seed {self.seed}: lost: {lost}"
        for root in self.roots:
            for name, data in tree(root).items():
                if data is not None:
                    assert blake3(data).digest() in self.hands.written, (
                        f"seed {self.seed}: torn: {root}/{name}"
                    )


def tree(root: Path) -> dict[str, bytes | None]:
    """Files with their content, directories with None; our own left out."""
    found: dict[str, bytes | None] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if ".syncer" not in name:
            with suppress(FileNotFoundError):
                found[name] = None if path.is_dir() else path.read_bytes()
    return found


def campaign(base: Path, *, rounds: int, seed: int) -> None:
    """Rounds, with quiet after every third."""
    story = Story(base, seed)
    story.start()
    try:
        story.heal()
        for number in range(1, rounds + 1):
            story.round()
            if number % 3 == 0 or number == rounds:
                story.heal()
    finally:
        for client in story.clients:
            client.kill()
        story.stop()


def test_two_machines_a_busy_server_and_deaths_lose_nothing(tmp_path: Path) -> None:
    campaign(tmp_path / "w", rounds=2, seed=7)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_rounds_of_two_machines_lose_nothing(tmp_path: Path) -> None:
    campaign(tmp_path / "w", rounds=60, seed=random.SystemRandom().randrange(1 << 30))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 106))
def test_known_seeds_of_two_machines_lose_nothing(tmp_path: Path, seed: int) -> None:
    campaign(tmp_path / "w", rounds=9, seed=seed)
