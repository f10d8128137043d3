"""The daemon: how soon a change arrives, and what waiting for one costs; beside syncthing and unison.

    python -m benchmarks.daemon [--files 20k,100k] [--idle 600]

Single changes (a new file, one overwritten, one renamed, 1 kB each) in random directories with random pauses,
many at once, and single ones while a log is written to; from a folder to a folder, to a `syncer serve`, and
over one to another machine's folder. The peers, where they are installed, work between two folders. With
`--idle`, everything of the largest size is kept open side by side for so many seconds without a change.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from benchmarks import lines, table
from benchmarks.budgets import Budget, judged
from benchmarks.cli import Board, size, sizes
from benchmarks.contest import Row, show_seconds
from benchmarks.ground import Ground, ground
from benchmarks.lines import Line, Opened
from benchmarks.machine import Machine, look
from benchmarks.peers import versions
from benchmarks.resting import Cost, costs
from benchmarks.running import BenchError
from benchmarks.syncthing import DEFAULT, QUICKEST, syncthing
from benchmarks.trees import DATA, Spec, grow
from benchmarks.unison import unison
from benchmarks.watching import Kind, arrivals, burst, chatter, drawn, quantile

SIZES, WRITES, BURST = (20_000, 100_000), 100, 1000
PER_DIRECTORY = 50
_SEED = 6

BUDGETS = (
    *(Budget(case=case, beside="median", limit=0.3) for case in lines.OWN),
    *(Budget(case=case, beside="p95", limit=1.0) for case in lines.OWN),
    *(Budget(case=f"idle, {case}", beside=f"{name}: CPU", limit=0.5)
      for case in lines.OWN for name in ("daemon", "other daemon", "server")),
    *(Budget(case=f"idle, {case}", beside=f"{name}: memory", limit=200)
      for case in lines.OWN for name in ("daemon", "other daemon", "server")),
)  # fmt: skip

Figures = Mapping[str, float]  # by what is measured: median, p95 ..., in seconds


def peers(delays: Sequence[int]) -> dict[str, Opened]:
    """The peers that are installed, beside our line between two folders; syncthing with each delay."""
    found: dict[str, Opened] = {}
    if shutil.which("syncthing"):
        for delay in delays:
            found[f"syncthing, {delay} s"] = partial(syncthing, delay=delay)
    if shutil.which("unison") and shutil.which("unison-fsmonitor"):
        found["unison, watch"] = unison
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; 0 when everything could be measured, missed targets included, else 1."""
    args = options().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # so that processes end and folders go
    board = Board()
    try:
        with ground(args.dir, keep=False, told=_told) as place:
            machine = _machine(place)
            for row in measured(place, args, board.failures):
                _told(f"{row.case:16} {row.files or '':>7} {row.beside:32} {row.own:>10} {row.other:>10}")
                board.rows.append(row)
    except KeyboardInterrupt:
        return 130
    except (BenchError, OSError, ValueError) as error:
        print(f"benchmarks.daemon: {error}", file=sys.stderr)
        return 1
    verdicts = judged(board.rows, BUDGETS)
    print("\n".join((machine.line(), "", table.plain(verdicts), *board.failures)))
    if args.json:
        table.write_json(args.json, verdicts, machine, board.failures)
    return 1 if board.failures else 0


def options() -> argparse.ArgumentParser:
    """What can be chosen."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.daemon", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--files", type=sizes, default=SIZES, help="numbers of files (default: 20k,100k)")
    add(
        "--only", action="append", choices=tuple(lines.OWN), help="this line only; may be given several times"
    )
    add("--no-peers", action="store_true", help="nothing beside ours")
    add("--writes", type=size, default=WRITES, help=f"single changes (default: {WRITES})")
    add("--burst", type=size, default=BURST, help=f"changes at once (default: {BURST})")
    add("--idle", type=size, metavar="SECONDS", help="only this: what it costs when nothing happens")
    add("--dir", type=Path, help="where to build the trees (default: in memory where there is room)")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    return parser


def measured(place: Ground, args: argparse.Namespace, failures: list[str]) -> Iterator[Row]:
    """All rows; a line that brings not everything is a failure, and the others go on. Raises OSError."""
    own = {name: opened for name, opened in lines.OWN.items() if not args.only or name in args.only}
    others = (
        {}
        if args.no_peers or "folder" not in own
        else peers((QUICKEST,) if args.idle else (QUICKEST, DEFAULT))
    )
    for files in args.files[-1:] if args.idle else args.files:
        tree = place.folder / f"tree-{files}"
        _told(f"building a tree of {files:,} files")
        grow(tree, Spec(files=files, per_directory=PER_DIRECTORY))
        if args.idle:
            yield from idle(place, tree, files, [*own.values(), *others.values()], args.idle)
        else:
            yield from quickness(place, tree, files, own, others, args, failures)
        shutil.rmtree(tree)


# -- how soon ------------------------------------------------------------------------------------


def quickness(
    place: Ground,
    tree: Path,
    files: int,
    own: Mapping[str, Opened],
    others: Mapping[str, Opened],
    args: argparse.Namespace,
    failures: list[str],
) -> Iterator[Row]:
    """One line after the other, so that none is in another's way."""
    ours: Figures = {}
    for name, opened in {**own, **others}.items():
        figures: dict[str, float] = {}
        try:
            with opened(place, tree) as line:
                figures.update(sent(line, args.writes, args.burst))  # what came before a failure is kept
        except BenchError as error:
            failures.append(f"{name}, {files:,} files: {error}")
            _told(failures[-1])
        if name in own:
            yield from told(name, files, figures)
        else:
            yield from beside(name, files, ours, figures)
        ours = figures if name == "folder" else ours


def sent(line: Line, writes: int, many: int) -> Iterator[tuple[str, float]]:
    """Seconds of single changes, of many at once, of some beside a busy log. Raises BenchError, OSError."""
    random = Random(_SEED)
    _told(f"{line.name}: {writes} changes")
    found = arrivals(line.source, line.target, drawn(line.source, writes, random), random)
    seconds = [one.seconds for one in found]
    yield from (
        ("median", quantile(seconds, 0.5)),
        ("p95", quantile(seconds, 0.95)),
        ("longest", max(seconds)),
    )
    for kind in Kind:
        of_kind = [one.seconds for one in found if one.kind is kind]
        if of_kind:
            yield f"median, {kind.value}", quantile(of_kind, 0.5)
    _told(f"{line.name}: {many:,} new files at once")
    fresh = drawn(line.source, many, random, turn="b", kinds=[Kind.NEW])
    yield f"{many:,} at once", burst(line.source, line.target, fresh)
    _told(f"{line.name}: {(writes + 3) // 4} changes beside a busy log")
    with chatter(line.source / DATA / "busy.log"):
        few = drawn(line.source, (writes + 3) // 4, random, turn="c")
        seconds = [one.seconds for one in arrivals(line.source, line.target, few, random)]
    yield "beside a log: median", quantile(seconds, 0.5)
    yield "beside a log: p95", quantile(seconds, 0.95)


def told(case: str, files: int, figures: Figures) -> Iterator[Row]:
    """Our own figures of one line."""
    for what, value in figures.items():
        yield Row(
            case=case, files=files, beside=what, own=show_seconds(value), other="", value=value, unit="s"
        )


def beside(peer: str, files: int, ours: Figures, theirs: Figures) -> Iterator[Row]:
    """Ours between two folders over the peer's."""
    for what, value in theirs.items():
        if what not in ours or what.startswith("median, "):
            continue  # of one kind: for orientation
        yield Row(
            case="folder", files=files, beside=f"{peer}: {what}", own=show_seconds(ours[what]),
            other=show_seconds(value), value=ours[what] / value,
        )  # fmt: skip


# -- what waiting costs --------------------------------------------------------------------------


def idle(place: Ground, tree: Path, files: int, opened: Iterable[Opened], seconds: int) -> Iterator[Row]:
    """All lines side by side: each process is counted on its own."""
    with ExitStack() as stack:
        found = [stack.enter_context(one(place, tree)) for one in opened]
        _told(f"nothing happens for {seconds} s")
        processes = {f"{line.name}: {name}": pid for line in found for name, pid in line.processes.items()}
        spent = costs(processes, seconds)
    for line in found:
        for name in line.processes:
            yield from spending(line.name, files, name, spent[f"{line.name}: {name}"])


def spending(case: str, files: int, name: str, cost: Cost) -> Iterator[Row]:
    """One process's share of a core and its memory."""
    share, held = 100 * cost.share, cost.rss / 2**20
    yield Row(
        case=f"idle, {case}", files=files, beside=f"{name}: CPU",
        own=f"{share:.2f} %", other="", value=share, unit="%",
    )  # fmt: skip
    yield Row(
        case=f"idle, {case}", files=files, beside=f"{name}: memory",
        own=f"{held:.0f} MiB", other=f"peak {cost.peak / 2**20:.0f}", value=held, unit="MiB",
    )  # fmt: skip


def _machine(place: Ground) -> Machine:
    """With the versions of those who take part."""
    machine = look(place.folder)
    known = {name: machine.versions[name] for name in ("syncer", "Python", "SQLite")}
    return replace(machine, versions={**known, **versions(("syncthing", "unison"))})


def _told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
