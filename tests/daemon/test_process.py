"""`syncer daemon` as a process: single instance, signals, exit codes."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon.bench import LONG, eventually
from tests.world import World, call


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    runtime = tempfile.mkdtemp(prefix="syncer-run-")  # a socket's path has to be short
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    yield World(tmp_path / "world")
    shutil.rmtree(runtime)


@contextmanager
def a_daemon(world: World, *words: str) -> Iterator[subprocess.Popen[str]]:
    """One that is ready."""
    process = world.start("daemon", "--json", *words)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        assert json.loads(line)["pid"] == process.pid
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> int:
    return process.wait(LONG)


def test_a_second_daemon_is_told_who_runs_already(world: World) -> None:
    with a_daemon(world) as first:
        second = world.start("daemon")
        _, err = second.communicate(timeout=LONG)
        assert second.returncode == 6 and str(first.pid) in err and "syncer stop" in err
        world.write("local/f", "1")
        eventually(world.path("remote/f").exists)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_daemon(world: World, signum: int) -> None:
    with a_daemon(world) as process:
        process.send_signal(signum)
        assert ended(process) == 128 + signum
    assert world.sync().code == 0, "nobody holds anything"


def test_stop_ends_it_with_code_0_and_a_second_stop_finds_none(world: World) -> None:
    with a_daemon(world) as process:
        assert call(*world.words("stop", "--json")).document["stopped"] is True
        assert ended(process) == 0
    assert call(*world.words("stop", "--json")).document["stopped"] is False


def test_sighup_reads_the_config_again(world: World) -> None:
    with a_daemon(world) as process:
        world.configure(ignore='["*.tmp"]')
        process.send_signal(signal.SIGHUP)
        world.write("local/a.tmp", "1")
        world.write("local/f", "1")
        eventually(world.path("remote/f").exists)
        eventually(lambda: call(*world.words("flush", "--wait", "20", "--json")).code == 0)
        world.write("local/b.tmp", "1")
        world.write("local/g", "1")
        eventually(world.path("remote/g").exists)
        assert not world.path("remote/b.tmp").exists()
        assert process.poll() is None


def test_sighup_with_a_broken_config_keeps_the_old_one_and_says_so(world: World) -> None:
    with a_daemon(world) as process:
        before = world.config.read_text()
        world.config.write_text(before + 'ignroe = ["x"]\n')
        process.send_signal(signal.SIGHUP)
        world.write("local/f", "1")
        eventually(world.path("remote/f").exists)
        world.config.write_text(before)
        assert call(*world.words("stop")).code == 0
        assert ended(process) == 0
        assert process.stderr is not None and "ignroe" in process.stderr.read()


def test_signals_that_come_in_a_flock_do_not_hang_it(world: World) -> None:
    """Named after what might have gone wrong: a lock taken in the handler, held by whom it interrupts."""
    with a_daemon(world) as process:
        for _ in range(600):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        world.write("local/f", "1")
        eventually(world.path("remote/f").exists)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == 143


@pytest.mark.skipif(sys.platform != "linux", reason="threads are named in /proc")
def test_a_signal_ends_a_daemon_that_waits_whichever_thread_the_system_gives_it_to(world: World) -> None:
    """It was heeded half a minute later, at the next tick: one stop in five behind a flock of reloads."""
    with a_daemon(world) as process:
        threads = {int(thread.name) for thread in Path(f"/proc/{process.pid}/task").iterdir()}
        time.sleep(0.5)  # it waits
        ctypes.CDLL(None).tgkill(process.pid, max(threads - {process.pid}), signal.SIGTERM)
        assert process.wait(15) == 143


def test_a_daemon_that_was_killed_leaves_nothing_in_the_way_of_the_next(world: World) -> None:
    with a_daemon(world) as process:
        os.kill(process.pid, signal.SIGKILL)
        assert ended(process) == -signal.SIGKILL
    with a_daemon(world):
        world.write("local/f", "1")
        eventually(world.path("remote/f").exists)
