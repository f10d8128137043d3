"""One large file with scattered edits: bytes and time beside rsync and rdiff.

    python -m benchmarks.delta [MIB]        512 MiB, 20 edits of 4 KiB and an insert of 1 KiB

Each contestant is a process, its start included. `sent` counts what would cross a wire: signature
and delta, or the delta alone where a sketch is kept; of rsync, what it says itself.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from benchmarks import table
from benchmarks.budgets import Budget, judged
from benchmarks.contest import OWN, Contest, Contestant, Row, Samples, peak, ratios
from benchmarks.ground import Ground, ground
from benchmarks.machine import look
from benchmarks.running import BenchError, Command, Sample, run
from benchmarks.syncers import REPOSITORY, Syncer
from benchmarks.trees import big_file
from syncer.delta.block_index import BlockIndex
from syncer.delta.indexed_delta import difference
from syncer.delta.rsync import (
    Signature,
    SignatureParams,
    delta,
    encode,
    patch,
    signature,
)

SIZE, EDITS, EDIT, INSERT = 512, 20, 4096, 1024  # MiB; number; bytes; bytes at the first MiB
_WORKERS, _CHUNK = 2, 1 << 20
_RSYNC_SENT = re.compile(r"^Total bytes (?:sent|received): ([\d,]+)", re.MULTILINE)

BUDGETS = (
    Budget(case="delta-wire", beside="sent, rsync", limit=1.0),
    Budget(case="delta-wire", beside="rsync", limit=1.0),
    Budget(case="delta-kept", beside="sent, rsync", limit=0.5),
    Budget(case="delta-kept", beside="rsync", limit=1.0),
    Budget(case="delta-kept", beside="rdiff", limit=1.0),
    Budget(case="delta-all-new", beside="rdiff", limit=1.3),
    Budget(case="delta-patch", beside="rdiff", limit=1.3),
)


class _File:
    """A file to be copied from."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = path.stat().st_size

    def read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


def chunks(path: Path) -> Iterator[bytes]:
    """The file, a MiB at a time. Raises OSError."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def written(path: Path, made: Iterable[bytes]) -> int:
    """How many bytes went there. Raises OSError."""
    with path.open("wb") as file:
        return sum(map(file.write, made))


def wire(old: Path, new: Path, made: Path) -> int:
    """Signature and delta; the answer of each step is how many bytes cross the wire."""
    size = old.stat().st_size
    sums = list(signature(chunks(old), SignatureParams.for_wire(size), workers=_WORKERS))
    with Signature.load(sums, basis_size=size) as against:
        return sum(map(len, sums)) + written(made, delta(against, chunks(new), workers=_WORKERS))


def kept(known: Path, new: Path, made: Path) -> int:
    """The delta against a kept sketch, which is read and written anew."""
    loaded = BlockIndex.load(chunks(known))
    if loaded is None:
        raise BenchError("the sketch is damaged")
    found = difference(loaded, chunks(new), workers=_WORKERS)
    sent = written(made, encode(found))
    written(made.with_suffix(".sketch"), found.sketch.chunks())
    return sent


def apply(old: Path, made: Path, target: Path) -> int:
    """The patch."""
    size = int(target.with_suffix(".size").read_text())
    return written(target, patch(_File(old), chunks(made), size=size)) * 0


STEPS: dict[str, Callable[[Path, Path, Path], int]] = {step.__name__: step for step in (wire, kept, apply)}


def contests(place: Ground, mebibytes: int) -> Iterator[Contest]:
    """The cases, each on files that are built once."""
    folder = place.folder / "delta"
    folder.mkdir()
    old, new, other, known = (folder / name for name in ("old", "new", "other", "old.sketch"))
    place.told(f"building files of {mebibytes} MiB")
    big_file(old, mebibytes << 20)
    big_file(other, mebibytes << 20, seed=3)
    _edit(old, new)
    written(known, BlockIndex.of(chunks(old), size=old.stat().st_size, workers=_WORKERS).chunks())
    fine = ("-b", str(SignatureParams.for_keeping(old.stat().st_size).block_len), "-S", "5")
    beside = _Beside(place, folder)
    own, made = beside.own, folder / "own.delta"
    rsync = beside.rsync(new, old)
    both = beside.rdiff("signature {0} s && rdiff delta s {1} d", old, new)
    yield _contest("delta-wire", own("wire", old, new, made), rsync, both, sent=True)
    beside.prepare(f"rdiff -f {' '.join(fine)} signature {old} {folder}/fine 2>/dev/null")
    fine_delta = beside.rdiff("delta {0} {1} d", folder / "fine", new)
    yield _contest("delta-kept", own("kept", known, new, made), rsync, fine_delta, sent=True)
    (folder / "again.size").write_text(str(new.stat().st_size))
    patched = beside.rdiff("patch {0} {1} r", old, made)
    yield _contest("delta-patch", own("apply", old, made, folder / "again"), patched)
    far = beside.rdiff("delta {0} {1} d", folder / "fine", other)
    yield _contest("delta-all-new", own("kept", known, other, folder / "far.delta"), far)


class _Beside:
    """Commands of one session, in one folder."""

    def __init__(self, place: Ground, folder: Path) -> None:
        self._environment = {**Syncer.of(place, "delta").environment(), "PYTHONPATH": str(REPOSITORY)}
        self._folder = folder

    def _command(self, *argv: str | Path) -> Command:
        return Command(argv=tuple(map(str, argv)), environment=self._environment, folder=self._folder)

    def own(self, step: str, *paths: Path) -> Contestant:
        command = self._command(sys.executable, "-m", "benchmarks.delta", step, *paths)
        return Contestant(name=OWN, command=lambda _: command)

    def rdiff(self, words: str, *paths: Path) -> Contestant:
        line = 'rdiff() { command rdiff -f "$@"; }; rdiff ' + words.format(*paths)
        command = self._command("sh", "-c", line)
        return Contestant(name="rdiff", command=lambda _: command)

    def rsync(self, new: Path, old: Path) -> Contestant:
        target = self._folder / "rsync"
        command = self._command("rsync", "--no-whole-file", "--stats", "--ignore-times", new, target)
        return Contestant(name="rsync", command=lambda _: command, prepare=lambda _: _copied(old, target))

    def prepare(self, line: str) -> None:
        """Runs a shell line, untimed. Raises BenchError."""
        run(self._command("sh", "-c", line), self._folder / "prepare.out")


def _copied(old: Path, target: Path) -> None:
    shutil.copyfile(old, target)


def _edit(old: Path, new: Path) -> None:
    random = Random(7)
    with old.open("rb") as source, new.open("wb") as target:
        target.write(source.read(1 << 20) + random.randbytes(INSERT))
        shutil.copyfileobj(source, target, _CHUNK)
        for _ in range(EDITS):
            target.seek(random.randrange(old.stat().st_size - EDIT))
            target.write(random.randbytes(EDIT))


def _contest(case: str, own: Contestant, *peers: Contestant, sent: bool = False) -> Contest:
    there = [one for one in peers if shutil.which(one.name)]
    measures = (ratios, peak, _sent) if sent else (ratios, peak)
    return Contest(case=case, files=None, own=own, peers=there, measures=measures, rounds=3)


def _sent(contest: Contest, samples: Samples) -> Iterable[Row]:
    own = _bytes(samples[OWN][-1])
    yield Row(case=contest.case, files=None, beside="sent", own=f"{own:,} B", other="", value=own, unit="B")
    if "rsync" in samples:
        other = _bytes(samples["rsync"][-1])
        yield Row(
            case=contest.case, files=None, beside="sent, rsync",
            own=f"{own:,} B", other=f"{other:,} B", value=own / other,
        )  # fmt: skip


def _bytes(sample: Sample) -> int:
    """What a step printed, or what rsync counted both ways."""
    text = sample.output.read_text()
    counted = _RSYNC_SENT.findall(text)
    return sum(int(number.replace(",", "")) for number in counted) if counted else int(text)


def main(words: list[str]) -> int:
    """A step, as a contestant; or all contests, and a table of them."""
    if words and words[0] in STEPS:
        print(STEPS[words[0]](*map(Path, words[1:])))
        return 0

    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    rows: list[Row] = []
    with ground(None, keep=False, told=told) as place:
        for contest in contests(place, int(words[0]) if words else SIZE):
            told(contest.case)
            rows += contest.run(place.outputs, told)
        print(f"{look(place.folder).line()}\n\n{table.plain(judged(rows, BUDGETS))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
