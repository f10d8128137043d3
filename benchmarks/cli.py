"""Options, the order of cases, and what is printed: progress on stderr, the table on stdout.

Exit code 0 when every case could be measured, missed budgets included (they are said); 1
when a case could not be run; 2 for wrong options.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import cases, table
from benchmarks.budgets import judged
from benchmarks.contest import Contest, Row
from benchmarks.ground import Ground, ground
from benchmarks.machine import look
from benchmarks.peers import missing
from benchmarks.profiling import profiled
from benchmarks.running import BenchError
from benchmarks.syncers import REPOSITORY

README = REPOSITORY / "README.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; the answer is the exit code."""
    parser = options()
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the work folder is removed
    try:
        with ground(args.dir, keep=args.keep, told=told) as place:
            return profile(place, args) if args.profile else measure(place, args)
    except KeyboardInterrupt:
        return 130
    except (BenchError, OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def options() -> argparse.ArgumentParser:
    """What can be chosen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="20k files only")
    add("--sizes", type=sizes, help="numbers of files, for example 20k,100k (default: 20k,100k,500k)")
    add("--files", type=size, help="one number of files, the same as --sizes N")
    add("--only", action="append", choices=cases.NAMES, help="this case only; may be given several times")
    add("--rounds", type=size, help="rounds of every case (default: 5, long cases 3, --help 15)")
    add("--dir", type=Path, help="where to build the trees (default: in memory where there is room)")
    add("--keep", action="store_true", help="leave the trees there")
    add("--markdown", action="store_true", help="write the table into README.md")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--profile", choices=cases.NAMES, metavar="CASE", help="run one case under cProfile instead")
    return parser


def size(text: str) -> int:
    """`20k`, `500000`. Raises ValueError."""
    number = int(text[:-1]) * 1000 if text.endswith(("k", "K")) else int(text)
    if number < 1:
        raise ValueError(text)
    return number


def sizes(text: str) -> tuple[int, ...]:
    """`20k,100k`. Raises ValueError."""
    return tuple(sorted({size(word) for word in text.split(",")}))


def chosen_sizes(args: argparse.Namespace) -> tuple[int, ...]:
    """What `--files`, `--sizes` and `--quick` mean, in this order."""
    if args.files:
        return (args.files,)
    chosen: tuple[int, ...] = args.sizes or (cases.QUICK if args.quick else cases.SIZES)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What was found so far: rows, and cases that could not be measured."""

    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def measure(place: Ground, args: argparse.Namespace) -> int:
    """All chosen cases, then the table."""
    machine = look(place.folder)
    told(machine.line())
    for name in missing():
        told(f"{name} is not installed: left out")
    board = Board()
    for title, contest in contests(place, args, board):
        told(title)
        try:
            board.rows.extend(contest.run(place.outputs, told, args.rounds))
        except (BenchError, OSError) as error:
            failed(board, title, error)
    board.rows.extend(cases.growth(board.rows))
    verdicts = judged(board.rows)
    print(f"{machine.line()}\n\n{table.plain(verdicts)}")
    if machine.busy:
        print("the machine was busy: wall times, and ratios of them, say little")
    for failure in board.failures:
        print(f"not measured: {failure}")
    if args.json:
        table.write_json(args.json, verdicts, machine, board.failures)
    if args.markdown:
        rounds = f"{args.rounds} rounds" if args.rounds else "5 rounds (long cases 3, `--help` 15)"
        block = table.markdown(verdicts, machine, rounds=rounds)
        README.write_text(table.in_document(README.read_text("utf-8"), block), "utf-8")
    return 1 if board.failures else 0


def contests(place: Ground, args: argparse.Namespace, board: Board) -> Iterator[tuple[str, Contest]]:
    """Builds the chosen contests one by one, size after size; trees go when their size is done."""
    wanted = args.only or cases.NAMES
    for fixed in cases.FIXED:
        if fixed.name in wanted:
            try:
                yield fixed.name, fixed.build(place, None)
            except (BenchError, OSError) as error:
                failed(board, fixed.name, error)
    sizes_chosen = chosen_sizes(args)
    for files in sizes_chosen:
        for case in cases.SIZED:
            if case.name in wanted and files in case.runs_at(sizes_chosen):
                title = f"{case.name}, {files:,} files"
                try:
                    yield title, case.build(place, files)
                except (BenchError, OSError) as error:
                    failed(board, title, error)
        if not args.keep:
            place.drop(files)


def profile(place: Ground, args: argparse.Namespace) -> int:
    """One run of one case under the profiler, at the largest chosen size."""
    fixed = {case.name: case for case in cases.FIXED}.get(args.profile)
    sized = {case.name: case for case in cases.SIZED}.get(args.profile)
    if fixed:
        print(profiled(place, fixed.build(place, None)))
    elif sized:
        print(profiled(place, sized.build(place, max(sized.runs_at(chosen_sizes(args))))))
    return 0


def failed(board: Board, title: str, error: Exception) -> None:
    """Notes a case that could not be measured, and goes on."""
    told(f"{title}: {error}")
    board.failures.append(f"{title}: {error}")


def told(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)
