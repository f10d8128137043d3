"""What tests start does not outlive them, however pytest ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.reaper import left_behind

ROOT = Path(__file__).parent.parent

STARTS = """
import subprocess, sys, time

def test_it(tmp_path):
    daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    with open({out!r}, "w") as file:
        file.write(str(daemon.pid))
    time.sleep(300)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_outlived_the_pytest_that_was_ended(tmp_path: Path, number: int) -> None:
    told = tmp_path / "pid"
    test = tmp_path / "test_starts.py"
    test.write_text(STARTS.format(out=str(told)))
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.conftest",
    ]
    session = subprocess.Popen(
        [*words, f"--rootdir={tmp_path}", f"--basetemp={tmp_path}/base", "-c", os.devnull, str(test)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: told.exists() and told.read_text())
        session.send_signal(number)
        session.wait(60)
        until(lambda: not Path("/proc", told.read_text()).exists())
    finally:
        session.kill()


def test_nothing_is_found_for_another_session() -> None:
    assert left_behind("no session has this token") == []


def until(true: object) -> None:
    deadline = time.monotonic() + 60
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
