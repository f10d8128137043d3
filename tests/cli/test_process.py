"""The program as a process: `python -m syncer`, signals, locks, terminals, a reader that goes away."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from syncer.state import PairLock
from tests.cli.conftest import Machine

ROOT = Path(__file__).parent.parent.parent
SLOW = 'upload_limit = "16k"'  # bytes per second: a run of a minute that a signal can meet


def program(*words: str) -> list[str]:
    return [sys.executable, "-m", "syncer", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(*words), env=environment(), capture_output=True, text=True, timeout=60)


def test_the_module_is_the_program(machine: Machine) -> None:
    machine.write("local", "x", "1")
    done = run("sync", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["jobs"][0]["result"] == "in-sync"
    assert run("sync", "nope").returncode == 2


def test_a_locale_that_knows_only_ascii_changes_nothing(machine: Machine) -> None:
    machine.write("local", "\u00e9", "1")
    plain = {**environment(), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(program("sync", "--json"), env=plain, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (machine.remote / "\u00e9").read_text() == "1"
    assert machine.call("sync", "--json").job["actions"] == []


def test_help_loads_nothing_heavy(machine: Machine) -> None:
    code = (
        "import sys; from syncer.cli.main import main; main(['--help']); "
        "heavy = {'pydantic', 'sqlalchemy', 'rich', 'pathspec', 'blake3', 'tenacity'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def started(machine: Machine) -> subprocess.Popen[str]:
    """A run that copies slowly, met while it does."""
    process = subprocess.Popen(program("sync"), env=environment(), stderr=subprocess.PIPE, text=True)
    while not list(machine.remote.glob(".syncer-tmp-*")):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            raise AssertionError("the run ended before it could be met")
    return process


@pytest.fixture
def slow(machine: Machine) -> Machine:
    """A file that takes a while."""
    machine.call("sync")
    machine.configure(machine.job(SLOW))
    machine.write("local", "big", "x" * 1_000_000)
    return machine


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_run_cleanly_and_the_next_one_goes_on(
    slow: Machine, signum: signal.Signals, code: int
) -> None:
    process = started(slow)
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    slow.configure(slow.job())
    assert slow.call("sync").code == 0
    assert len((slow.remote / "big").read_bytes()) == 1_000_000
    runs = slow.call("history", "--json").document["jobs"][0]["runs"]
    assert [r["result"] for r in runs[:2]] == ["in-sync", "interrupted"]


def test_a_second_run_of_a_held_job_exits_6_and_says_who_holds_it(machine: Machine) -> None:
    machine.call("sync")
    [directory] = machine.state.glob("pairs/*")
    with PairLock.acquire(directory):
        for words in (("sync",), ("plan",), ("check",), ("explain", "x")):
            answer = machine.call(*words)
            assert answer.code == 6, words
            assert f"process {os.getpid()}" in answer.err
        assert machine.call("status").code == 0
    assert machine.call("sync").code == 0


def test_sigusr1_prints_the_stacks_and_the_run_goes_on(slow: Machine) -> None:
    process = started(slow)
    process.send_signal(signal.SIGUSR1)
    assert process.stderr is not None
    assert "hread 0x" in process.stderr.readline()
    assert process.poll() is None
    process.kill()
    process.communicate(timeout=30)


def test_a_second_signal_ends_the_program_at_once(slow: Machine) -> None:
    process = started(slow)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    slow.configure(slow.job())
    assert slow.call("sync").code == 0


def test_a_reader_that_goes_away_leaves_no_traceback(machine: Machine) -> None:
    for number in range(3000):
        machine.write("local", f"file-with-a-rather-long-name-{number}", "")
    process = subprocess.Popen(
        program("plan"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)
    assert "Traceback" not in err
    assert "unexpected" not in err


def test_on_a_terminal_there_are_bars_and_the_same_lines(machine: Machine) -> None:
    machine.write("local", "x", "1")
    shown = on_a_terminal("sync")
    assert "upload" in shown
    assert "docs: in sync, 1 up (1 B)" in shown
    assert "\x1b[3" not in shown, "NO_COLOR holds"


def on_a_terminal(*words: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        program(*words), env={**environment(), "TERM": "xterm"}, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return seen.decode()


def test_an_encoding_that_cannot_hold_a_name_breaks_nothing(machine: Machine) -> None:
    machine.write("local", "čaj", "1")
    machine.call("sync")
    done = subprocess.run(
        program("history", "--run", "1"),
        env={**environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u010daj" in done.stdout
