"""Closed and full outputs, a working directory that is gone, a home that is none: the code stays right."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Machine

ROOT = Path(__file__).parent.parent.parent
PROGRAM = shlex.join([sys.executable, "-m", "syncer"])


def shell(line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `syncer` is the program."""
    script = f'set -o pipefail\nsyncer() {{ {PROGRAM} "$@"; }}\n{line}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    assert "bug of Syncer" not in done.stderr
    return done


@pytest.mark.parametrize(
    "streams",
    ["2>/dev/full", "2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | cat >/dev/null"],
)
def test_a_run_with_nobody_to_tell_ended_before_it_had_done_anything(machine: Machine, streams: str) -> None:
    machine.write("local", "x", "1")
    assert shell(f"syncer sync {streams}").returncode == 0
    assert (machine.remote / "x").read_text() == "1"
    assert (machine.local / "x").read_text() == "1"


@pytest.mark.parametrize("streams", [">&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["status", "sync --json", "plan", "--help"])
def test_who_closes_stdout_still_gets_the_exit_code(machine: Machine, command: str, streams: str) -> None:
    assert shell(f"syncer {command} {streams}").returncode == 0
    assert shell(f"syncer --config /no/such {command} {streams}").returncode == (
        0 if command == "--help" else 2
    )


@pytest.mark.parametrize(
    "command", ["sync", "status", "status --json", "plan", "check", "--help", "--version"]
)
def test_an_answer_that_a_full_disk_took_is_no_success(machine: Machine, command: str) -> None:
    machine.write("local", "x", "1")
    shell("syncer sync")
    done = shell(f"syncer {command} >/dev/full")
    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        "syncer: the answer cannot be written to stdout: No space left on device"
    ]


def test_a_lost_answer_does_not_hide_how_the_run_ended(machine: Machine) -> None:
    machine.configure(machine.job('conflict = "ask"'))
    machine.write("local", "x", "1")
    machine.write("remote", "x", "22")
    done = shell("syncer sync --json >/dev/full")
    assert (done.returncode, "stdout" in done.stderr) == (1, True)
    assert shell("syncer sync --json | true; exit ${PIPESTATUS[0]}").returncode == 1


@pytest.mark.parametrize("command", ["--help", "plan", "sync --json"])
def test_a_reader_that_goes_away_is_no_failure(machine: Machine, command: str) -> None:
    for number in range(300):
        machine.write("local", f"file-with-a-rather-long-name-{number}-{'x' * 200}", "")
    done = shell(f"syncer {command} | head -c 20 >/dev/null; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0, done.stderr


def test_a_file_is_never_opened_under_the_number_of_a_closed_stream(machine: Machine) -> None:
    """Else a last message of the interpreter would be written into a user's file."""
    code = "from syncer.cli.main import main; import os; main(['--version']); os._exit(os.open('.', 0))"
    done = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} <&- >&- 2>&-")
    assert done.returncode > 2


def test_a_working_directory_that_is_gone_was_taken_for_a_bug(machine: Machine) -> None:
    machine.write("local", "x", "1")
    gone = "mkdir gone && cd gone && rmdir ../gone"
    for command in (
        "sync",
        f"sync {machine.local} local:{machine.remote}",
        "status",
        "check",
        "config check",
    ):
        assert shell(f"{gone} && syncer {command}").returncode == 0, command
    assert (machine.remote / "x").exists()
    for command in ("sync ./local ./remote", "ls local:x", "sync /tmp local:x", "serve x --list-keys"):
        done = shell(f"{gone} && syncer {command}")
        assert done.returncode == 2, command
        assert "the working directory was removed; write an absolute path" in done.stderr


@pytest.mark.parametrize(("home", "told"), [("", "is empty"), ("rel/dir", 'is no absolute path ("rel/dir")')])
def test_without_a_home_nothing_is_guessed(machine: Machine, home: str, told: str) -> None:
    plain = {"HOME": home, "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""}
    for command in ("sync", "status", "config show", "init --local local --remote ./remote"):
        done = shell(f"syncer {command}", **plain)
        assert done.returncode == 2, command
        assert done.stderr.splitlines()[0] == (
            f"syncer: the environment variable HOME {told}: the home directory is not known"
        )
    assert sorted(p.name for p in machine.home.iterdir()) == ["config", "local"], "nothing was made"
    assert shell("syncer sync", HOME=home).returncode == 0, "where no home is needed none is asked for"
    config = machine.home / "own.toml"
    config.write_text(f'state_dir = "{machine.home}/own-state"\n{machine.job()}')
    assert shell(f"syncer -c {config} sync", **plain).returncode == 0
    config.write_text('[jobs.j]\nlocal = "~/x"\nremote = "local:/r"\n')
    done = shell(f"syncer -c {config} sync", **plain)
    assert (done.returncode, told in done.stderr) == (2, True)


def test_a_home_of_another_user_was_found_behind_the_shells_back(machine: Machine) -> None:
    machine.configure('[jobs.j]\nlocal = "~root/x"\nremote = "local:/r"\n')
    answer = machine.call("sync")
    assert (answer.code, 'only "~/" is expanded' in answer.err) == (2, True)
    machine.configure(machine.job())
    (machine.home / "~root").mkdir()
    machine.write("local", "x", "1")
    assert machine.call("sync", "./local", "local:~root").code == 0
    assert (machine.home / "~root/x").exists()


@pytest.mark.parametrize("bom", [b"\xef\xbb\xbf", b""])
def test_a_config_that_begins_with_a_byte_order_mark_was_no_toml(machine: Machine, bom: bytes) -> None:
    machine.config.write_bytes(bom + machine.job().encode())
    assert machine.call("sync").code == 0
    (machine.home / "more").mkdir()
    assert machine.call("init", "--local", "more", "--remote", "./there", "--name", "more").code == 0
    assert machine.config.read_bytes().startswith(bom + b"[jobs.docs]")
    assert machine.call("config", "check", "--json").document["jobs"] == ["docs", "more"]


@pytest.mark.parametrize("side", ["local", "remote"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_users_file_by_the_name_of_our_folder_was_no_reason_that_was_told(
    machine: Machine, side: str, kind: str
) -> None:
    machine.remote.mkdir()
    mine = machine.home / side / ".syncer"
    if kind == "file":
        mine.write_text("a user's")
    else:
        mine.symlink_to(machine.home)
    machine.write("local", "x", "1")
    for command in ("sync", "plan", "check"):
        answer = machine.call(command)
        assert answer.code == 2, command
        assert f"{mine} is no folder" in answer.err
        assert "hint: rename it" in answer.err
    assert mine.is_file() if kind == "file" else mine.is_symlink()
    assert not (machine.remote / "x").exists()
    mine.unlink()
    assert machine.call("sync").code == 0
    (machine.home / side / ".syncer").rename(machine.home / "aside")
    mine.write_text("a user's")
    for words in (("sync",), ("sync", "--yes"), ("explain", "x"), ("undo", "--yes")):
        answer = machine.call(*words)
        assert (answer.code, f"{mine} is no folder" in answer.err) == (2, True), answer
    assert json.loads(machine.call("sync", "--json").out)["jobs"][0]["result"] == "error"
