"""Files written by real programs with a daemon behind them: correct result, never half a file.

git, rsync, editors, and ten thousand files at once; folder to folder, and over a server to a second machine.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon.campaigns.machines import Machine, eventually, machines
from tests.daemon.campaigns.programs import Reader, a_repository, git, save, save_as_vim, whole
from tests.daemon.campaigns.worlds import World, at_work, difference, tree

PROJECT = Path(__file__).parent.parent.parent.parent


@contextmanager
def a_machine(base: Path) -> Iterator[tuple[Machine, Path]]:
    """A daemon between two folders of one disk, with every setting as it comes."""
    there = base / "there"
    there.mkdir(parents=True)
    machine = Machine(home=base / "one", remote=f"local:{there}", options="")
    with machines(machine):
        machine.start()
        yield machine, there
        machine.told_no_nonsense()


def comes_equal(machine: Machine, *roots: Path, within: float = 120.0) -> float:
    """Seconds until all roots are the same, and the daemon is at rest."""

    def equal() -> bool:
        trees = [tree(root) for root in (machine.local, *roots)]
        return machine.is_quiet() and all(t == trees[0] for t in trees)

    def told() -> str:
        return f"{difference(*map(tree, (machine.local, *roots)))}\n{machine.status}\n{machine.log[-2000:]}"

    return eventually(equal, within, told)


# -- many files at once -----------------------------------------------------------------


def many_files(base: Path, *, count: int) -> None:
    with a_machine(base) as (machine, there):
        eventually(machine.is_quiet, 30)
        began = time.monotonic()
        for number in range(count):
            place = machine.local / f"d{number % 40}" / f"f{number}"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(b"%d" % number)
        made = time.monotonic() - began
        took = comes_equal(machine, there, within=300)
        assert sum(shape is not None for shape in tree(there).values()) == count
        print(f"{count} files made in {made:.1f} s, there {took:.1f} s later; {machine.done()}")


def test_a_thousand_files_made_in_one_go_arrive(tmp_path: Path) -> None:
    many_files(tmp_path, count=1000)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_thousand_files_made_in_one_go_arrive(tmp_path: Path) -> None:
    many_files(tmp_path, count=10_000)


# -- git -----------------------------------------------------------------------------------


def back_and_forth(base: Path, origin: Path, commits: list[str], *, times: int, inside: bool) -> None:
    """`git checkout` between these commits, without waiting. `inside`: the repository is synced, too."""
    with a_machine(base) as (machine, there):
        kept = machine.local / ".git" if inside else base / "repository"
        git(base, "clone", "-q", "--no-checkout", f"--separate-git-dir={kept}", str(origin), str(base / "c"))
        shutil.rmtree(base / "c")
        here = (f"--git-dir={kept}", f"--work-tree={machine.local}", "-c", "core.bare=false")
        for number in range(times):
            git(machine.local, *here, "checkout", "-q", "-f", commits[number % len(commits)])
            time.sleep(0.3 * (number % 4))
        took = comes_equal(machine, there)
        for root in (machine.local, there):
            own = (f"--git-dir={root / '.git' if inside else kept}", f"--work-tree={root}")
            git(root, *own, "-c", "core.bare=false", "update-index", "-q", "--refresh")
            said = git(root, *own, "-c", "core.bare=false", "status", "--porcelain", "--untracked-files=all")
            assert [line for line in said.splitlines() if ".syncer/" not in line] == []
        print(f"{times} checkouts, inside {inside}: equal {took:.1f} s later; {machine.done()}")


@pytest.mark.parametrize("inside", [False, True])
def test_git_checkouts_end_clean_on_both_sides(tmp_path: Path, inside: bool) -> None:
    commits = a_repository(tmp_path / "origin", commits=3, files=60)
    back_and_forth(tmp_path, tmp_path / "origin", [commits[-1], commits[0]], times=6, inside=inside)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("inside", [False, True])
def test_twenty_checkouts_of_this_repository_end_clean_on_both_sides(tmp_path: Path, inside: bool) -> None:
    commits = git(PROJECT, "rev-list", "--reverse", "HEAD").split()
    back_and_forth(tmp_path, PROJECT, [commits[-1], commits[len(commits) // 2]], times=20, inside=inside)


# -- editors, rsync --------------------------------------------------------------------------


def editors(base: Path, *, saves: int, seed: int) -> None:
    """Two editors at one machine, over a server; somebody reads along at the other machine."""
    drawn = random.Random(seed)
    with at_work(World(base, seed=seed)) as found:
        here, there = (machine.local for machine in found.machines)
        latest: dict[str, bytes] = {}
        for number in range(8):
            latest[f"f{number}"] = whole(f"first {number}", 1000)
            (here / f"f{number}").write_bytes(latest[f"f{number}"])
        found.comes_equal(60)
        with Reader(root=there) as reader:
            for number in range(saves):
                name = drawn.choice(sorted(latest))
                latest[name] = whole(f"{seed} {number}", drawn.choice((10, 5000, 300_000, 2_000_000)))
                drawn.choice((save, save_as_vim))(here / name, latest[name])
                time.sleep(drawn.random() * 0.1)
            took = found.comes_equal(60)
        assert reader.torn == []
        assert {path: (there / path).read_bytes() for path in tree(there)} == latest
        found.nobody_stumbled()
        print(f"{saves} saves, {reader.reads} reads, equal {took:.1f} s later")


def test_safe_saves_never_show_half_a_file(tmp_path: Path) -> None:
    editors(tmp_path, saves=60, seed=3)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_hundreds_of_safe_saves_never_show_half_a_file(tmp_path: Path) -> None:
    editors(tmp_path, saves=600, seed=random.SystemRandom().randrange(1 << 30))


def rsyncs(base: Path, *, times: int, files: int) -> None:
    """`rsync -a --delete` into the folder, of a source that changes (too quickly for its look at times)."""
    source = base / "source"
    with a_machine(base) as (machine, there), Reader(root=there) as reader:
        for number in range(times):
            for place in range(files):
                if (place + number) % 3 == 0:
                    where = source / f"d{place % 5}" / f"f{place}"
                    where.parent.mkdir(parents=True, exist_ok=True)
                    where.write_bytes(whole(f"{number} {place}", (place * 7919) % 400_000))
                elif (place + number) % 17 == 0:
                    (source / f"d{place % 5}" / f"f{place}").unlink(missing_ok=True)
            words = [
                "rsync",
                "-a",
                "--checksum",
                "--delete",
                "--exclude=.syncer",
                f"{source}/",
                f"{machine.local}/",
            ]
            subprocess.run(words, check=True, timeout=120)
        took = comes_equal(machine, there)
        assert tree(there) == tree(source)
    assert reader.torn == []
    print(f"{times} times {files} files, {reader.reads} reads, equal {took:.1f} s later")


def test_what_rsync_writes_never_shows_half_a_file(tmp_path: Path) -> None:
    rsyncs(tmp_path, times=4, files=80)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_what_rsync_writes_many_times_never_shows_half_a_file(tmp_path: Path) -> None:
    rsyncs(tmp_path, times=30, files=400)
