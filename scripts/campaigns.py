"""Run the long campaigns in named parts, and go on where the last call stopped.

    python -m scripts.campaigns --list              the parts, and how far each of them is on these sources
    python -m scripts.campaigns [PART ...]          run what has not passed yet (all parts)
    python -m scripts.campaigns --minutes 30 PART   stop after so long; what passed is remembered

A test that passed is not run again as long as the sources of the package are the same (the git tree of
`syncer/`, which must be committed). Every result is appended to `build/campaigns.jsonl` (or to the file that
SYNCER_CAMPAIGN_RESULTS names), a JSON object a line: `part`, `test` (pytest's node id, or `fuzz NAME`),
`outcome`, `seconds`, `tree`, `commit`, `at` (UTC, ISO 8601). A kill loses the tests that were under way.
Exit 1 where something failed or is left to run, 2 for an unknown part.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent
RESULTS = Path(os.environ.get("SYNCER_CAMPAIGN_RESULTS") or ROOT / "build" / "campaigns.jsonl")
FUZZ_SECONDS = 1800  # of each parser
# To the plug-in: the part with tree and commit; a file of node ids.
_PART, _PASSED = "SYNCER_CAMPAIGN", "SYNCER_CAMPAIGN_PASSED"

# Part -> what pytest is given besides `-m long`.
PARTS: dict[str, Sequence[str]] = {
    "engine": ("tests/engine",),
    "ignore": ("tests/test_ignore_git.py",),
    "deaths": ("tests/simulation/test_death.py", "tests/simulation/test_sigkill.py"),
    "failures": ("tests/simulation/test_failures.py", "tests/simulation/test_races.py"),
    "powercuts": ("tests/simulation/test_powercut.py",),
    "histories": ("tests/simulation/test_state_machine.py",),
    "machines": ("tests/simulation/test_two_clients.py", "tests/simulation/test_two_clients_on_swift.py"),
    "topologies": ("tests/simulation/test_topologies.py",),
    "daemon": ("tests/daemon", "tests/watch", "tests/integration"),
    "server": ("tests/server",),
    "swift": ("tests/stores/swift",),
    "compat": ("tests/compat",),
}
FUZZED = sorted(
    path.name.removesuffix("_targets.py") for path in (ROOT / "tests" / "fuzz").glob("*_targets.py")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is tested: the tree of `syncer/`, and the commit it is a part of."""

    tree: str
    commit: str

    @classmethod
    def of(cls, root: Path) -> Sources:
        """Those of a clean checkout. Raises SystemExit where `syncer/` has changes that are not committed."""

        def git(*words: str) -> str:
            return subprocess.run(
                ["git", *words], cwd=root, capture_output=True, text=True, check=True
            ).stdout

        if git("status", "--porcelain", "--", "syncer"):
            raise SystemExit("syncer/ has changes that are not committed: results could not be told apart")
        return cls(
            tree=git("rev-parse", "HEAD:syncer").strip(), commit=git("rev-parse", "--short", "HEAD").strip()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one test."""

    part: str
    test: str
    outcome: str  # passed, failed
    seconds: float
    tree: str

    @classmethod
    def read(cls, file: Path, sources: Sources) -> Iterator[Result]:
        """The results on these sources, in their order; a line that was cut off is skipped."""
        if not file.exists():
            return
        for line in file.read_text("utf-8").splitlines():
            try:
                fields = json.loads(line)
                if fields["tree"] == sources.tree:
                    yield cls(**{name: fields[name] for name in cls.__slots__})
            except (ValueError, KeyError):
                continue


def append(file: Path, sources: Sources, *, part: str, test: str, outcome: str, seconds: float) -> None:
    """Write one line, in one call, so that two processes do not mix theirs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "part": part,
        "test": test,
        "outcome": outcome,
        "seconds": round(seconds, 1),
        "tree": sources.tree,
        "commit": sources.commit,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(fields) + "\n")


# -- the plug-in of pytest: leave out what passed, append what ended ----------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that passed before this call began: the same ones in every worker."""
    if _PASSED not in os.environ:
        return
    passed = set(Path(os.environ[_PASSED]).read_text("utf-8").splitlines())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = [item for item in items if item.nodeid not in passed]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append the outcome of a test; called in the main process, also for the tests of workers."""
    if _PART not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.when == "call" or report.failed:
        part, tree, commit = os.environ[_PART].split()
        outcome = "passed" if report.passed else "failed"
        sources = Sources(tree=tree, commit=commit)
        append(RESULTS, sources, part=part, test=report.nodeid, outcome=outcome, seconds=report.duration)


# -- running ------------------------------------------------------------------------------


def run_part(part: str, sources: Sources, *, workers: int, until: float) -> bool:
    """Run what is left of one part; False where something failed or the time was over."""
    passed = {r.test for r in Result.read(RESULTS, sources) if r.part == part and r.outcome == "passed"}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as work:
        known = Path(work) / "passed"
        known.write_text("\n".join(sorted(passed)), "utf-8")
        command = [sys.executable, "-m", "pytest", "-m", "long", *PARTS[part], "-p", "scripts.campaigns"]
        command += ["-p", "no:cacheprovider", "--timeout=0", "--hypothesis-profile=long", "-q"]
        command += ["-n", str(workers), "--dist", "worksteal", f"--basetemp={work}/t"]
        environment = {**os.environ, _PART: f"{part} {sources.tree} {sources.commit}", _PASSED: str(known)}
        running = subprocess.Popen(command, cwd=ROOT, env=environment)
        try:
            return running.wait(max(0.0, until - time.monotonic())) in (0, 5)  # 5: nothing is left to run
        except subprocess.TimeoutExpired:
            running.terminate()
            running.wait()
            return False


def run_fuzzer(name: str, sources: Sources, *, until: float) -> bool:
    """Fuzz one parser for `FUZZ_SECONDS`, unless it was; its corpus stays in `build/corpus/NAME`."""
    test = f"fuzz {name}"
    if any(r.test == test and r.outcome == "passed" for r in Result.read(RESULTS, sources)):
        return True
    if until - time.monotonic() < FUZZ_SECONDS:
        return False
    corpus = ROOT / "build" / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, str(FUZZ_SECONDS), corpus], cwd=ROOT, check=False
    )
    outcome = "passed" if done.returncode == 0 else "failed"
    append(RESULTS, sources, part="fuzz", test=test, outcome=outcome, seconds=time.monotonic() - started)
    return done.returncode == 0


def show(sources: Sources) -> None:
    """Print a line for each part: tests that passed and failed on these sources, and minutes of all."""
    results = list(Result.read(RESULTS, sources))
    print(f"{'part':<12}{'passed':>8}{'failed':>8}{'minutes':>9}   on {sources.commit}")
    for part in (*PARTS, "fuzz"):
        last = {r.test: r for r in results if r.part == part}
        failed = sorted(test for test, r in last.items() if r.outcome != "passed")
        minutes = sum(r.seconds for r in last.values()) / 60
        print(f"{part:<12}{len(last) - len(failed):>8}{len(failed):>8}{minutes:>9.1f}")
        for test in failed:
            print(f"    failed: {test}")


def main() -> int:
    """Parse the arguments, run the parts, show how far they are."""
    parser = argparse.ArgumentParser(prog="python -m scripts.campaigns")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join((*PARTS, 'fuzz'))}")
    parser.add_argument("--list", action="store_true", help="only show how far each part is")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes of pytest"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {*PARTS, "fuzz"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    sources = Sources.of(ROOT)
    sound = True
    if not arguments.list:
        until = time.monotonic() + arguments.minutes * 60
        for part in arguments.parts or (*PARTS, "fuzz"):
            if part == "fuzz":
                for name in FUZZED:
                    sound &= run_fuzzer(name, sources, until=until)
            else:
                sound &= run_part(part, sources, workers=arguments.workers, until=until)
    show(sources)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
