"""Control API over its socket: calls, malformed requests, limits, permissions, shutdown."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from syncer.daemon.control_api import MAX_WAITING, ControlServer
from syncer.daemon.http_server import MAX_BODY, MAX_CONNECTIONS
from syncer.daemon.instance import InstanceLock, socket_path
from syncer.errors import ConfigError, SyncerError, UsageError
from tests.daemon.fake_daemon import FakeDaemon, fake_daemon
from tests.server.conftest import environment, eventually


class Unix(HTTPConnection):
    """Any HTTP client, over the socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("daemon", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = dial(self.path)


def dial(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(path))
    return sock


def ask(path: Path, method: str, target: str, body: bytes = b"") -> tuple[int, Any]:
    connection = Unix(path)
    try:
        connection.request(method, target, body)
        reply = connection.getresponse()
        text = reply.read()
        assert reply.version == 11 and reply.headers["Content-Length"] == str(len(text))
        kind = reply.headers["Content-Type"]
        return reply.status, json.loads(text) if kind == "application/json" else text.decode()
    finally:
        connection.close()


def raw(path: Path, sent: bytes) -> bytes:
    """What comes back on these bytes, until the end."""
    with dial(path) as sock:
        sock.sendall(sent)
        return everything(sock)


def everything(sock: socket.socket) -> bytes:
    found = b""
    while got := sock.recv(65536):
        found += got
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def daemon(state: Path) -> Iterator[FakeDaemon]:
    with fake_daemon(state) as found:
        yield found


@pytest.fixture
def path(state: Path, daemon: FakeDaemon) -> Path:
    return socket_path(state)


def test_status_is_the_standing_as_json(path: Path, daemon: FakeDaemon) -> None:
    status, document = ask(path, "GET", "/status")
    assert status == 200 and document["schema"] == 1
    assert document["daemon"]["pid"] == os.getpid()
    assert [job["job"] for job in document["jobs"]] == ["docs", "photos"]
    assert document["jobs"][0]["phase"] == "idle"


def test_metrics_are_prometheus_text(path: Path, daemon: FakeDaemon) -> None:
    connection = Unix(path)
    connection.request("GET", "/metrics")
    reply = connection.getresponse()
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'syncer_job_runs_total{job="docs"} 0\n' in reply.read()
    connection.close()


def test_each_call_reaches_the_daemon_with_its_jobs(path: Path, daemon: FakeDaemon) -> None:
    named = json.dumps({"jobs": ["docs"]}).encode()
    for target in ("/pause", "/resume", "/reload", "/stop"):
        assert ask(path, "POST", target, named) == (200, {"schema": 1})
    assert daemon.asked == [("pause", ("docs",)), ("resume", ("docs",)), ("reload", None), ("stop", None)]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"jobs": []}', b"  \n"])
def test_no_jobs_mean_all_of_them(path: Path, daemon: FakeDaemon, body: bytes) -> None:
    assert ask(path, "POST", "/pause", body)[0] == 200
    assert daemon.asked == [("pause", ())]


def test_flush_answers_how_its_jobs_stand_and_hands_on_how_long_to_wait(
    path: Path, daemon: FakeDaemon
) -> None:
    status, document = ask(path, "POST", "/flush?wait=2.5", b'{"jobs": ["photos"]}')
    assert status == 200 and [job["job"] for job in document["jobs"]] == ["photos"]
    assert ask(path, "POST", "/flush")[0] == 200
    assert daemon.asked == [("flush", (("photos",), 2.5)), ("flush", ((), 0.0))]


@pytest.mark.parametrize("wait", ["-1", "nan", "inf", "soon", "86401", "1e9"])
def test_a_wait_that_is_none_is_refused(path: Path, daemon: FakeDaemon, wait: str) -> None:
    status, document = ask(path, "POST", f"/flush?wait={wait}")
    assert status == 400 and document["error"]["exit"] == 2 and wait in document["error"]["message"]
    assert daemon.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"docs",
        b'{"jobs": "docs"}',
        b'{"jobs": [1]}',
        b'{"job": ["docs"]}',
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_a_body_that_does_not_name_jobs_is_refused_and_nothing_happens(
    path: Path, daemon: FakeDaemon, body: bytes
) -> None:
    """Above all it is not taken for "all jobs"."""
    status, document = ask(path, "POST", "/pause", body)
    assert status == 400 and "hint" in document["error"]
    assert daemon.asked == []


def test_the_wrong_path_or_method_is_told_with_what_would_be_right(path: Path, daemon: FakeDaemon) -> None:
    status, document = ask(path, "GET", "/stat")
    assert status == 404 and "/status" in document["error"]["message"]
    for method, target, allowed in (
        ("POST", "/status", "GET, HEAD"),
        ("GET", "/stop", "POST"),
        ("DELETE", "/pause", "POST"),
    ):
        answer = raw(path, f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 405 ") and f"Allow: {allowed}\r\n".encode() in answer
    assert daemon.asked == []


def test_head_has_the_length_and_no_body(path: Path, daemon: FakeDaemon) -> None:
    answer = raw(path, b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" not in answer


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UsageError("no such job", hint="do this"), 400, 2),
        (ConfigError("bad key", hint="do this"), 400, 2),
        (SyncerError("broken", hint="do this"), 500, 5),
    ],
)
def test_our_errors_arrive_with_message_hint_and_exit_code(
    path: Path, daemon: FakeDaemon, error: SyncerError, status: int, code: int
) -> None:
    daemon.before = lambda: _raise(error)
    assert ask(path, "POST", "/reload") == (
        status,
        {"schema": 1, "error": {"message": error.message, "hint": "do this", "exit": code}},
    )


def test_a_bug_in_the_daemon_is_a_500_and_the_next_call_works(
    path: Path, daemon: FakeDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.before = lambda: _raise(ZeroDivisionError("oops"))
    status, document = ask(path, "GET", "/status")
    assert status == 500 and "oops" in document["error"]["message"] and "Traceback" not in str(document)
    assert "ZeroDivisionError" in caplog.text, "the log has the whole of it"
    daemon.before = lambda: None
    assert ask(path, "GET", "/status")[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET /status\r\n\r\n", b"400"),
        (b"GET /status SPDY/3\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\n" + b"X: 1\r\n" * 100 + b"\r\n", b"431"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"400"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), b"413"),
        (b"POST /pause HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", b"413"),
        (b"POST /pause HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411"),
    ],
)  # fmt: skip
def test_what_is_no_request_of_ours_is_refused(
    path: Path, daemon: FakeDaemon, sent: bytes, status: bytes
) -> None:
    answer = raw(path, sent)
    assert answer.split(b" ", 2)[1] == status and b'"error"' in answer
    assert daemon.asked == []


def test_a_body_too_large_gets_its_refusal_although_it_is_not_read(path: Path, daemon: FakeDaemon) -> None:
    status, document = ask(path, "POST", "/pause", b" " * (MAX_BODY * 4))
    assert status == 413 and "65,536" in document["error"]["message"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /pause HT",
        b"POST /pause HTTP/1.1\r\n",
        b"POST /pause HTTP/1.1\r\nHost: x\r\n",
        b'POST /pause HTTP/1.1\r\nContent-Length: 16\r\n\r\n{"jobs": ["do',
    ],
)
def test_half_a_request_does_nothing(path: Path, daemon: FakeDaemon, sent: bytes) -> None:
    """Whoever dies in the middle of asking for one job must not have paused all."""
    with dial(path) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock) == b""
    assert daemon.asked == []


def test_a_client_that_waits_for_100_continue_gets_it(path: Path, daemon: FakeDaemon) -> None:
    with dial(path) as sock:
        sock.sendall(b"POST /pause HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"{}")
        assert everything(sock).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the system has no curl")
def test_curl_can_talk_to_it(path: Path, daemon: FakeDaemon) -> None:
    words = ["curl", "-sS", "--max-time", "20", "--unix-socket", str(path)]
    done = subprocess.run([*words, "http://daemon/status"], capture_output=True, timeout=30)
    assert json.loads(done.stdout)["schema"] == 1, done.stderr
    body = json.dumps({"jobs": ["docs"]})
    done = subprocess.run([*words, "-d", body, "http://daemon/pause"], capture_output=True, timeout=30)
    assert json.loads(done.stdout) == {"schema": 1}, done.stderr
    assert ("pause", ("docs",)) in daemon.asked


# Whom it answers, and how long


def test_only_our_own_user_is_answered(state: Path) -> None:
    with fake_daemon(state, uid=os.geteuid() + 1) as daemon:
        status, document = ask(socket_path(state), "POST", "/stop")
        assert status == 403 and "belongs to the user" in document["error"]["message"]
        assert daemon.asked == []


def test_socket_and_directory_are_private(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_silent_clients_hold_nothing_and_are_cut_off(state: Path) -> None:
    with fake_daemon(state, patience=0.3):
        silent = [dial(socket_path(state)) for _ in range(MAX_CONNECTIONS + 8)]
        try:
            assert ask(socket_path(state), "GET", "/status")[0] == 200, "its turn comes when they are cut off"
            assert everything(silent[0]) == b""
        finally:
            for sock in silent:
                sock.close()


def test_a_client_that_drips_is_cut_off_like_a_silent_one(state: Path) -> None:
    """Each byte is in time, the whole never is: the time is that of the request, not of its parts."""
    with fake_daemon(state, patience=0.3), dial(socket_path(state)) as sock:
        eventually(lambda: _cut_off(sock))


def test_a_client_that_does_not_take_its_answer_is_cut_off(state: Path) -> None:
    with fake_daemon(state, patience=0.3) as daemon:
        daemon.shows(notes=("x" * 8_000_000,))
        before = threading.active_count()
        with dial(socket_path(state)) as sock:
            sock.sendall(b"GET /status HTTP/1.1\r\n\r\n")
            eventually(lambda: threading.active_count() == before + 1)
            eventually(lambda: threading.active_count() == before)


def test_those_who_wait_for_a_flush_do_not_keep_others_out(state: Path) -> None:
    release = threading.Event()
    with fake_daemon(state, patience=0.2) as daemon:
        daemon.before = lambda: release.wait(60) and None
        path = socket_path(state)
        waiting = [dial(path) for _ in range(MAX_WAITING)]
        try:
            for sock in waiting:
                sock.sendall(b"POST /flush?wait=60 HTTP/1.1\r\n\r\n")
            eventually(lambda: ask(path, "POST", "/flush?wait=60")[0] == 503)
            time.sleep(0.5)  # longer than a silent client may be: they are not cut off
            daemon.before = lambda: None
            assert ask(path, "GET", "/status")[0] == 200
            release.set()
            for sock in waiting:
                assert everything(sock).startswith(b"HTTP/1.1 200 OK")
            assert ask(path, "POST", "/flush?wait=60")[0] == 200, "their places are free again"
        finally:
            release.set()
            for sock in waiting:
                sock.close()


POOR = """
import resource, sys, time
from pathlib import Path
from syncer.daemon.control_api import ControlServer
from syncer.daemon.instance import InstanceLock
from tests.daemon.fake_daemon import FakeDaemon
server = ControlServer(InstanceLock.acquire(Path(sys.argv[1])), FakeDaemon(), patience=0.5)
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
print("ready", flush=True)
time.sleep(120)
"""


def test_a_daemon_without_descriptors_left_answers_again_once_it_has_some(state: Path) -> None:
    words = [sys.executable, "-c", POOR, str(state)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            silent = [dial(socket_path(state)) for _ in range(20)]
            assert ask(socket_path(state), "GET", "/status")[0] == 200
            for sock in silent:
                sock.close()
        finally:
            process.kill()
        assert b"cannot accept a connection: [Errno 24]" in process.communicate()[1], "there were none left"
    socket_path(state).unlink()


def test_stop_waits_for_nobody_and_leaves_no_socket(state: Path) -> None:
    entered, stuck = threading.Event(), threading.Event()

    def before() -> None:
        entered.set()
        stuck.wait(60)

    daemon = FakeDaemon(before=before)
    with InstanceLock.acquire(state) as lock:
        server = ControlServer(lock, daemon)
        silent, half, busy = (dial(server.path) for _ in range(3))
        half.sendall(b"POST /pause HTTP/1.1\r\nHost")
        busy.sendall(b"POST /flush?wait=60 HTTP/1.1\r\n\r\n")
        assert entered.wait(20), "the last one is accepted, so all are"
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 5, "it promises a second; a loaded machine has more"
        server.stop()
        assert not server.path.exists()
        assert everything(silent) == everything(half) == everything(busy) == b""
        stuck.set()
        for sock in (silent, half, busy):
            sock.close()
    assert ("pause", ()) not in daemon.asked


def test_the_answer_to_a_stop_arrives_although_the_server_ends(state: Path) -> None:
    for _ in range(20):
        with fake_daemon(state) as daemon:
            assert ask(socket_path(state), "POST", "/stop") == (200, {"schema": 1})
        assert daemon.stopped.is_set()


def test_a_socket_that_was_cleaned_away_is_made_anew(state: Path) -> None:
    path = socket_path(state)
    with fake_daemon(state, renewed=0.05):
        path.unlink()
        eventually(path.exists)
        eventually(lambda: _answers(path))
    assert not path.exists()


def test_a_socket_is_touched_so_that_nobody_takes_it_for_forsaken(state: Path) -> None:
    path = socket_path(state)
    with fake_daemon(state, renewed=0.05):
        os.utime(path, (1, 1))
        eventually(lambda: path.stat().st_mtime > 1)


def test_a_socket_of_another_daemon_is_not_removed(state: Path, tmp_path: Path) -> None:
    with InstanceLock.acquire(state) as lock:
        server = ControlServer(lock, FakeDaemon())
        path = server.path
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            server.stop()
            assert path.exists()
    path.unlink()


def test_many_ask_at_once_and_all_are_answered(path: Path, daemon: FakeDaemon) -> None:
    found: list[int] = []

    def client() -> None:
        found.extend(ask(path, "GET", "/status")[0] for _ in range(10))

    threads = [threading.Thread(target=client) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [200] * 200


def _cut_off(sock: socket.socket) -> bool:
    time.sleep(0.05)
    try:
        sock.sendall(b"G")
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def _answers(path: Path) -> bool:
    try:
        return ask(path, "GET", "/status")[0] == 200
    except OSError:
        return False


def _raise(error: Exception) -> None:
    raise error
