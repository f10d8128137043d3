"""Instance lock and socket path: one daemon per state directory, stale sockets, obstacles."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from syncer.daemon.client import connect
from syncer.daemon.control_api import ControlServer
from syncer.daemon.instance import (
    LOCK,
    InstanceInfo,
    InstanceLock,
    bind,
    holder,
    private,
    socket_path,
)
from syncer.errors import Busy, StateError
from syncer.exit_codes import exit_code
from tests.daemon.fake_daemon import FakeDaemon, fake_daemon
from tests.server.conftest import environment

KEEPER = """
import sys, time
from pathlib import Path
from syncer.daemon.instance import InstanceLock, bind
lock = InstanceLock.acquire(Path(sys.argv[1]))
sock = bind(lock.socket)
print("ready", flush=True)
time.sleep(120)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_without_a_daemon_there_is_no_holder_and_looking_makes_nothing(state: Path) -> None:
    assert holder(state) is None
    assert not state.exists()


def test_the_holder_says_who_it_is_and_where_it_listens(state: Path) -> None:
    with InstanceLock.acquire(state) as lock:
        assert holder(state) == InstanceInfo(pid=os.getpid(), socket=str(lock.socket))
        assert (state / LOCK).stat().st_mode & 0o777 == 0o600
    assert holder(state) is None, "although the file stays"
    lock.release()


def test_a_second_daemon_is_refused_and_told_who_is_there(state: Path) -> None:
    with InstanceLock.acquire(state), pytest.raises(Busy, match=f"process {os.getpid()}") as refused:
        InstanceLock.acquire(state)
    assert exit_code(refused.value) == 6 and "syncer stop" in refused.value.hint
    InstanceLock.acquire(state).release()


def test_daemons_of_other_state_directories_do_not_meet(tmp_path: Path) -> None:
    with fake_daemon(tmp_path / "a"), fake_daemon(tmp_path / "b"):
        assert socket_path(tmp_path / "a") != socket_path(tmp_path / "b")


def test_a_state_directory_is_the_same_by_every_name(state: Path, tmp_path: Path) -> None:
    state.mkdir()
    (tmp_path / "link").symlink_to(state)
    assert socket_path(tmp_path / "link") == socket_path(state)


def test_asking_whether_one_runs_does_not_keep_one_from_starting(state: Path) -> None:
    InstanceLock.acquire(state).release()
    descriptor = os.open(state / LOCK, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # as `holder` does, only longer
    asked = threading.Timer(0.1, lambda: os.close(descriptor))
    asked.start()
    InstanceLock.acquire(state).release()
    asked.join()


def test_a_killed_daemon_leaves_a_socket_that_the_next_one_replaces(state: Path) -> None:
    words = [sys.executable, "-c", KEEPER, str(state)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        assert holder(state) == InstanceInfo(pid=process.pid, socket=str(socket_path(state)))
        with pytest.raises(Busy, match=f"process {process.pid}"):
            InstanceLock.acquire(state)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert socket_path(state).exists() and holder(state) is None
    with fake_daemon(state):
        assert holder(state) == InstanceInfo(pid=os.getpid(), socket=str(socket_path(state)))


def test_a_lock_that_says_nonsense_still_says_that_a_daemon_runs(state: Path) -> None:
    with InstanceLock.acquire(state):
        for text in (b"", b"{", b"[]", b'{"pid": "x", "socket": 1}', b"\xff" * 9_000):
            (state / LOCK).write_bytes(text)
            assert holder(state) == InstanceInfo()
        with pytest.raises(Busy, match="just starts"):
            InstanceLock.acquire(state)


def test_a_directory_in_place_of_the_socket_is_told_and_left_alone(state: Path) -> None:
    path = socket_path(state)
    private(path.parent)
    path.mkdir()
    try:
        with InstanceLock.acquire(state) as lock, pytest.raises(StateError, match="in the way") as refused:
            ControlServer(lock, FakeDaemon())
        assert str(path) in refused.value.message and path.is_dir()
    finally:
        path.rmdir()


def test_a_file_in_place_of_the_socket_is_not_removed(state: Path) -> None:
    path = socket_path(state)
    private(path.parent)
    path.write_text("somebody's")
    try:
        with pytest.raises(StateError, match="in the way"):
            bind(path)
        assert path.read_text() == "somebody's"
    finally:
        path.unlink()


def test_sockets_that_nobody_touches_any_more_are_swept(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        places = [Path(runtime) / "syncer" / name for name in ("daemon-0.sock", "daemon-1.sock", "else.sock")]
        for place in places:
            bind(place).close()
        (places[0].parent / "daemon-2.sock").write_text("no socket")
        for place in (places[0], places[2], places[0].parent / "daemon-2.sock"):
            os.utime(place, (1, 1))
        with fake_daemon(state):
            left = {path.name for path in places[0].parent.iterdir()}
        assert left == {"daemon-1.sock", "daemon-2.sock", "else.sock", socket_path(state).name}


def test_the_runtime_directory_is_used_where_there_is_one(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        with fake_daemon(state):
            [found] = Path(runtime).glob("syncer/daemon-*.sock")
            assert found.is_socket() and found.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_runtime_directory_of_somebody_else_is_passed_over(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As under sudo, where the environment came along."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))
    assert socket_path(state).parent == state / "run"


@pytest.mark.parametrize("runtime", ["", "relative", "/nowhere/at/all"])
def test_a_runtime_directory_that_is_none_is_passed_over(
    state: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    if not Path(f"/run/user/{os.geteuid()}").is_dir():
        assert socket_path(state).parent == state / "run"


def test_without_a_runtime_directory_the_socket_is_in_the_state_directory_however_long_its_path(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was in /tmp, where any user may be faster and hold the name for ever."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    long = tmp_path / ("s" * 100)
    place = socket_path(long)
    assert place.is_relative_to(long) or place.is_relative_to("/run/user")
    with fake_daemon(long) as daemon:
        assert place.is_socket()
        client = connect(long)
        assert client is not None
        client.pause(["docs"])
        assert daemon.asked[-1] == ("pause", ("docs",))


def test_a_daemon_is_found_from_another_environment(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's services have a runtime directory, cron's jobs have none."""
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        with fake_daemon(state):
            monkeypatch.delenv("XDG_RUNTIME_DIR")
            found = holder(state)
            assert found is not None and found.socket.startswith(runtime)


def test_a_directory_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    private(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_of_ours_holds_no_socket(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_bytes(b"")
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="not a directory"):
        bind(place / "socket")
    assert not list(tmp_path.glob("elsewhere/*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_holds_no_socket(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(StateError, match="another user"):
        private(tmp_path / "theirs")


def test_a_lock_that_is_a_link_is_not_followed(state: Path, tmp_path: Path) -> None:
    state.mkdir()
    (tmp_path / "precious").write_text("precious")
    (state / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(StateError):
        InstanceLock.acquire(state)
    with pytest.raises(StateError):
        holder(state)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_that_is_a_pipe_makes_nobody_wait(state: Path) -> None:
    state.mkdir()
    os.mkfifo(state / LOCK)
    assert holder(state) is None
    with pytest.raises(StateError):
        InstanceLock.acquire(state)


def test_the_socket_listens_when_bind_returns(state: Path) -> None:
    with InstanceLock.acquire(state) as lock, bind(lock.socket), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(lock.socket))
    lock.socket.unlink()
