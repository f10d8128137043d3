"""Client of the control API: results, and errors of a daemon that ended, hangs or is none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.daemon.client import connect
from syncer.daemon.control_api import ControlServer
from syncer.daemon.instance import InstanceLock, bind, socket_path
from syncer.daemon.status import Counters, Phase, Progress
from syncer.errors import Busy, ConfigError, StateError, SyncerError, UsageError
from syncer.exit_codes import exit_code
from tests.daemon.fake_daemon import FakeDaemon, fake_daemon
from tests.server.conftest import environment

STOPPED = """
import sys, time
from pathlib import Path
from syncer.daemon.control_api import ControlServer
from syncer.daemon.instance import InstanceLock
from tests.daemon.fake_daemon import FakeDaemon
server = ControlServer(InstanceLock.acquire(Path(sys.argv[1])), FakeDaemon())
print("ready", flush=True)
time.sleep(120)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def answering(state: Path, reply: bytes) -> Iterator[None]:
    """Something in the place of a daemon, that answers each connection with these bytes."""
    with InstanceLock.acquire(state) as lock, bind(lock.socket) as sock:

        def serve() -> None:
            while True:
                try:
                    found, _ = sock.accept()
                except OSError:
                    return
                with found:
                    found.recv(65536)
                    found.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            sock.shutdown(socket.SHUT_RDWR)
            thread.join(20)
            lock.socket.unlink()


def test_without_a_daemon_there_is_no_client(state: Path) -> None:
    assert connect(state) is None


def test_the_standing_arrives_whole(state: Path) -> None:
    with fake_daemon(state) as daemon:
        daemon.shows(
            phase=Phase.RUNNING,
            progress=Progress(files=3, files_done=1),
            retries=("a\udcff", "b\n"),
            counters=Counters(runs=4, seconds=1.25),
        )
        client = connect(state)
        assert client is not None and client.pid == os.getpid()
        assert client.status() == daemon.status()


def test_every_call_arrives_with_its_arguments(state: Path) -> None:
    with fake_daemon(state) as daemon:
        client = connect(state)
        assert client is not None
        client.pause(["docs"])
        client.resume([])
        client.reload()
        assert client.flush(["photos"], wait=1.5) == (daemon.jobs[1],)
        client.stop()
        assert client.ended(within=20)
    assert daemon.asked == [
        ("pause", ("docs",)),
        ("resume", ()),
        ("reload", None),
        ("flush", (("photos",), 1.5)),
        ("stop", None),
    ]


def test_a_name_of_any_characters_arrives_as_it_is(state: Path) -> None:
    name = 'a "b" \u00e9\udcff\n{}'
    with fake_daemon(state) as daemon:
        daemon.shows(job=name)
        client = connect(state)
        assert client is not None
        client.pause([name])
        assert daemon.asked == [("pause", (name,))]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (UsageError("no job", hint="try"), UsageError),
        (ConfigError("no key", hint="try"), UsageError),
        (Busy("not now", hint="try"), Busy),
        (StateError("broken", hint="try"), SyncerError),
    ],
)
def test_an_error_of_the_daemon_is_one_here(
    state: Path, raised: SyncerError, kind: type[SyncerError]
) -> None:
    with fake_daemon(state) as daemon:
        daemon.before = lambda: _raise(raised)
        client = connect(state)
        assert client is not None
        with pytest.raises(kind) as caught:
            client.reload()
        assert (caught.value.message, caught.value.hint) == (raised.message, "try")
        assert exit_code(caught.value) == exit_code(raised)


def test_a_wait_may_be_longer_than_an_answer_may_take(state: Path) -> None:
    with fake_daemon(state) as daemon:
        daemon.before = lambda: time.sleep(0.6)
        client = connect(state, patience=0.3)
        assert client is not None
        assert client.flush([], wait=20)
        with pytest.raises(SyncerError, match=r"no answer within 0\.3 s"):
            client.status()


def test_a_daemon_that_does_not_answer_is_named_by_its_process(state: Path) -> None:
    words = [sys.executable, "-c", STOPPED, str(state)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGSTOP)
            client = connect(state, patience=0.3)
            assert client is not None
            with pytest.raises(SyncerError, match=f"process {process.pid}.*does not answer") as caught:
                client.status()
            assert f"kill {process.pid}" in caught.value.hint
            assert not client.ended(within=0.1)
        finally:
            process.send_signal(signal.SIGKILL)
    assert client.ended(within=20), "killed"
    assert connect(state) is None
    socket_path(state).unlink()


def test_a_daemon_whose_socket_is_gone_is_told_with_its_place(state: Path) -> None:
    with fake_daemon(state):
        client = connect(state, patience=0.2)
        assert client is not None
        Path(client._instance.socket).unlink()
        with pytest.raises(SyncerError, match=r"nobody listens at .*sock"):
            client.status()


def test_a_daemon_that_just_starts_is_waited_for(state: Path) -> None:
    with InstanceLock.acquire(state) as lock:
        client = connect(state, patience=20)
        assert client is not None
        servers: list[ControlServer] = []
        later = threading.Timer(0.3, lambda: servers.append(ControlServer(lock, FakeDaemon())))
        later.start()
        assert client.status().pid == os.getpid()
        later.join()
        servers[0].stop()


def test_a_daemon_that_ended_since_is_told(state: Path) -> None:
    with fake_daemon(state):
        client = connect(state)
        assert client is not None
    with pytest.raises(SyncerError, match="has just ended"):
        client.status()


def test_a_daemon_that_dies_while_it_is_asked_is_told(state: Path) -> None:
    with answering(state, b""):
        client = connect(state)
        assert client is not None
        with pytest.raises(SyncerError, match="ended while it was asked"):
            client.status()


@pytest.mark.parametrize(
    "reply",
    [
        b"hello\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\n\r\n{"schema": 1}',
        b'HTTP/1.1 200 OK\r\n\r\n{"schema": 2, "daemon": {}}',
        b'HTTP/1.1 200 OK\r\n\r\n{"schema": 1, "daemon": {"pid": "me"}}',
        b"HTTP/1.1 500 Oops\r\n\r\n{}",
        b'HTTP/1.1 500 Oops\r\n\r\n{"schema": 1, "error": "no"}',
        b'HTTP/1.1 500 Oops\r\n\r\n{"schema": 1, "error": {"exit": "no"}}',
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1_000 + b"\r\n",
    ],
)
def test_what_answers_and_is_no_daemon_is_told_so(state: Path, reply: bytes) -> None:
    with answering(state, reply):
        client = connect(state)
        assert client is not None
        with pytest.raises(SyncerError, match=r"is no daemon of this version") as caught:
            client.status()
        assert str(os.getpid()) in caught.value.message and caught.value.hint


def test_a_flush_is_not_believed_either(state: Path) -> None:
    with answering(state, b'HTTP/1.1 200 OK\r\n\r\n{"schema": 1, "jobs": [{"phase": "asleep"}]}'):
        client = connect(state)
        assert client is not None
        with pytest.raises(SyncerError, match="asleep"):
            client.flush([], wait=0)


def test_a_flush_that_is_cut_off_by_a_stop_says_so(state: Path) -> None:
    """The daemon ends while somebody waits: that is no success."""
    entered = threading.Event()
    leave = threading.Event()
    with fake_daemon(state) as daemon:

        def before() -> None:
            entered.set()
            leave.wait(60)

        daemon.before = before
        client = connect(state)
        assert client is not None
        threading.Thread(target=lambda: (entered.wait(20), daemon.stopped.set())).start()
        try:
            with pytest.raises(SyncerError, match="ended while it was asked"):
                client.flush([], wait=60)
        finally:
            leave.set()


def test_another_daemon_in_its_place_counts_as_the_end_of_the_first(state: Path) -> None:
    with fake_daemon(state):
        client = connect(state)
        assert client is not None
        client._instance = replace(client._instance, pid=1)
        assert client.ended(within=0)


def _raise(error: Exception) -> None:
    raise error
