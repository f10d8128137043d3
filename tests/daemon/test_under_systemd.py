"""The daemon as systemd starts it: a real process with a notify socket and a journal stream."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


class Started:
    """The process, and what it tells systemd."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.local, self.remote = home / "local", home / "remote"
        for folder in (self.local, home / "run"):
            folder.mkdir(mode=0o700)
        self.config = home / "config.toml"
        job = f'[jobs.docs]\nlocal = "{self.local}"\nremote = "local:{self.remote}"\nsettle = 0\n'
        self.config.write_text(f'state_dir = "{home}/state"\n{job}')
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(home / "notify"))
        self._socket.settimeout(60)
        with (home / "journal").open("w") as journal:
            found = os.fstat(journal.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "syncer", "--config", str(self.config), "daemon"],
                stdout=subprocess.DEVNULL,
                stderr=journal,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "XDG_RUNTIME_DIR": str(home / "run"),
                    "NOTIFY_SOCKET": str(home / "notify"),
                    "WATCHDOG_USEC": "400000",
                    "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
                },
            )

    def hears(self, word: str) -> list[str]:
        """The message that holds this word, whatever comes before it."""
        while True:
            message = self._socket.recv(1 << 16).decode().split("\n")
            if word in message:
                return message

    def journal(self) -> list[str]:
        return (self.home / "journal").read_text().splitlines()

    def end(self) -> None:
        self._socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    made = Started(tmp_path)
    yield made
    made.end()


def test_systemd_hears_of_its_whole_life(started: Started) -> None:
    assert f"MAINPID={started.process.pid}" in started.hears("READY=1")
    started.hears("WATCHDOG=1")
    started.process.send_signal(signal.SIGHUP)
    assert any(re.fullmatch(r"MONOTONIC_USEC=[0-9]+", word) for word in started.hears("RELOADING=1"))
    started.hears("READY=1")
    started.process.send_signal(signal.SIGTERM)
    started.hears("STOPPING=1")
    assert started.process.wait(30) == 143


def test_a_config_that_went_wrong_is_told_and_the_daemon_goes_on(started: Started) -> None:
    started.hears("READY=1")
    started.config.write_text("[jobs.docs]\nlocal = 5\n")
    started.process.send_signal(signal.SIGHUP)
    started.hears("RELOADING=1")
    started.hears("READY=1")
    (started.local / "new\n<0>forged").write_text("x")
    while not any("upload new" in line for line in started.journal()):
        started.hears("WATCHDOG=1")
    assert (started.remote / "new\n<0>forged").read_text() == "x"
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(30) == 143
    lines = started.journal()
    assert all(re.match("<[3467]>[^<]", line) for line in lines), lines
    assert [line for line in lines if "jobs.docs.local" in line and line.startswith(("<3>", "<4>"))]
    assert [line for line in lines if line.startswith("<6>docs: upload new\\n<0>forged: done")]
