"""`init`: a first config file, another job in it, and what it refuses to write."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Machine

ROOT = Path(__file__).parent.parent.parent


def init(machine: Machine, *words: str) -> Answer:
    return machine.call("init", "--local", str(machine.local), "--remote", str(machine.remote), *words)


def test_a_first_config_is_private_and_works_at_once(machine: Machine) -> None:
    machine.config.unlink()
    machine.config.parent.rmdir()
    machine.write("local", "x", "1")
    answer = init(machine, "--name", "docs", "--json")
    assert (answer.code, answer.document["made"], answer.document["job"]) == (0, True, "docs")
    assert answer.document["file"] == str(machine.config)
    assert answer.document["next"][0] == "syncer plan"
    assert machine.config.stat().st_mode & 0o777 == 0o600
    assert machine.config.parent.stat().st_mode & 0o777 == 0o700
    assert machine.call("config", "check").code == 0
    assert machine.call("sync").code == 0
    assert machine.everything() == {"local/x": b"1", "remote/x": b"1"}


def test_the_comments_of_a_new_job_are_right_when_they_are_made_lines(machine: Machine) -> None:
    machine.config.unlink()
    init(machine, "--name", "docs")
    head, _, body = machine.config.read_text().partition("[jobs.docs]")
    assert head.count("#") == 2
    lines = [line.removeprefix("# ").partition("  # ")[0] for line in body.splitlines()]
    machine.config.write_text("\n".join(["[jobs.docs]", *lines]))
    assert machine.call("config", "check").code == 0
    shown = machine.call("config", "show", "--json").document["jobs"]["docs"]
    assert (shown["ignore"], shown["conflict"], shown["interval"]) == (["*.tmp"], "keep-both", "5m")


def test_the_name_is_the_folders_unless_it_is_said(machine: Machine) -> None:
    machine.config.unlink()
    assert init(machine, "--json").document["job"] == "local"


@pytest.mark.parametrize("name", ["my docs", 'with "quotes"', "ünïcode", "a.b"])
def test_a_name_that_needs_quotes_gets_them(machine: Machine, name: str) -> None:
    machine.config.unlink()
    assert init(machine, "--name", name).code == 0
    assert machine.call("config", "check", "--json").document["jobs"] == [name]


def test_another_job_is_added_at_the_end_and_nothing_else_changes(machine: Machine) -> None:
    for end in ("", "\n", "# a comment without a line end"):
        machine.configure(machine.job() + end)
        machine.config.chmod(0o640)
        before = machine.config.read_bytes()
        other = machine.home / "other"
        other.mkdir(exist_ok=True)
        words = ("--local", str(other), "--remote", f"local:{machine.home / 'copy'}", "--name", "more")
        answer = machine.call("init", *words, "--json")
        assert (answer.code, answer.document["made"]) == (0, False)
        assert machine.config.read_bytes().startswith(before)
        assert machine.config.stat().st_mode & 0o777 == 0o640
        assert machine.call("config", "check", "--json").document["jobs"] == ["docs", "more"]


def test_a_job_that_is_there_is_refused_with_the_lines_to_write(machine: Machine) -> None:
    before = machine.config.read_bytes()
    answer = init(machine, "--name", "docs")
    assert answer.code == 2
    assert "a job docs already" in answer.err
    assert "[jobs.docs]" in answer.err
    assert machine.config.read_bytes() == before


@pytest.mark.parametrize("text", ["jobs = {}\n", "not toml", "[jobs.docs]\nlocal = 1\n"])
def test_a_file_that_is_wrong_or_cannot_take_a_table_stays_as_it_is(machine: Machine, text: str) -> None:
    machine.configure(text)
    answer = init(machine, "--name", "new")
    assert (answer.code, str(machine.config) in answer.err) == (2, True)
    assert machine.config.read_text() == text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--local and --remote must be given"),
        (("--local", "local"), "--remote must be given"),
        (("--local", "nowhere", "--remote", "remote"), "does not exist"),
        (("--local", "config/syncer/config.toml", "--remote", "r"), "is not a folder"),
        (("--local", "local", "--remote", "no/where"), "does not exist"),
        (("--local", "local", "--remote", "local/in"), "inside"),
        (("--local", "local", "--remote", "ovh:backup"), "unknown account 'ovh'"),
        (("--local", "local", "--remote", "remote", "--name", "a:b"), "a name must be"),
        (("--local", ".", "--remote", "/tmp/elsewhere", "--name", "home"), "state directory"),
        (("--local", "a$b", "--remote", "remote"), "$"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_written(
    machine: Machine, words: tuple[str, ...], told: str
) -> None:
    machine.configure("")
    (machine.home / "a$b").mkdir()
    answer = machine.call("init", *words)
    assert answer.code == 2
    assert told in answer.err
    assert machine.config.read_text() == ""


def test_a_name_that_would_be_read_as_another_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELSEWHERE", "local")
    (machine.home / "$ELSEWHERE").mkdir()
    machine.config.unlink()
    words = ("--local", str(machine.home / "$ELSEWHERE"), "--remote", str(machine.remote), "--name", "x")
    answer = machine.call("init", *words)
    assert (answer.code, "read as they are" in answer.err) == (2, True)
    assert not machine.config.exists()


def test_a_place_for_the_file_can_be_named(machine: Machine) -> None:
    file = machine.home / "deep/er/own.toml"
    answer = machine.call(
        "--config", str(file), "init", "--local", str(machine.local), "--remote", str(machine.remote)
    )
    assert answer.code == 0
    assert f"syncer --config {file} sync" in answer.out
    assert machine.call("--config", str(file), "config", "check").code == 0


def test_a_file_that_others_made_meanwhile_is_not_touched(machine: Machine) -> None:
    machine.config.unlink()
    machine.config.symlink_to(machine.home / "nowhere.toml")
    assert init(machine).code == 2
    assert not (machine.home / "nowhere.toml").exists()


def converse(machine: Machine, *answers: str) -> tuple[int, str]:
    """The command on a terminal, each line answered; exit code and what was shown."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "syncer", "init"], cwd=ROOT, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    os.write(leader, "".join(f"{line}\n" for line in answers).encode())
    shown = b""
    try:
        while piece := os.read(leader, 4096):
            shown += piece
    except OSError:  # the terminal hangs up (Linux: EIO)
        pass
    os.close(leader)
    return process.wait(timeout=60), shown.decode()


def test_on_a_terminal_it_asks(machine: Machine) -> None:
    machine.config.unlink()
    code, shown = converse(machine, str(machine.local), str(machine.remote), "papers", "y")
    assert code == 0, shown
    assert "Which folder here" in shown
    assert "[jobs.papers]" in shown
    assert machine.call("config", "check", "--json").document["jobs"] == ["papers"]


def test_a_no_on_the_terminal_writes_nothing(machine: Machine) -> None:
    machine.config.unlink()
    code, shown = converse(machine, str(machine.local), str(machine.remote), "", "n")
    assert code == 130, shown
    assert "[local]" in shown, "the folder's name is suggested"
    assert not machine.config.exists()
