"""`daemon`, `pause`, `resume`, `flush`, `stop` and the live part of `status`: with a daemon, and without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from syncer.cli.common import CliContext
from syncer.cli.daemon import run_daemon
from syncer.daemon.instance import InstanceLock, bind, socket_path
from syncer.daemon.pause_file import NAME, paused
from syncer.daemon.status import JobStatus, Phase
from syncer.errors import UsageError
from tests.cli.conftest import Machine
from tests.daemon.fake_daemon import FakeDaemon, fake_daemon, idle
from tests.server.conftest import environment, eventually, program


@pytest.fixture
def two(machine: Machine) -> Machine:
    """With the jobs docs and photos."""
    (machine.home / "pictures").mkdir()
    photos = f'[jobs.photos]\nlocal = "{machine.home}/pictures"\nremote = "local:{machine.home}/kept"\n'
    machine.configure(machine.job() + photos)
    return machine


@pytest.fixture
def daemon(two: Machine) -> Iterator[FakeDaemon]:
    with fake_daemon(two.state) as found:
        yield found


# pause and resume


def test_pause_and_resume_reach_the_daemon(two: Machine, daemon: FakeDaemon) -> None:
    assert two.call("pause", "docs").out == "docs: paused\n"
    assert two.call("resume", "docs", "docs", "--json").document == {
        "schema": 1, "daemon": True, "paused": False, "jobs": ["docs"]
    }  # fmt: skip
    assert two.call("pause", "--json").document["jobs"] == ["docs", "photos"]
    assert [call for call in daemon.asked if call[0] != "status"] == [
        ("pause", ("docs",)), ("resume", ("docs",)), ("pause", ())
    ]  # fmt: skip
    assert paused(two.state) == frozenset(), "to keep the mark is the daemon's affair"


def test_a_job_that_the_daemon_does_not_run_is_refused_by_it(two: Machine, daemon: FakeDaemon) -> None:
    for command in ("pause", "resume", "flush"):
        answer = two.call(command, "dogs", "--json")
        assert (answer.code, answer.document["error"]["exit"]) == (2, 2)
        assert "dogs" in answer.err and "it runs: docs, photos" in answer.err


def test_without_a_daemon_a_mark_is_left_for_the_next_one(two: Machine) -> None:
    answer = two.call("pause", "docs")
    assert (answer.code, answer.out) == (0, "docs: paused\n")
    assert "no daemon runs" in answer.err
    assert paused(two.state) == {"docs"}
    assert two.call("pause", "--json").document == {
        "schema": 1, "daemon": False, "paused": True, "jobs": ["docs", "photos"]
    }  # fmt: skip
    assert paused(two.state) == {"docs", "photos"}
    two.call("resume", "photos")
    assert paused(two.state) == {"docs"}
    two.call("resume")
    assert paused(two.state) == frozenset()


@pytest.mark.parametrize("command", ["pause", "resume", "flush"])
def test_an_unknown_job_is_refused_with_the_near_name(two: Machine, command: str) -> None:
    answer = two.call(command, "photo")
    assert answer.code == 2 and 'did you mean "photos"?' in answer.err
    assert paused(two.state) == frozenset()


@pytest.mark.parametrize("command", ["pause", "resume", "flush"])
def test_where_there_are_no_jobs_there_is_nothing_to_do(machine: Machine, command: str) -> None:
    machine.configure("")
    answer = machine.call(command)
    assert answer.code == 2 and "there are no jobs" in answer.err


def test_a_job_that_is_gone_from_the_config_can_be_resumed(two: Machine) -> None:
    two.call("pause")
    two.configure(two.job())
    assert two.call("resume", "photos").code == 0
    assert paused(two.state) == {"docs"}
    two.configure(two.job(name="other"))
    assert two.call("resume", "--json").document["jobs"] == ["other", "docs"]
    assert paused(two.state) == frozenset()


def test_a_damaged_mark_is_told_and_status_still_tells_the_rest(two: Machine) -> None:
    two.state.mkdir(parents=True)
    (two.state / NAME).write_text("{")
    assert two.call("pause", "docs").code == 5
    answer = two.call("status")
    assert answer.code == 0 and "docs: never synced" in answer.out and NAME in answer.err


# flush


def test_flush_asks_the_daemon_and_does_not_wait(two: Machine, daemon: FakeDaemon) -> None:
    answer = two.call("flush", "docs")
    assert (answer.code, answer.out) == (0, "docs: everything is looked at now\n")
    assert daemon.asked == [("flush", (("docs",), 0.0))]
    document = two.call("flush", "--json").document
    assert (document["daemon"], document["waited"]) == (True, False)
    assert [job["job"] for job in document["jobs"]] == ["docs", "photos"]


@pytest.mark.parametrize(
    ("words", "names", "seconds"),
    [
        (("--wait",), (), 86_400.0),
        (("--wait", "30"), (), 30.0),
        (("--wait=1.5",), (), 1.5),
        (("--wait", "2m"), (), 120.0),
        (("docs", "--wait"), ("docs",), 86_400.0),
        (("--wait", "docs"), ("docs",), 86_400.0),
        (("--wait", "docs", "photos"), ("docs", "photos"), 86_400.0),
        (("docs", "--wait", "5", "photos"), ("docs", "photos"), 5.0),
    ],
)
def test_flush_waits_as_long_as_it_is_told(
    two: Machine, daemon: FakeDaemon, words: Sequence[str], names: Sequence[str], seconds: float
) -> None:
    daemon.jobs = [JobStatus(job=name, phase=Phase.IDLE, last_exit=0) for name in ("docs", "photos")]
    assert two.call("flush", *words).code == 0
    assert daemon.asked == [("flush", (names, seconds))]


@pytest.mark.parametrize("wait", ["0", "90000", "0.0", "2d"])
def test_a_wait_that_is_none_or_too_long_is_refused(two: Machine, daemon: FakeDaemon, wait: str) -> None:
    answer = two.call("flush", "--wait", wait)
    assert answer.code == 2 and f"--wait {wait}" in answer.err
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("shown", "code", "said"),
    [
        ({"last_exit": 0}, 0, "docs: in sync"),
        ({"last_exit": 1}, 1, "docs: ended with exit code 1"),
        ({"phase": Phase.BACKING_OFF, "last_exit": 3, "message": "no\nnet"}, 3, "exit code 3: no\\nnet"),
        ({"phase": Phase.HELD, "last_exit": 4, "message": "root gone"}, 4, "exit code 4: root gone"),
        ({"phase": Phase.RUNNING, "last_exit": 0}, 0, "docs: in sync"),
        ({"phase": Phase.PAUSED, "last_exit": 0}, 1, "docs: paused"),
        ({"phase": Phase.STOPPED, "last_exit": 0}, 3, "does not run it any more"),
    ],
)
def test_a_flush_that_waited_ends_as_its_jobs_did(
    two: Machine, daemon: FakeDaemon, shown: dict[str, object], code: int, said: str
) -> None:
    daemon.shows(**shown)
    answer = two.call("flush", "docs", "--wait", "60")
    assert answer.code == code and said in answer.out


def test_a_flush_that_is_not_over_in_time_says_so(two: Machine, daemon: FakeDaemon) -> None:
    daemon.shows(phase=Phase.RUNNING, last_exit=0)
    daemon.before = lambda: time.sleep(0.05)
    answer = two.call("flush", "docs", "--wait", "0.01")
    assert answer.code == 3 and "still going on" in answer.out


def test_flush_without_a_daemon_syncs_once_and_says_so(two: Machine) -> None:
    two.write("local", "x", "1")
    answer = two.call("flush", "docs")
    assert answer.code == 0 and "no daemon runs; the jobs are synced once" in answer.err
    assert (two.remote / "x").read_text() == "1"
    two.write("local", "y", "2")
    document = two.call("flush", "docs", "--wait", "--json").document
    assert (document["schema"], document["daemon"]) == (1, False)
    assert [action["path"] for action in document["jobs"][0]["actions"]] == ["y"]


def test_flush_without_a_daemon_ends_as_its_runs_do(machine: Machine) -> None:
    machine.local.rmdir()
    answer = machine.call("flush")
    assert answer.code == 2 and "does not exist" in answer.err


# stop


def test_stop_ends_the_daemon_and_waits_for_its_end(two: Machine, daemon: FakeDaemon) -> None:
    answer = two.call("stop", "--json")
    assert answer.code == 0
    assert answer.document == {"schema": 1, "stopped": True, "pid": os.getpid()}
    assert daemon.asked == [("stop", None)]
    assert two.call("stop").out == "no daemon runs\n"


def test_stop_without_a_daemon_is_no_error(machine: Machine) -> None:
    answer = machine.call("stop", "--json")
    assert (answer.code, answer.document) == (0, {"schema": 1, "stopped": False, "pid": None})
    assert not machine.state.exists()


# a daemon that is none


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\n\r\n{}", b"hello\n", b""])
def test_status_tells_the_ledger_although_the_daemon_makes_no_sense(two: Machine, reply: bytes) -> None:
    pid = os.fork()
    if pid == 0:
        _strange(two.state, reply)
    eventually(socket_path(two.state).exists)
    try:
        answer = two.call("status", "--json")
        assert answer.code == 0 and f"process {pid}" in answer.err
        assert answer.document["daemon"]["pid"] == pid and answer.document["daemon"]["error"]
        assert len(answer.document["jobs"]) == 2
        for command in ("pause", "resume", "flush", "stop"):
            asked = two.call(command)
            assert asked.code == 5 and f"process {pid}" in asked.err and "Traceback" not in asked.err
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        socket_path(two.state).unlink()


def _strange(state: Path, reply: bytes) -> None:
    """In a child: something that holds the lock and talks nonsense."""
    try:
        with InstanceLock.acquire(state) as lock, bind(lock.socket) as sock:
            while True:
                found, _ = sock.accept()
                found.recv(65536)
                found.sendall(reply)
                found.close()
    finally:
        os._exit(1)


# daemon


def test_the_daemon_gets_its_config_afresh_each_time(two: Machine) -> None:
    seen: list[object] = []

    def serve(load: object, *, started: object) -> int:
        settings, jobs = load()  # type: ignore[operator]
        seen.append((settings.daemon.metrics, [job.name for job in jobs]))
        two.configure(two.job("interval = 60"))
        seen.append([job.interval for job in load()[1]])  # type: ignore[operator]
        started("/some/socket")  # type: ignore[operator]
        return 7

    session = CliContext(quiet=True)
    assert run_daemon(session, ["docs"], metrics="[::1]:0", serve=serve) == 7
    assert seen == [("[::1]:0", ["docs"]), [60.0]]


def test_metrics_for_other_machines_are_refused_before_anything_begins(two: Machine) -> None:
    def serve(load: object, *, started: object) -> int:
        raise AssertionError("nothing may begin")

    with pytest.raises(UsageError, match="loopback"):
        run_daemon(CliContext(), [], metrics="0.0.0.0:9187", serve=serve)
    answer = two.call("daemon", "--metrics", "0.0.0.0:9187", "--json")
    assert (answer.code, answer.document["error"]["exit"]) == (2, 2)


def test_a_daemon_with_an_unknown_job_or_a_wrong_config_ends_with_2(two: Machine) -> None:
    assert 'did you mean "docs"?' in two.call("daemon", "dogs").err
    two.configure("jobs = 1")
    assert two.call("daemon").code == 2


def test_a_second_daemon_ends_with_6_and_names_the_first(two: Machine, daemon: FakeDaemon) -> None:
    answer = two.call("daemon", "--json")
    assert (answer.code, answer.document["error"]["exit"]) == (6, 6)
    assert f"process {os.getpid()}" in answer.err


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        program("daemon", *words),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        _, said = process.communicate()
        print(said)  # for whoever reads a failure


def test_a_real_daemon_is_driven_by_the_commands(two: Machine) -> None:
    two.write("local", "x", "1")
    with running("--json") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready == {"schema": 1, "control": str(socket_path(two.state)), "pid": process.pid}
        eventually((two.remote / "x").exists)
        assert two.call("pause", "docs").code == 0
        assert paused(two.state) == {"docs"}
        eventually(lambda: _phase(two, "docs") == "paused")
        two.write("local", "y", "2")
        assert two.call("flush", "docs", "--wait", "60").code == 1, "it is paused"
        assert not (two.remote / "y").exists()
        assert two.call("resume", "docs").code == 0
        flushed = two.call("flush", "--wait", "60", "--json")
        assert (flushed.code, flushed.document["waited"]) == (0, True)
        assert (two.remote / "y").read_text() == "2"
        assert two.call("stop").code == 0
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "") and "Traceback" not in err
    assert not socket_path(two.state).exists()


def _phase(machine: Machine, job: str) -> str:
    [found] = machine.call("status", job, "--json").document["jobs"]
    return str(found["daemon"]["phase"])


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_real_daemon_with_its_code(two: Machine, signum: int, code: int) -> None:
    with running("docs", "-q") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"daemon ready: process {process.pid}, control socket {socket_path(two.state)}\n"
        process.send_signal(signum)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert (out, err) == ("", "")


def test_a_real_daemon_offers_its_metrics_on_a_port(two: Machine) -> None:
    with running("--metrics", "127.0.0.1:0") as process:
        assert process.stdout is not None and process.stdout.readline().startswith("daemon ready")
        assert process.stderr is not None
        line = next(line for line in process.stderr if "metrics at http://" in line)
        address = line.partition("http://")[2].partition("/")[0]
        connection = HTTPConnection(address, timeout=20)
        connection.request("GET", "/metrics")
        assert b'syncer_job_phase{job="docs",phase="' in connection.getresponse().read()
        connection.close()
        assert two.call("stop").code == 0


def test_the_pretended_daemon_has_the_jobs_of_the_config(two: Machine, daemon: FakeDaemon) -> None:
    """Else the tests above would show less than they seem to."""
    assert daemon.jobs == [idle("docs"), idle("photos")]
    assert [job["job"] for job in two.call("status", "--json").document["jobs"]] == ["docs", "photos"]
