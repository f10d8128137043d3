"""Hooks, run as real commands: input, environment, time and output limits, merging, shutdown."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from syncer.daemon.events import Event, EventKind
from syncer.daemon.hooks import MAX_OUTPUT, MAX_PATHS, Call, Hooks, Timeouts, calls, run_command

CALL = Call(job="docs", event=EventKind.CONFLICT, at=12.5, paths=("a/b.txt",), message="both", hint="choose")


def script(folder: Path, body: str) -> tuple[str, ...]:
    """A command that runs these lines of shell in the folder."""
    return ("/bin/sh", "-c", f'cd "{folder}" || exit 9\n{body}')


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):  # a zombie that nobody has reaped yet is dead
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


@pytest.fixture
def hooks(caplog: pytest.LogCaptureFixture) -> Iterator[Hooks]:
    caplog.set_level(logging.INFO, logger="syncer.daemon")
    made = Hooks(timeouts=Timeouts(run=20, grace=0.3))
    yield made
    made.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("hook ")]


def test_a_hook_gets_no_password_of_the_daemons_environment(
    hooks: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It got all of it: OS_PASSWORD, ST_KEY, and what else an account was told by."""
    for name in ("OS_PASSWORD", "ST_KEY", "SSH_AUTH_SOCK", "ANYTHING"):
        monkeypatch.setenv(name, "told")
    monkeypatch.setenv("LC_TIME", "C")
    hooks.call(script(tmp_path, "env > env; : > done"), CALL, pass_env=("SSH_AUTH_SOCK",))
    eventually((tmp_path / "done").exists)
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert {"PATH", "HOME", "LC_TIME", "SSH_AUTH_SOCK", "SYNCER_EVENT", "SYNCER_JOB"} <= names
    assert names.isdisjoint({"OS_PASSWORD", "ST_KEY", "ANYTHING"})


def test_a_hook_is_told_on_stdin_and_in_its_environment(hooks: Hooks, tmp_path: Path) -> None:
    hooks.call(script(tmp_path, 'cat > told; echo "$SYNCER_EVENT $SYNCER_JOB $HOME" > env; : > done'), CALL)
    eventually((tmp_path / "done").exists)
    assert json.loads((tmp_path / "told").read_text()) == {
        "schema": 1, "event": "conflict", "job": "docs", "at": 12.5, "paths": ["a/b.txt"], "more": 0,
        "message": "both", "hint": "choose",
    }  # fmt: skip
    assert (tmp_path / "env").read_text() == f"conflict docs {os.environ['HOME']}\n"


def test_a_hook_cannot_speak_to_systemd_in_our_name(
    hooks: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    hooks.call(script(tmp_path, 'echo "[$NOTIFY_SOCKET]" > env; : > done'), CALL)
    eventually((tmp_path / "done").exists)
    assert (tmp_path / "env").read_text() == "[]\n"


def test_a_name_that_is_not_utf8_reads_back_to_its_bytes() -> None:
    told = json.loads(Call(job="j", event=EventKind.ERROR, at=0, paths=(os.fsdecode(b"\xff\n"),)).document())
    assert os.fsencode(told["paths"][0]) == b"\xff\n"


def test_a_hook_that_never_reads_holds_nobody_up(
    hooks: Hooks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = Call(job="docs", event=EventKind.GUARD, at=0, paths=tuple(f"{n}{'x' * 200}" for n in range(900)))
    assert len(long.document()) > 1 << 17, "more than any pipe holds"
    hooks.call(script(tmp_path, "exec sleep 0.1"), long)
    eventually(lambda: "done" in caplog.text)


def test_a_hook_that_cannot_be_started_is_one_line_of_the_log(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.call(("/no/such/program",), CALL)
    eventually(lambda: caplog.records)
    hooks.stop()
    [line] = caplog.messages
    assert line == "docs: on_conflict (/no/such/program) cannot be started: No such file or directory"
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(("body", "why"), [("exit 3", "ended with status 3"), ("kill -9 $$", "by signal 9")])
def test_a_hook_that_fails_is_one_line_with_its_words(
    hooks: Hooks, tmp_path: Path, caplog: pytest.LogCaptureFixture, body: str, why: str
) -> None:
    hooks.call(script(tmp_path, f"echo oh; echo no >&2\n{body}"), CALL)
    eventually(lambda: caplog.records)
    hooks.stop()
    [line] = caplog.messages
    assert why in line and line.endswith("it said: oh | no")


def test_a_hook_that_floods_is_read_to_its_end_and_kept_in_part(
    hooks: Hooks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.call(script(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; : > done"), CALL)
    eventually(lambda: caplog.records)
    assert (tmp_path / "done").exists()
    [line] = caplog.messages
    assert len(line) < 600 and line.endswith("x …")


def test_of_a_flood_no_more_is_kept_than_is_said(tmp_path: Path) -> None:
    flood = script(tmp_path, "head -c 500000 /dev/zero | tr '\\0' x")
    ended = run_command(flood, b"", timeouts=Timeouts(), stop=threading.Event())
    assert (ended.failure, len(ended.output), ended.dropped) == ("", MAX_OUTPUT, 500_000 - MAX_OUTPUT)


def test_a_hook_that_hangs_goes_with_all_it_started(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hooks = Hooks(timeouts=Timeouts(run=0.5, grace=0.3))
    stubborn = "trap '' TERM; sleep 1000 & echo $! > pid; mv pid child; while :; do sleep 0.1; done"
    hooks.call(script(tmp_path, stubborn), CALL)
    eventually(lambda: "took longer than 0.5 s" in caplog.text)
    eventually(lambda: not alive(int((tmp_path / "child").read_text())))
    hooks.stop()
    assert len(caplog.records) == 1


def test_what_a_hook_leaves_in_the_background_is_not_waited_for(
    hooks: Hooks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.call(script(tmp_path, "sleep 1000 & echo $! > pid; echo said"), CALL)
    eventually(lambda: caplog.records)
    child = int((tmp_path / "pid").read_text())
    try:
        assert alive(child), "it has its output open still"
        assert "done; it said: said" in caplog.text
    finally:
        os.kill(child, signal.SIGKILL)


def test_of_what_happens_while_a_hook_runs_one_call_is_made(hooks: Hooks, tmp_path: Path) -> None:
    body = "cat > told.$$; mv told.$$ told.$$.json; while [ ! -e go ]; do sleep 0.02; done"
    for number in range(5):
        call = Call(
            job="docs", event=EventKind.CONFLICT, at=number, paths=(f"p{number}",), message=str(number)
        )
        hooks.call(script(tmp_path, body), call)  # returns, though the first one waits
        eventually(lambda: list(tmp_path.glob("told.*.json")))
    (tmp_path / "go").touch()
    eventually(lambda: len(list(tmp_path.glob("told.*.json"))) == 2)
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("hook ")])
    told = [json.loads(file.read_text()) for file in tmp_path.glob("told.*.json")]
    assert sorted((t["paths"], t["message"]) for t in told) == [
        (["p0"], "0"),
        (["p1", "p2", "p3", "p4"], "4"),
    ]


def test_another_job_or_event_does_not_wait_behind_a_hook(hooks: Hooks, tmp_path: Path) -> None:
    hooks.call(script(tmp_path, "while [ ! -e go ]; do sleep 0.02; done"), CALL)
    for job, event in (("docs", EventKind.STALE), ("photos", EventKind.CONFLICT)):
        hooks.call(script(tmp_path, f": > {job}"), Call(job=job, event=event, at=0))
        eventually((tmp_path / job).exists)


def test_a_stop_ends_what_runs_and_forgets_what_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = Hooks(timeouts=Timeouts(run=1000, grace=0.3))
    hooks.call(
        script(tmp_path, "trap '' TERM; echo $$ > pid; mv pid first; while :; do sleep 0.1; done"), CALL
    )
    eventually((tmp_path / "first").exists)
    hooks.call(script(tmp_path, ": > second"), CALL)
    hooks.stop()
    eventually(lambda: not alive(int((tmp_path / "first").read_text())))
    hooks.call(script(tmp_path, ": > third"), CALL)
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("hook ")])
    assert not (tmp_path / "second").exists() and not (tmp_path / "third").exists()
    assert len(caplog.records) == 1 and "the daemon stops" in caplog.text


def test_the_happenings_of_a_run_are_one_call_for_each_event() -> None:
    def one(event: EventKind, path: str) -> Event:
        return Event(event=event, key=path, paths=(path,), message=f"of {path}")

    found = calls(
        "docs", [one(EventKind.CONFLICT, "a"), one(EventKind.GUARD, "g"), one(EventKind.CONFLICT, "b")], at=7
    )
    assert [(c.event, c.paths, c.message, c.at) for c in found] == [
        (EventKind.CONFLICT, ("a", "b"), "of a (the first of 2)", 7),
        (EventKind.GUARD, ("g",), "of g", 7),
    ]


def test_paths_beyond_a_thousand_are_counted() -> None:
    paths = tuple(map(str, range(MAX_PATHS + 5)))
    [call] = calls("docs", [Event(event=EventKind.GUARD, key="", paths=paths)], at=0)
    assert (len(call.paths), call.more) == (MAX_PATHS, 5)
    later = Call(job="docs", event=EventKind.GUARD, at=1, paths=("0", "new"))
    assert (len(call.joined(later).paths), call.joined(later).more) == (MAX_PATHS, 6)
