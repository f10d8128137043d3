"""`syncer serve` and its client beside rsync to its daemon and rclone to a WebDAV server.

    python -m benchmarks.serve [MIB] [FILES] [OLD.tar NEW.tar]

One large file with 20 edits of 4 KiB and an insert of 1 KiB, up and down, with and without what both ends
keep; one changed byte; two releases of something, if they are given; a first upload and download of
many small files, and of a few beside rclone, which is slow at it. The bytes are those that a proxy
counted, both ways, heads and all. What is replaced goes to a trash, which is emptied between the rounds:
the work folder never holds more than some copies of the large file. A signal ends it as an error does.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

from benchmarks import serving, table
from benchmarks.budgets import Budget, judged
from benchmarks.contest import OWN, Contest, Contestant, Row, Samples, peak, ratios
from benchmarks.ground import Ground, ground
from benchmarks.machine import look
from benchmarks.peers import missing
from benchmarks.running import Command
from benchmarks.syncers import Syncer, rest
from benchmarks.trees import DATA, big_file
from tests.doubles.proxy import Proxy

SIZE, FILES, FEW = 512, 20_000, 1000  # MiB of the large file; small files; those that rclone is given
EDITS, EDIT, INSERT = 20, 4096, 1024  # number; bytes; bytes at the first MiB
ROUNDS = 3

_BIG = ("big-up-kept", "big-down-kept", "big-up-sums", "big-down-sums")
BUDGETS = (
    *(Budget(case=case, beside="bytes, rsync", limit=0.5 if "kept" in case else 1.0) for case in _BIG),
    *(Budget(case=case, beside="rsync", limit=1.0) for case in _BIG),
    *(Budget(case=case, beside=f"peak memory{end}", limit=150) for case in _BIG for end in ("", ", server")),
    Budget(case="one-byte", beside="bytes", limit=64 << 10),
    *(Budget(case=f"few-{way}", beside="rclone", limit=1.0) for way in ("up", "down")),
    *(Budget(case=f"small-{way}", beside="rsync", limit=2.0) for way in ("up", "down")),
)

_HEAVY = 1 << 20  # bytes of a file in a trash that is not waited for

Change = Callable[[Path, int], None]  # makes the file another, for the round of that number


@dataclass(slots=True)
class Side:
    """A server, the proxy before it, and a folder here; `counted` are the bytes of each run."""

    server: serving.Server
    proxy: Proxy
    local: Path
    counted: list[int] = field(default_factory=list)

    def begin(self) -> None:
        self.proxy.zero()

    def end(self) -> None:
        self.counted.append(self.proxy.up.total + self.proxy.down.total)


class Session:
    """The servers of one session, and the commands of their clients."""

    def __init__(self, place: Ground, stack: ExitStack) -> None:
        self.place = place
        self.syncer = Syncer.of(place, "serve")
        environment = self.syncer.environment()
        base = place.folder / "servers"
        enter = stack.enter_context
        starts = {"syncer": serving.syncer, "rsync": serving.rsync, "rclone": serving.webdav}
        gone = missing()
        self.servers = {
            name: enter(start(base / name, environment)) for name, start in starts.items() if name not in gone
        }
        self.sides = {
            name: Side(server, enter(Proxy("127.0.0.1", server.port)), self._folder(f"local-{name}"))
            for name, server in self.servers.items()
        }

    def _folder(self, name: str) -> Path:
        path = self.place.folder / name
        path.mkdir()
        return path

    def _command(self, *words: str) -> Command:
        return Command(argv=words, environment=self.syncer.environment(), folder=self.place.folder)

    def sync(self, local: Path, below: str, *, port: int = 0) -> Command:
        """Our client, for the folder `below` on the server."""
        server = self.servers["syncer"]
        config = self.syncer.home / "config.toml"
        config.write_text(
            f'state_dir = "{self.syncer.home}/state"\n[accounts.far]\ntype = "smartfile"\n'
            f'url = "http://127.0.0.1:{port or server.port}/"\nkey = "{server.key}"\n'
            f'password = "{server.password}"\n'
            f'[jobs.bench]\nlocal = "{local}"\nremote = "far:{below}"\nsettle = 0\n'
        )
        config.chmod(0o600)
        return self.syncer.command("--config", str(config), "sync", "--quiet")

    def rsync(self, source: str, target: str) -> Command:
        return self._command("rsync", "-a", source, target)

    def module(self, below: str, *, port: int = 0) -> str:
        """A folder of rsync's daemon."""
        return f"rsync://127.0.0.1:{port or self.servers['rsync'].port}/files/{below}"

    def rclone(self, source: str, target: str) -> Command:
        url = f"http://127.0.0.1:{self.servers['rclone'].port}"
        return self._command("rclone", "copy", source, target, "--webdav-url", url, "--config", "/dev/null")

    # -- one large file ------------------------------------------------------------

    def begin_large(self, original: Path) -> None:
        """Brings the same file to both ends of both, untimed."""
        for name in ("syncer", "rsync"):
            if name in self.sides:
                shutil.copyfile(original, self.sides[name].local / "big")
                self.syncer.untimed(self.large(name, up=True))
        rest()

    def large(self, name: str, *, up: bool) -> Command:
        """The client's command for the large file."""
        side = self.sides[name]
        if name == "syncer":
            return self.sync(side.local, "large", port=side.proxy.port)
        here, there = f"{side.local}/", self.module("", port=side.proxy.port)
        return self.rsync(here, there) if up else self.rsync(there, here)

    def contest(self, case: str, change: Change, *, up: bool, kept: bool = True) -> Contest:
        """One change of the large file, by our client and by rsync."""

        def contestant(name: str) -> Contestant:
            side = self.sides[name]
            far = side.server.folder / ("large" if name == "syncer" else "")

            def prepare(number: int) -> None:
                self._empty_trashes()
                change((side.local if up else far) / "big", number)
                rest()  # stamps are to be believed, and the server to have kept what it keeps
                if name == "syncer" and not kept:
                    self._forget_sums()
                side.begin()

            return Contestant(
                name=OWN if name == "syncer" else name,
                command=lambda _: self.large(name, up=up),
                prepare=prepare,
                check=lambda _: side.end(),
            )

        for side in self.sides.values():
            side.counted.clear()
        peers = [contestant("rsync")] if "rsync" in self.sides else []
        measures = (ratios, peak, self._server_peak, self._bytes)
        return Contest(
            case=case, files=None, own=contestant("syncer"), peers=peers, rounds=ROUNDS, measures=measures
        )

    def _empty_trashes(self) -> None:
        """Takes away what the last round replaced: half a gigabyte at a time, in memory."""
        trashes = [self.servers["syncer"].state / "trash", *self.syncer.home.glob("state/pairs/*/*/trash")]
        for folder, _, names in (found for trash in trashes for found in os.walk(trash)):
            for name in names:
                if (kept := Path(folder, name)).stat().st_size > _HEAVY:
                    kept.unlink()

    def _forget_sums(self) -> None:
        for cache in self.syncer.home.glob("state/pairs/*/cache"):
            shutil.rmtree(cache)
        shutil.rmtree(self.servers["syncer"].state / "sketches", ignore_errors=True)

    def _server_peak(self, contest: Contest, samples: Samples) -> Iterable[Row]:
        own = self.servers["syncer"].peak / 2**20
        yield Row(
            case=contest.case, files=contest.files, beside="peak memory, server",
            own=f"{own:.0f} MiB", other="", value=own, unit="MiB",
        )  # fmt: skip

    def _bytes(self, contest: Contest, samples: Samples) -> Iterable[Row]:
        """The largest of ours, and over the least of rsync's."""
        own = max(self.sides["syncer"].counted)
        case = contest.case
        yield Row(case=case, files=None, beside="bytes", own=f"{own:,} B", other="", value=own, unit="B")
        if contest.peers:
            other = min(self.sides["rsync"].counted)
            yield Row(
                case=case, files=None, beside="bytes, rsync",
                own=f"{own:,} B", other=f"{other:,} B", value=own / other,
            )  # fmt: skip

    # -- many small files ------------------------------------------------------------

    def many_up(self, case: str, files: int, peer: str, *, rounds: int = ROUNDS) -> Contest:
        """A first upload, each round into a folder that is new."""
        tree = self.place.pair(files).local
        data = f"{tree / DATA}/"

        def theirs(number: int) -> Command:
            name = f"{case}{number}"
            rsync = peer == "rsync"
            return (
                self.rsync(data, self.module(f"{name}/")) if rsync else self.rclone(data, f":webdav:{name}")
            )

        return self._many(case, files, lambda n: self.sync(tree, f"{case}{n}"), peer, theirs, rounds)

    def many_down(self, case: str, files: int, peer: str, origin: str, *, rounds: int = ROUNDS) -> Contest:
        """A first download of what the first round of the upload `origin` brought."""

        def fresh(name: str, number: int) -> Path:
            folder = self.place.folder / f"{case}-{name}-{number}"
            folder.mkdir(exist_ok=True)
            return folder

        def theirs(number: int) -> Command:
            if peer == "rsync":
                return self.rsync(self.module(f"{origin}0/"), f"{fresh(peer, number)}/")
            return self.rclone(f":webdav:{origin}0", str(fresh(peer, number)))

        def ours(number: int) -> Command:
            return self.sync(fresh("syncer", number), f"{origin}0")

        return self._many(case, files, ours, peer, theirs, rounds)

    def _many(
        self,
        case: str,
        files: int,
        own: Callable[[int], Command],
        peer: str,
        theirs: Callable[[int], Command],
        rounds: int,
    ) -> Contest:
        return Contest(
            case=case,
            files=files,
            own=Contestant(name=OWN, command=own),
            peers=[Contestant(name=peer, command=theirs)] if peer in self.servers else [],
            rounds=rounds,
            measures=(ratios, peak),
        )


def edited(path: Path, number: int) -> None:
    """20 edits of 4 KiB and an insert of 1 KiB at the first MiB, into a new file under the old name."""
    random = Random(number)
    new = path.with_name(".edited")
    with path.open("rb") as source, new.open("wb") as target:
        target.write(source.read(1 << 20) + random.randbytes(INSERT))
        shutil.copyfileobj(source, target, 1 << 20)
        for _ in range(EDITS):
            target.seek(random.randrange(max(target.seek(0, 2) - EDIT, 1)))
            target.write(random.randbytes(EDIT))
    new.rename(path)


def one_byte(path: Path, number: int) -> None:
    """Another byte in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 + number)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes((byte ^ 0xFF,)))


def releases(old: Path, new: Path) -> Change:
    """The one release and the other, in turns."""

    def change(path: Path, number: int) -> None:
        shutil.copyfile(old if number % 2 else new, path)

    return change


def contests(session: Session, mebibytes: int, files: int, tars: list[Path]) -> Iterator[Contest]:
    """All cases, one after the other; each leaves both ends alike."""
    original = session.place.folder / "original"
    session.place.told(f"building a file of {mebibytes} MiB")
    big_file(original, mebibytes << 20)
    session.begin_large(original)
    yield session.contest("big-up-kept", edited, up=True)
    yield session.contest("big-down-kept", lambda p, n: edited(p, 100 + n), up=False)
    yield session.contest("big-up-sums", lambda p, n: edited(p, 200 + n), up=True, kept=False)
    yield session.contest("big-down-sums", lambda p, n: edited(p, 300 + n), up=False, kept=False)
    yield session.contest("one-byte", one_byte, up=True)
    if len(tars) == 2:
        session.begin_large(tars[0])
        yield session.contest("releases-up", releases(*tars), up=True)
        yield session.contest("releases-sums", releases(*tars), up=True, kept=False)
    yield session.many_up("small-up", files, "rsync")
    yield session.many_down("small-down", files, "rsync", "small-up")
    few = min(files, FEW)
    yield session.many_up("few-up", few, "rclone", rounds=1)
    yield session.many_down("few-down", few, "rclone", "few-up", rounds=1)


def _stop(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main(words: list[str]) -> int:
    """Runs all, and prints a table."""
    numbers = [int(word) for word in words if word.isdigit()]
    mebibytes, files = [*numbers, *(SIZE, FILES)[len(numbers) :]]

    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)  # so that servers are stopped and the work folder is removed
    rows: list[Row] = []
    with ground(None, keep=False, told=told) as place, ExitStack() as stack:
        session = Session(place, stack)
        for contest in contests(session, mebibytes, files, [Path(w) for w in words if not w.isdigit()]):
            told(contest.case)
            rows += contest.run(place.outputs, told)
        print(f"{look(place.folder).line()}\n\n{table.plain(judged(rows, BUDGETS))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
