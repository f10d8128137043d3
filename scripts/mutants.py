"""Plants one bug at a time in a copy of Syncer, and sees that the tests catch it.

    python -m scripts.mutants                 all of them; writes docs/mutants.md
    python -m scripts.mutants exchange lock   those whose name holds one of the words; renews their rows
    python -m scripts.mutants --list          only their names

The bugs are listed in `seeded-bugs/*.toml`, each with the tests that must catch it; those tests pass without
the bug, or the campaign does not begin. The working tree itself is never changed. Exit code 0 only if
every bug was caught, and by a test: one that does not even load, or that only a time-out stops where
the list does not say so, counts as not caught.

A bug is anchored by the qualified name of a function, class or constant (`at`) and a text in it (`old`), in
which any white space stands for any other. Files are not named: code may move without losing its bugs.
`within` names a package where two modules have the same function with the same text.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "scripts" / "seeded-bugs"
PAGE = ROOT / "docs" / "mutants.md"
PATIENCE = 120  # seconds for one bug's tests
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
_SERVERS = (".venv-swift", ".venv-ceph", ".venv-s3", ".venv-rclone")  # what the tests talk to; read only
_VERDICT = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?::.+?)(?: - (.*))?$", re.MULTILINE)
_HELD_UP = "Timeout"
_ABOUT = """# Seeded bugs

`make mutants` plants these bugs one at a time in a copy of the tree and runs the named tests. Each was
caught by the test beside it. The lists are `scripts/seeded-bugs/*.toml`; this page is written by the run.
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a function, a class or a constant stands: a file below the root, and offsets in its text."""

    file: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One seeded bug. `hangs`: the tests notice it by not coming to an end."""

    group: str
    name: str
    at: str
    old: str
    new: str
    tests: tuple[str, ...]
    hangs: bool = False
    within: str = "syncer"

    def planted(self, root: Path = ROOT) -> tuple[str, str]:
        """The file that the bug belongs to, and its text with the bug in it.

        Raises ValueError, SyntaxError if the list is out of date.
        """
        if self.old == self.new:
            raise ValueError(f"{self.name}: changes nothing")
        anchor = re.compile(r"\s+".join(map(re.escape, self.old.split())))
        places: set[tuple[str, int, int]] = set()
        for found in definitions(root).get(self.at, ()):
            if found.file.startswith(f"{self.within.replace('.', '/')}/"):
                text = (root / found.file).read_text(encoding="utf-8")
                spans = [match.span() for match in anchor.finditer(text, found.start, found.end)]
                places.update((found.file, *span) for span in spans)
        if len(places) != 1:
            where = sorted({file for file, _, _ in places})
            raise ValueError(
                f"{self.name}: its old text is {len(places)} times in {self.at} {where}, not once"
            )
        [(file, start, end)] = places
        text = (root / file).read_text(encoding="utf-8")
        changed = text[:start] + self.new.strip() + text[end:]
        compile(changed, file, "exec", dont_inherit=True)
        return file, changed


@cache
def definitions(root: Path) -> dict[str, list[Definition]]:
    """Every function, class and constant of the package, by its qualified name in its module."""
    found: dict[str, list[Definition]] = {}
    for path in sorted((root / "syncer").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        offsets = [0]
        for line in text.splitlines(keepends=True):
            offsets.append(offsets[-1] + len(line))
        for name, first, last in _defined(ast.parse(text).body, ""):
            place = Definition(str(path.relative_to(root)), offsets[first - 1], offsets[last])
            found.setdefault(name, []).append(place)
    return found


def _defined(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, int, int]]:
    """Qualified names with their first and last line; a decorator belongs to what it decorates."""
    for node in body:
        last = node.end_lineno or node.lineno
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                yield prefix + node.name, first, last
                yield from _defined(node.body, f"{prefix}{node.name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name, node.lineno, last
            case ast.If() | ast.Try():
                yield from _defined([*node.body, *node.orelse], prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one bug fared. `test` caught it; where none did, `trouble` says what happened instead.

    Neither: it was added since the last whole campaign.
    """

    mutant: Mutant
    test: str = ""
    trouble: str = ""
    seconds: float = 0.0


def listed(folder: Path = LISTS) -> list[Mutant]:
    """Every bug of the lists: files by name, each in its own order."""
    return [
        Mutant(**{**entry, "group": group, "tests": tuple(entry["tests"])})
        for path in sorted(folder.glob("*.toml"))
        for group, entries in tomllib.loads(path.read_text(encoding="utf-8")).items()
        for entry in entries
    ]


class Copy:
    """A copy of the tree in which one bug at a time may live."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._tree = home / "tree"
        shutil.copytree(ROOT, self._tree, ignore=_LEFT_OUT, symlinks=True)
        for name in _SERVERS:
            if (ROOT / name).is_dir():
                (self._tree / name).symlink_to(ROOT / name)  # to make them anew takes minutes
        self._environment = {**os.environ, "PYTHONPATH": str(self._tree), "COLUMNS": "400"}
        self._is_what_is_tested()

    def _is_what_is_tested(self) -> None:
        """The environment may hold an installed Syncer as well: the tests must not meet that one."""
        asked = [sys.executable, "-c", "import syncer; print(syncer.__file__)"]
        told = self._call(asked).stdout.strip()
        if not Path(told).resolve().is_relative_to(self._tree.resolve()):
            raise SystemExit(f"the tests would run on {told}, not on the copy")

    def judged(self, mutant: Mutant) -> Verdict:
        """Plant the bug, run its tests, take it out again."""
        began = time.monotonic()
        with self._planted(mutant):
            test, trouble = self._outcome(mutant)
        return Verdict(mutant=mutant, test=test, trouble=trouble, seconds=time.monotonic() - began)

    def _outcome(self, mutant: Mutant) -> tuple[str, str]:
        try:
            done = self.tested(mutant.tests)
        except subprocess.TimeoutExpired:
            return ("the time-out", "") if mutant.hangs else ("", "its tests came to no end")
        if done.returncode == 0:
            return "", "SURVIVED"
        found = _VERDICT.search(done.stdout)
        if done.returncode != 1 or found is None:
            return "", f"its tests did not even run:\n{done.stdout[-3000:]}{done.stderr[-1000:]}"
        if _HELD_UP in (found[2] or "") and not mutant.hangs:
            return "", f"only a time-out stopped {found[1]}"
        return found[1], ""

    def tested(self, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run tests on the copy as it is. Raises TimeoutExpired."""
        base = self._home / "base"
        options = ["-x", "-q", "-rfE", "-p", "no:cacheprovider", "--no-header", f"--basetemp={base}"]
        return self._call([sys.executable, "-m", "pytest", *options, f"--timeout={PATIENCE}", *tests])

    def _call(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self._tree,
            env=self._environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5 * PATIENCE,
        )

    @contextmanager
    def _planted(self, mutant: Mutant) -> Iterator[None]:
        name, changed = mutant.planted(self._tree)
        file = self._tree / name
        text = file.read_text(encoding="utf-8")
        file.write_text(changed, encoding="utf-8")
        _forget_compiled(file)
        try:
            yield
        finally:
            file.write_text(text, encoding="utf-8")
            _forget_compiled(file)


def _forget_compiled(file: Path) -> None:
    """Python takes a file of the same second and length for the same file."""
    Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)


def campaign(mutants: Sequence[Mutant], *, jobs: int) -> list[Verdict]:
    """Judge all of them, `jobs` at a time; tells each as it ends. SystemExit if the tests fail anyway."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="syncer-mutants-", dir=place) as home:
        free: SimpleQueue[Copy] = SimpleQueue()
        copies = [Copy(Path(home) / str(number)) for number in range(jobs)]
        _sound(copies[0], mutants)
        for copy in copies:
            free.put(copy)

        def judge(mutant: Mutant) -> Verdict:
            copy = free.get()
            try:
                verdict = copy.judged(mutant)
            finally:
                free.put(copy)
            _tell(verdict)
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(judge, mutants))


def _sound(copy: Copy, mutants: Sequence[Mutant]) -> None:
    """A test that fails without a bug catches none."""
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    began = time.monotonic()
    done = copy.tested(tests)
    if done.returncode:
        raise SystemExit(f"the tests fail without any bug:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    print(f"{len(tests)} tests or files pass without any bug ({time.monotonic() - began:.0f} s)", flush=True)


def _tell(verdict: Verdict) -> None:
    how = f"caught by {verdict.test}" if verdict.test else f"NOT CAUGHT: {verdict.trouble}"
    print(f"{verdict.seconds:5.1f} s  {verdict.mutant.name}\n         {how}", flush=True)


def page(verdicts: Sequence[Verdict]) -> str:
    """The list with what caught each, in Markdown."""
    run = [v for v in verdicts if v.test or v.trouble]
    counts = f"{len(run)} seeded, {sum(bool(v.test) for v in run)} caught."
    if len(run) < len(verdicts):
        counts += (
            f" {len(verdicts) - len(run)} more were added since, each seen caught by its tests then (`new`), "
            "and not yet part of a campaign over all."
        )
    lines = [_ABOUT, counts]
    group = ""
    for verdict in verdicts:
        mutant = verdict.mutant
        if mutant.group != group:
            group = mutant.group
            lines += ["", f"## {group}", "", "| bug | at | caught by |", "| --- | --- | --- |"]
        lines.append(f"| {mutant.name} | `{mutant.at}` | {_caught_by(verdict)} |")
    return "\n".join(lines) + "\n"


def _caught_by(verdict: Verdict) -> str:
    if verdict.test:
        return f"`{verdict.test.partition('[')[0]}`"
    return "**nothing**" if verdict.trouble else f"new: `{verdict.mutant.tests[0]}`"


def remembered(text: str, mutants: Sequence[Mutant]) -> dict[str, Verdict]:
    """Verdicts of an earlier run as the page `text` shows them, by the bug's name."""
    rows = dict(re.findall(r"^\| (.+) \| `[^`]+` \| `(tests/[^`]+|the time-out)` \|$", text, re.MULTILINE))
    return {m.name: Verdict(mutant=m, test=rows[m.name]) for m in mutants if m.name in rows}


def main(words: Sequence[str] | None = None) -> int:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.mutants", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "names", nargs="*", metavar="WORD", help="only bugs whose name holds one of the words"
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="how many at a time")
    parser.add_argument("--list", action="store_true", help="only show their names")
    asked = parser.parse_args(words)
    mutants = [m for m in listed() if not asked.names or any(word in m.name for word in asked.names)]
    if asked.list or not mutants:
        print("\n".join(m.name for m in mutants))
        return 0 if mutants else 2
    began = time.monotonic()
    verdicts = campaign(mutants, jobs=max(1, asked.jobs))
    missed = [v.mutant.name for v in verdicts if not v.test]
    took = time.monotonic() - began
    print(f"\n{len(verdicts)} seeded, {len(verdicts) - len(missed)} caught, {took:.0f} s")
    everything = listed()
    earlier = (
        remembered(PAGE.read_text(encoding="utf-8"), everything) if asked.names and PAGE.exists() else {}
    )
    now = {**earlier, **{v.mutant.name: v for v in verdicts}}
    PAGE.write_text(page([now.get(m.name, Verdict(mutant=m)) for m in everything]), encoding="utf-8")
    for name in missed:
        print(f"not caught: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
