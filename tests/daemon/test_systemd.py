"""sd_notify(3) against a real datagram socket, and the status line as a table."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.daemon.status import DaemonStatus, JobStatus, Phase, Progress
from syncer.daemon.systemd import Systemd, status_line
from tests.server.clocks import Moved


class Manager:
    """What systemd would hear."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(20)

    def heard(self) -> list[str]:
        return self.socket.recv(1 << 16).decode().split("\n")

    def silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(1)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(20)
        return False


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    with made.socket:
        yield made


def told(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.socket.getsockname(), **more}


def test_it_is_ready_reloads_and_stops_in_systemds_words(manager: Manager) -> None:
    clock = Moved()
    clock.pass_(12.5)
    systemd = Systemd(environment=told(manager), clock=clock, pid=77)
    assert systemd.listening
    systemd.ready("2 jobs: 2 in step")
    assert manager.heard() == ["READY=1", "MAINPID=77", "STATUS=2 jobs: 2 in step"]
    systemd.reloading()
    assert manager.heard() == ["RELOADING=1", "MONOTONIC_USEC=12500000"]
    systemd.ready()
    assert manager.heard() == ["READY=1", "MAINPID=77"]
    systemd.stopping()
    assert manager.heard() == ["STOPPING=1", "STATUS=stopping"]
    systemd.close()
    systemd.status("after the end")
    assert manager.silent()


def test_a_status_is_sent_when_it_changes_and_stays_one_line(manager: Manager) -> None:
    systemd = Systemd(environment=told(manager))
    systemd.status("a\nREADY=1")
    assert manager.heard() == ["STATUS=a\\nREADY=1"]
    systemd.status("a\nREADY=1")
    assert manager.silent()
    systemd.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="abstract sockets are Linux's")
def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    name = f"syncer-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    with manager.socket:
        systemd = Systemd(environment={"NOTIFY_SOCKET": f"@{name}"})
        systemd.ready()
        assert manager.heard()[0] == "READY=1"
        systemd.close()


@pytest.mark.parametrize("address", ["", "@", "relative", "vsock:2:1", "/no/such/socket"])
def test_where_nobody_listens_nothing_is_said_and_nothing_fails(address: str) -> None:
    systemd = Systemd(environment={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    systemd.ready("x")
    systemd.watch(lambda: True)
    systemd.stopping()
    systemd.close()


def test_a_manager_that_does_not_listen_any_more_holds_nobody_up(manager: Manager) -> None:
    systemd = Systemd(environment=told(manager))
    for number in range(10_000):  # more than its queue takes
        systemd.status(str(number))
    systemd.close()


def test_the_watchdog_hears_of_us_as_long_as_we_are_well(manager: Manager) -> None:
    asked: list[bool] = []

    def alive() -> bool:
        asked.append(len(asked) < 3)
        if len(asked) > 4:
            raise RuntimeError("who asks?")
        return asked[-1]

    systemd = Systemd(environment=told(manager, WATCHDOG_USEC="20000", WATCHDOG_PID="77"), pid=77)
    systemd.watch(alive)
    assert [manager.heard() for _ in range(3)] == [["WATCHDOG=1"]] * 3
    deadline = time.monotonic() + 20
    while len(asked) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    systemd.close()
    assert manager.silent()


@pytest.mark.parametrize(
    "more",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "78"}],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(manager: Manager, more: dict[str, str]) -> None:
    systemd = Systemd(environment=told(manager, **more), pid=77)

    def never() -> bool:
        raise AssertionError("asked")

    systemd.watch(never)
    systemd.close()
    assert manager.silent()


def job(name: str, phase: Phase, **more: object) -> JobStatus:
    return JobStatus(job=name, phase=phase, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("jobs", "line"),
    [
        ((), "no jobs"),
        ((job("docs", Phase.IDLE, last_exit=0),), "1 job: 1 in step"),
        (
            (
                job("a", Phase.IDLE, last_exit=0),
                job("b", Phase.GATHERING),
                job("docs", Phase.RUNNING, progress=Progress(files=3400, files_done=120)),
            ),
            "3 jobs: 2 in step, docs running 120/3,400 files",
        ),
        (
            (job("a", Phase.RUNNING, progress=Progress(directories=1500)),),
            "1 job: a running (1,500 directories looked at)",
        ),
        ((job("a", Phase.HELD, held=1),), "1 job: a held back (1 deletion)"),
        (
            (job("a", Phase.BACKING_OFF, message="no\nnetwork"),),
            "1 job: a tries again later (no\\nnetwork)",
        ),
        ((job("a", Phase.IDLE, last_exit=1, conflicts=2, problems=1),), "1 job: a has 2 conflicts"),
        ((job("a", Phase.IDLE, last_exit=1, problems=1),), "1 job: a has 1 problem"),
        ((job("a", Phase.IDLE, last_exit=0, retries=("x",)),), "1 job: a tries 1 path again"),
        (
            tuple(job(name, Phase.PAUSED) for name in "abcde"),
            "5 jobs: a paused, b paused, c paused, 2 more",
        ),
    ],
)
def test_the_status_line(jobs: tuple[JobStatus, ...], line: str) -> None:
    assert status_line(DaemonStatus(pid=1, started=0, version="1", config="", jobs=jobs)) == line


def test_a_status_line_is_not_endless() -> None:
    jobs = (job("a", Phase.BACKING_OFF, message="x" * 1000),)
    assert len(status_line(DaemonStatus(pid=1, started=0, version="1", config="", jobs=jobs))) == 240
