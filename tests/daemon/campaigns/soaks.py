"""Soak: a server, two daemons on it, a folder-to-folder job behind one of them, and mixed load.

    one/local ── docs ──► served/docs ◄── docs ── two/local ── copy ──► mirror

Users change small files at both machines; a program patches a large file in place, another one appends to a
log; one file can never be read. Everything has to be equal in the end, and nothing may grow for ever.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from syncer.daemon.status import JobStatus, Phase
from syncer.errors import SyncerError
from tests.daemon.campaigns.machines import Machine
from tests.daemon.campaigns.samples import Recorder, Source, TrashReader
from tests.daemon.campaigns.worlds import Tree, World, difference, everything, tree
from tests.daemon.campaigns.writers import Book, User
from tests.server.conftest import Serving

WORK = "work"  # where the users are
LARGE = "large.img"
LOG = "program.log"
NEVER = "never"  # the path that always fails
_NAMES = 400  # of users, about
_FEW = 20_000  # bytes of an edit of the large file
_RATE_LOG = 2  # lines a second
# As root the daemon could read what nobody else can: it runs without that.
_PLAIN = (
    "setpriv",
    "--inh-caps=-dac_override,-dac_read_search",
    "--bounding-set=-dac_override,-dac_read_search",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is done, and for how long."""

    seconds: float
    changes: float = 17  # a second, by both users together
    large: int = 200 << 20  # bytes of the large file
    edit_every: float = 60  # seconds
    still: int = 20_000  # files that nobody touches
    trash_size: int = 1 << 30  # bytes
    scan: str = "5m"
    sample_every: float = 5


@dataclass(slots=True, kw_only=True)
class SteadyUser(User):
    """A user who makes so many changes a second, whatever each of them takes."""

    rate: float

    def step(self) -> None:
        """One change. Beyond so many names directories go, so that the tree stays as large as it is."""
        if self.steps % 10 == 0 and self.count() > _NAMES:
            self.steps += 1
            with suppress(OSError):
                self.remove_large_tree()
        else:
            User.step(self)

    def remove_large_tree(self) -> None:
        """One of those at the top."""
        tops = sorted(place for place in self.root.iterdir() if place.is_dir())
        if tops:
            self.remove_all(self.random.choice(tops))

    def _work(self) -> None:
        began = time.monotonic()
        try:
            while not self._stop.is_set():
                self.step()
                began = max(began + 1 / self.rate, time.monotonic() - 1)
                self._stop.wait(max(began - time.monotonic(), 0))
        except BaseException as error:  # noqa: BLE001 - a user that broke down must be noticed
            self._broke.append(error)


@dataclass(slots=True)
class Program:
    """Does one thing again and again, in a thread of its own."""

    step: Callable[[], None]
    every: float
    steps: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _broke: list[BaseException] = field(default_factory=list)

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(120)
            assert not self._thread.is_alive()
        assert not self._broke, self._broke

    def _work(self) -> None:
        try:
            while not self._stop.wait(self.every):
                self.step()
                self.steps += 1
        except BaseException as error:  # noqa: BLE001 - see above
            self._broke.append(error)


class LargeFile:
    """A disk image of which a few bytes are written in place."""

    def __init__(self, place: Path, size: int, book: Book, drawn: random.Random) -> None:
        self._place = place
        self._book = book
        self._random = drawn
        self._data = bytearray(drawn.randbytes(size))
        self.digest = blake3(self._data).digest()
        with book.writing_digest(self.digest, place):
            place.write_bytes(self._data)

    def patch(self) -> None:
        few = self._random.randbytes(min(_FEW, len(self._data) // 10))
        at = self._random.randrange(len(self._data) - len(few))
        self._data[at : at + len(few)] = few
        self._book.give_up_digest(self.digest)
        self.digest = blake3(self._data).digest()
        with (
            self._book.writing_digest(self.digest, self._place),
            self._place.open("r+b", buffering=0) as file,
        ):
            os.pwrite(file.fileno(), few, at)


class GrowingLog:
    """A program's log: a line at the end, many times."""

    def __init__(self, place: Path, book: Book) -> None:
        self._file = place.open("ab", buffering=0)
        self._place = place
        self._book = book
        self._hash = blake3()
        self._count = 0
        self.digest = self._hash.digest()

    def append(self) -> None:
        self._count += 1
        line = b"%d %s\n" % (self._count, b"something happened " * 8)
        self._book.give_up_digest(self.digest)
        self._hash.update(line)
        self.digest = self._hash.digest()
        with self._book.writing_digest(self.digest, self._place):
            self._file.write(line)

    def close(self) -> None:
        self._file.close()


class Soak(World):
    """To be used with `at_work`; `report` is a directory for the samples."""

    def __init__(self, base: Path, *, seed: int, load: Load, report: Path) -> None:
        self._load = load
        self._known: dict[tuple[int, ...], bytes] = {}
        super().__init__(base, seed=seed)
        self.mirror = base / "mirror"
        self.roots.append(self.mirror)
        self._still()
        places = [machine.local / WORK for machine in self.machines]
        self.users = [
            SteadyUser(
                root=place,
                book=self.book,
                random=random.Random(f"{seed} {number}"),
                rate=load.changes / len(places),
            )
            for number, place in enumerate(places)
        ]
        one = self.machines[0].local
        self.large = LargeFile(one / LARGE, load.large, self.book, random.Random(f"{seed} large"))
        self.log = GrowingLog(one / LOG, self.book)
        self.programs = [
            Program(self.large.patch, load.edit_every),
            Program(self.log.append, 1 / _RATE_LOG),
        ]
        self._fail()
        self.recorder = Recorder({}, folder=report, every=load.sample_every)
        self._report = report

    def _serve(self, *options: str) -> Serving:
        return super()._serve("--trash-size", str(self._load.trash_size), *options)

    def _machine(self, name: str) -> Machine:
        machine = super()._machine(name)
        bounded = f'max_delete = "100%"\ntrash_size = {self._load.trash_size}\n'
        machine.options = bounded
        machine.daemon = f'log = "{machine.home / "daemon.log"}"\nscan = "{self._load.scan}"\n'
        if name == "one" and os.getuid() == 0:
            machine.before = _PLAIN
        if name == "two":
            machine.jobs = (
                f'[jobs.copy]\nlocal = "{machine.local}"\nremote = "local:{self.base / "mirror"}"\n'
                f"settle = 0\n{bounded}"
            )
        machine.configure()
        return machine

    def _still(self) -> None:
        """Files that nobody touches, and the users' own folder: at all sides from the beginning."""
        for root in self.roots:
            (root / WORK).mkdir(parents=True, exist_ok=True)
        for number in range(self._load.still):
            data = self.book.fresh(300, number)
            for root in self.roots:
                place = root / f"still/{number // 100:03}/{number % 100:02}"
                place.parent.mkdir(parents=True, exist_ok=True)
                with self.book.writing(data, place):
                    place.write_bytes(data)

    def _fail(self) -> None:
        place = self.machines[0].local / NEVER
        place.write_bytes(b"nobody may read this")
        place.chmod(0)

    # -- the work ------------------------------------------------------------------------

    def begin(self) -> None:
        """Once all sides are equal."""
        one, two = self.machines
        sources = {
            "server": Source(
                pid=self.server.process.pid,
                state=self.base / "serving",
                trashes=[TrashReader(self.base / "serving")],
                log=lambda: sum(map(len, self.server.log)),
            ),
            "one": self._source(one),
            "two": self._source(two, self.mirror),
        }
        self.recorder = Recorder(sources, folder=self._report, every=self._load.sample_every)
        self.trashes = [trash for source in sources.values() for trash in source.trashes]
        self.recorder.start()
        super().begin()
        for program in self.programs:
            program.begin()

    def _source(self, machine: Machine, *roots: Path) -> Source:
        assert machine.process is not None
        logs = [machine.home / name for name in ("log", "daemon.log", "daemon.log.1", "daemon.log.2")]
        return Source(
            pid=machine.process.pid,
            state=machine.state,
            trashes=[TrashReader(top) for top in (machine.state, machine.local, *roots)],
            log=lambda: sum(path.stat().st_size for path in logs if path.exists()),
        )

    def end(self) -> None:
        for program in self.programs:
            program.end()
        super().end()

    def leave(self) -> None:
        with suppress(AssertionError):
            self.end()
        self.log.close()
        with suppress(Exception):
            self.recorder.stop()
        super().leave()

    @property
    def changes(self) -> int:
        """How many were made so far."""
        return sum(worker.steps for worker in (*self.users, *self.programs))

    # -- what has to hold ----------------------------------------------------------------

    def is_equal(self) -> bool:
        """All is done but for the path that never can be."""
        try:
            statuses = [job for machine in self.machines for job in machine.statuses]
        except SyncerError:
            return False
        return all(map(_is_done, statuses)) and not self._differing()

    def _differing(self) -> str:
        trees = [self._tree(root) for root in self.roots]
        return "" if all(found == trees[0] for found in trees) else difference(*trees)

    def _tree(self, root: Path) -> Tree:
        found = tree(root, self._known)
        found.pop(NEVER, None)
        return found

    def _stands(self, machine: Machine) -> str:
        log = machine.home / "daemon.log"
        tail = log.read_text(errors="replace")[-3000:] if log.exists() else ""
        try:
            return f"{machine.statuses}\n{machine.log[-1500:]}\n{tail}"
        except SyncerError as error:
            return f"{machine.home.name}: {error}\n{machine.log[-1500:]}\n{tail}"

    def nothing_is_lost(self) -> None:
        """What no user gave up stands in a folder or a trash, or its time in the trash was over."""
        seen = everything(self.base).union(*(trash.seen for trash in self.trashes))
        lost = {where for digest, where in self.book.due().items() if digest not in seen}
        assert not lost, f"seed {self.seed}: {len(lost)} contents are lost, written to {sorted(lost)[:20]}"
        shapes = self._tree(self.roots[0])
        torn = [path for path, shape in shapes.items() if self._is_torn(shape)]
        assert not torn, f"seed {self.seed}: nobody wrote what stands at {torn[:20]}"
        assert shapes[LARGE] == (self.large.digest, False) and shapes[LOG] == (self.log.digest, False)

    def nobody_stumbled(self) -> None:
        super().nobody_stumbled()
        for machine in self.machines:
            told = (machine.home / "daemon.log").read_text(errors="replace")
            assert "Traceback" not in told, told[told.index("Traceback") - 1000 :][:6000]


def _is_done(job: JobStatus) -> bool:
    return job.phase in (Phase.IDLE, Phase.BACKING_OFF) and set(job.retries) <= {NEVER} and not job.held
