"""What the commands say of ignored names: which rule it is, by file, line and pattern."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Machine

RULES = "# what is made\n*.o\nbuild/\n!keep.o\n"


@pytest.fixture
def ruled(machine: Machine) -> Machine:
    machine.configure(machine.job('ignore = ["*.bak", "*.tmp"]'))
    machine.write("local", ".syncignore", RULES)
    for name in ("a.o", "b.o", "keep.o", "build/deep/x", "c.tmp", "src/d.o"):
        machine.write("local", name, "1")
    machine.write("local", "src/.syncignore.local", "secret*\n")
    machine.write("local", "src/secret.txt", "1")
    return machine


def test_the_last_line_of_a_sync_names_the_rule_that_ignored_most(ruled: Machine) -> None:
    said = ruled.call("sync").out.splitlines()[-1]
    assert said.endswith("6 ignored by 4 rules, 3 of them by .syncignore:2:*.o")
    assert sorted(p.name for p in ruled.remote.rglob("*") if ".syncer" not in p.parts) == [
        ".syncignore",
        "keep.o",
        "src",
    ]


def test_a_single_rule_is_named_whole(machine: Machine) -> None:
    machine.write("local", "a.o", "1")
    machine.write("local", ".syncignore", "*.o")
    assert machine.call("sync").out.endswith("1 ignored by .syncignore:1:*.o\n")


def test_every_rule_is_listed_with_its_count(ruled: Machine) -> None:
    said = ruled.call("sync", "-v", "--dry-run").out
    for line in ("3 by .syncignore:2:*.o", "1 by .syncignore:3:build/", "1 by ignore:2:*.tmp"):
        assert f"ignored         {line}\n" in said
    counted = ruled.call("sync", "--json").job["ignored"]
    assert {"file": ".syncignore", "line": 2, "pattern": "*.o", "count": 3} in counted
    assert {"file": "src/.syncignore.local", "line": 1, "pattern": "secret*", "count": 1} in counted


@pytest.mark.parametrize(
    ("path", "rule", "found"),
    [
        ("a.o", "ignored by .syncignore:2:*.o; left alone on both sides", (".syncignore", 2, "*.o", True)),
        ("keep.o", "in sync", (".syncignore", 4, "!keep.o", False)),
        (
            "build/deep/x",
            "its directory build is ignored by .syncignore:3:build/; left alone on both sides",
            (".syncignore", 3, "build/", True),
        ),
        ("c.tmp", "ignored by ignore:2:*.tmp (the job's own rules)", ("ignore", 2, "*.tmp", True)),
        (
            "src/secret.txt",
            "ignored by src/.syncignore.local:1:secret*; left alone",
            ("src/.syncignore.local", 1, "secret*", True),
        ),
        (
            "src/not-there.o",
            "nothing is remembered of it; ignored by .syncignore:2:*.o",
            None,
        ),
    ],
)
def test_explain_names_file_line_and_pattern(
    ruled: Machine, path: str, rule: str, found: tuple[str, int, str, bool] | None
) -> None:
    ruled.call("sync")
    said = ruled.call("explain", path, "--json").document
    assert rule in said["rule"]
    if found is not None:
        assert tuple(said["ignore"][key] for key in ("file", "line", "pattern", "ignored")) == found
    assert rule in ruled.call("explain", path).out


def test_explain_tells_what_brings_a_name_back(ruled: Machine) -> None:
    ruled.call("sync")
    assert "ignore  not ignored, by .syncignore:4:!keep.o" in ruled.call("explain", "keep.o").out
    assert ruled.call("explain", ".syncignore", "--json").document["ignore"] is None


def test_explain_of_a_name_that_is_newly_ignored_names_the_rule(machine: Machine) -> None:
    machine.write("local", "a.o", "1")
    machine.call("sync")
    machine.write("remote", ".syncignore", "\n\n*.o\n")
    said = machine.call("explain", "a.o", "--json").document
    assert said["rule"].startswith("an ignore rule names it now: forgotten, never deleted; ignored by")
    assert "by .syncignore:3:*.o (as it stands on the remote side)" in said["rule"]


def test_explain_of_the_machine_s_own_rules_says_that_they_are_never_synced(ruled: Machine) -> None:
    assert "never synced" in ruled.call("explain", "src/.syncignore.local").out


def test_config_check_names_patterns_that_are_surely_not_meant(machine: Machine) -> None:
    machine.configure(machine.job('ignore = ["*.o", "[z-a]", "f["]'))
    answer = machine.call("config", "check")
    assert answer.code == 2
    assert "jobs.docs.ignore: pattern 2: [z-a]: the range z-a goes backwards" in answer.err
    assert 'jobs.docs.ignore: pattern 3: f[: a "[" is not closed' in answer.err
    machine.write("local", "m", "1")
    ran = machine.call("sync")
    assert ran.code == 0, "as with git, such a pattern matches what it matches"
    assert "warning" in ran.err and "pattern 2" in ran.err


def test_config_check_warns_of_patterns_in_the_rules_files_at_the_root(machine: Machine) -> None:
    machine.write("local", ".syncignore", "ok\n[\n")
    machine.write("local", ".syncignore.local", "./x\n")
    answer = machine.call("config", "check", "--json")
    assert answer.code == 0
    assert answer.document["warnings"] == [
        f'{machine.local}/.syncignore:2: [: a "[" is not closed',
        f'{machine.local}/.syncignore.local:1: ./x: no path has a part "." or ".."',
    ]


@pytest.mark.parametrize(
    ("patterns", "why"),
    [
        (["*a" * 100], "jobs.docs.ignore: pattern 1: the pattern has more than 64 stars"),
        (["a", "b\nc"], "jobs.docs.ignore: pattern 2 is not one line"),
        (["a" * 5000], "longer than 4,096 bytes"),
    ],
)
def test_a_config_with_patterns_beyond_bounds_is_refused(
    machine: Machine, patterns: list[str], why: str
) -> None:

    machine.configure(machine.job(f"ignore = {json.dumps(patterns)}"))
    for words in (("config", "check"), ("sync",)):
        answer = machine.call(*words)
        assert answer.code == 2 and why in answer.err


def test_patterns_beyond_bounds_on_the_command_line_are_refused(machine: Machine) -> None:
    answer = machine.call("sync", "local", "./there", "--ignore", "*a" * 100)
    assert answer.code == 2
    assert "--ignore: pattern 1: the pattern has more than 64 stars" in answer.err


def test_a_pattern_that_is_no_text_is_taken(machine: Machine) -> None:
    machine.write("local", "a", "1")
    (machine.local / os.fsdecode(b"b\xff")).write_text("2")
    answer = machine.call("sync", "local", "./there", "--ignore", "*\udcff")
    assert answer.code == 0, answer.err
    assert [p.name for p in (machine.home / "there").iterdir() if p.name != ".syncer"] == ["a"]


def test_rules_that_come_by_sync_and_are_beyond_bounds_are_a_named_problem(machine: Machine) -> None:
    machine.write("local", "a", "1")
    machine.write("local", "d/x", "1")
    machine.call("sync")
    machine.write("remote", "d/.syncignore", "\n" + "*a" * 100)
    machine.write("local", "a", "22")
    answer = machine.call("sync")
    assert answer.code == 1
    assert (
        "problem         d (remote): its ignore rules: .syncignore:2: the pattern has more than 64 stars"
        in answer.out
    )
    assert (machine.remote / "a").read_text() == "22", "the rest is synced"
    for command in ("status", "check", "plan", "explain"):
        words = (command, "d/x") if command == "explain" else (command,)
        assert "a bug of Syncer" not in (told := machine.call(*words)).err + told.out
    machine.write("remote", "d/.syncignore", "*.o")
    assert machine.call("sync").code == 0


def test_rules_that_took_hours_by_backtracking_take_no_time(tmp_path: Path) -> None:
    root = tmp_path / "local"
    root.mkdir()
    (root / ".syncignore").write_text("".join("*a" * 8 + f"{i}\n" for i in range(900)))
    for number in range(100):
        (root / f"{'a' * 60}b{number}").touch()
    child = subprocess.Popen(
        [sys.executable, "-m", "syncer", "sync", str(root), f"local:{tmp_path / 'remote'}"],
        env={"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    assert used.ru_utime < 20
