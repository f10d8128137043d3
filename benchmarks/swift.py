"""Syncer on a real Swift beside rclone: a first sync of many small files, and a run with nothing to do.

    python -m benchmarks.swift [FILES] [OBJECTS]    5,000 files up and down, 100,000 objects; 0 leaves one out

Both send as many requests at once as Syncer does. Each request of the first syncs is held back by 30 ms. A
proxy counts the requests of either. Swift comes from the tests: one process on loopback, its data in memory
where there is room; the many objects are put there behind its back (`swift_fill`), with what a first sync
would have left in Syncer's cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from hashlib import md5
from pathlib import Path

from blake3 import blake3

from benchmarks import table
from benchmarks.budgets import Budget, judged
from benchmarks.contest import OWN, Contest, Contestant, Row, Samples, peak, ratios
from benchmarks.ground import Ground, empty, ground
from benchmarks.machine import look
from benchmarks.peers import missing
from benchmarks.running import BenchError, Command, Sample
from benchmarks.syncers import Syncer, rest
from benchmarks.trees import DATA, Spec, grow
from syncer.stores.swift import metadata
from syncer.stores.swift import objects as versions
from syncer.stores.swift.cache import ObjectCache
from syncer.stores.swift.consistency import PARALLEL, fact_of
from syncer.stores.swift.objects import ObjectHead
from tests.doubles.proxy import Proxy
from tests.swift.environment import environment
from tests.swift.server import Swift

FILES, OBJECTS, ROUNDS = 5000, 100_000, 3
DELAY = 0.03  # seconds added to each request
PAGE, SPARE = 10_000, 5  # rows of a listing at once; requests of a run with nothing to do beyond its pages
BESIDE = 20_000  # objects for the run with nothing to do beside rclone, which needs minutes for more
FILL = Path(__file__).with_name("swift_fill.py")


class Session:
    """One Swift, its proxy, and the commands of the clients; `counted` are the requests of each run."""

    def __init__(self, place: Ground, swift: Swift, proxy: Proxy) -> None:
        self.place, self.swift, self.proxy = place, swift, proxy
        self.counted: dict[str, list[int]] = {}
        self.url = f"http://127.0.0.1:{proxy.port}/auth/v1.0"

    def sync(self, user: str, local: Path, container: str) -> Command:
        """Our client, with a state of its own."""
        syncer = Syncer.of(self.place, user)
        config = syncer.home / "config.toml"
        config.write_text(
            f'state_dir = "{syncer.home}/state"\n[accounts.far]\ntype = "swift"\nauth = "v1"\n'
            f'auth_url = "{self.url}"\nuser = "{self.swift.user}"\nkey = "{self.swift.key}"\n'
            f'[jobs.bench]\nlocal = "{local}"\nremote = "far:{container}"\nsettle = 0\n'
        )
        config.chmod(0o600)
        return syncer.command("--config", str(config), "sync", "--quiet")

    def rclone(self, verb: str, source: str, target: str, *options: str) -> Command:
        """The peer, with as many requests at once."""
        keys = {"TYPE": "swift", "AUTH": self.url, "USER": self.swift.user, "KEY": self.swift.key}
        variables = {f"RCLONE_CONFIG_S_{name}": value for name, value in keys.items()}
        home = Syncer.of(self.place, "rclone")
        words = ("--transfers", str(PARALLEL), "--checkers", str(PARALLEL), "--config", "/dev/null", *options)
        return Command(
            argv=("rclone", verb, *words, source, target),
            environment={**home.environment(), **variables},
            folder=self.place.folder,
        )

    def contestant(self, name: str, command: Callable[[int], Command]) -> Contestant:
        """One whose requests are counted."""

        def check(_: Sample) -> None:
            self.counted.setdefault(name, []).append(self.proxy.up.messages)

        return Contestant(name=name, command=command, prepare=lambda _: self.proxy.zero(), check=check)

    def contest(
        self, case: str, files: int, own: Callable[[int], Command], *peers: Contestant, rounds: int = ROUNDS
    ) -> Contest:
        """Time, memory and requests."""
        self.counted.clear()
        return Contest(
            case=case,
            files=files,
            own=self.contestant(OWN, own),
            peers=[] if "rclone" in missing() else peers,
            rounds=rounds,
            measures=(ratios, peak, self._requests),
        )

    def _requests(self, contest: Contest, samples: Samples) -> Iterable[Row]:
        own, files = max(self.counted[OWN]), contest.files or 1
        yield Row(
            case=contest.case, files=files, beside="requests", own=f"{own:,}", other="", value=own, unit=""
        )
        for peer in contest.peers:
            other = min(self.counted[peer.name])
            yield Row(
                case=contest.case, files=files, beside=f"requests a file, {peer.name}",
                own=f"{own / files:.3f}", other=f"{other / files:.3f}", value=own / max(other, 1),
            )  # fmt: skip
            most = max(sample.peak for sample in samples[peer.name]) / 2**20
            self.place.told(f"{peer.name}: peak memory {most:.0f} MiB")


def first_syncs(session: Session, files: int) -> Iterator[Contest]:
    """Up into new containers, and down from them into new folders."""
    place, tree = session.place, session.place.folder / "first" / "tree"
    place.told(f"building {files:,} files")
    grow(tree, Spec(files=files))
    session.proxy.delay(DELAY)
    yield session.contest(
        "first-up", files,
        lambda n: session.sync(f"up{n}", tree, f"ours{n}"),
        session.contestant("rclone", lambda n: session.rclone("copy", str(tree / DATA), f"S:theirs{n}")),
    )  # fmt: skip

    def fresh(name: str, number: int) -> Path:
        folder = place.folder / "first" / f"{name}{number}"
        folder.mkdir(exist_ok=True)
        return folder

    yield session.contest(
        "first-down", files,
        lambda n: session.sync(f"down{n}", fresh("ours", n), "ours0"),
        session.contestant(
            "rclone", lambda n: session.rclone("copy", "S:ours0", str(fresh("theirs", n)))
        ),
    )  # fmt: skip
    session.proxy.delay(0)
    for number in range(ROUNDS):
        if _files(fresh("ours", number)) != _files(tree):
            raise BenchError("what came down is not what went up")
    empty(place.folder / "first")


def nothing_to_do(session: Session, objects: int, *, beside: bool = False) -> Iterator[Contest]:
    """Both sides equal and known; `beside` rclone once, for it asks for each object."""
    container = f"still{objects}"
    tree = session.place.folder / container
    tree.mkdir()
    command = session.sync(container, tree, container)
    syncer = Syncer.of(session.place, container)
    syncer.untimed(command)  # makes the container, and a place for the cache
    session.place.told(f"building {objects:,} files and objects")
    grow(tree, Spec(files=objects))
    [cache] = syncer.home.glob("state/pairs/*/cache/swift")
    fill(session, tree, container, cache)
    for _ in range(3):
        syncer.untimed(command)  # adopts all; then nothing is left to do
        rest()
    if beside:
        data, there = str(tree / DATA), f"S:{container}/{DATA}"
        peers = {f"rclone {verb}": session.rclone(verb, data, there) for verb in ("sync", "check")}
        found = [session.contestant(name, lambda _, one=one: one) for name, one in peers.items()]  # type: ignore[misc]
        yield session.contest("still-beside", objects, lambda _: command, *found, rounds=1)
    else:
        yield session.contest("still", objects, lambda _: command)
    empty(tree)


def fill(session: Session, tree: Path, container: str, cache: Path) -> None:
    """The files of a tree as objects of the container, known to our client. Raises OSError, BenchError."""
    given, made = session.place.folder / "given", session.place.folder / "made"
    with given.open("w") as lines:
        for path in _files_below(tree):
            content, stat = (tree / path).read_bytes(), (tree / path).stat()
            etag = md5(content).hexdigest()
            meta = metadata.written(
                mtime_ns=stat.st_mtime_ns, executable=False, digest=blake3(content).digest(), etag=etag
            )
            headers = {name.title(): value for name, value in metadata.headers_of(meta).items()}
            lines.write(json.dumps([path, str(tree / path), etag, headers]) + "\n")
    words = [environment(), "-P", str(FILL), str(session.swift.root), container, str(given)]
    with made.open("w") as output:
        subprocess.run(words, stdout=output, check=True)
    known = ObjectCache(cache)
    with made.open() as lines:
        known.remember(
            fact_of(
                name,
                ObjectHead(stamp=versions.Stamp(versions.by_timestamp(when), etag), size=size, meta=meta),
            )
            for name, size, etag, headers, when in map(json.loads, lines)
            if (meta := metadata.meta_in(headers))
        )
    known.close()


def _files_below(tree: Path) -> Iterator[str]:
    for folder, _, names in os.walk(tree):
        if ".syncer" not in Path(folder).parts:
            yield from (os.path.relpath(os.path.join(folder, name), tree) for name in names)


def _files(tree: Path) -> dict[str, int]:
    """Size of each file by its path."""
    return {path: (tree / path).stat().st_size for path in _files_below(tree)}


def budgets(objects: int) -> tuple[Budget, ...]:
    """What is promised."""
    pages = -(-(objects + 1) // PAGE)  # the root's identity is an object, too
    return (
        *(Budget(case=case, beside="rclone", limit=1.0) for case in ("first-up", "first-down")),
        Budget(case="still", beside="requests", limit=pages + SPARE),
        Budget(case="still", beside="peak memory", limit=150),
    )


def main(words: list[str]) -> int:
    """Runs all, and prints a table."""
    files, objects = [*map(int, words), *(FILES, OBJECTS)[len(words) :]]
    rows: list[Row] = []

    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with ground(None, keep=False, told=told) as place, ExitStack() as stack:
        swift = Swift()
        stack.callback(swift.stop)
        session = Session(place, swift, stack.enter_context(Proxy("127.0.0.1", swift.ports["proxy"])))
        contests = [first_syncs(session, files)] if files else []
        if objects:
            contests += [nothing_to_do(session, objects)]
            contests += [nothing_to_do(session, min(objects - 1, BESIDE), beside=True)]
        for contest in (one for some in contests for one in some):
            told(contest.case)
            rows += contest.run(place.outputs, told)
        print(f"{look(place.folder).line()}\n\n{table.plain(judged(rows, budgets(objects)))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
