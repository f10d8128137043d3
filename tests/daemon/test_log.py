"""Logging of the daemon: one line per record, journald priorities, rotation."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.config import parse
from syncer.daemon import log as logs
from syncer.engine.model import (
    Done,
    Entry,
    Failed,
    KeepBoth,
    Kind,
    Method,
    Move,
    Reason,
    Side,
    Stale,
    Transfer,
)
from syncer.errors import ConfigError, TransientError

FILE = Entry(kind=Kind.FILE, size=1200, version=b"v")
UPLOAD = Transfer(path="a/b\n.txt", reason=Reason.LOCAL_CHANGED, source=Side.LOCAL, seen=FILE, expected=FILE)


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """What the tests do to the root logger, and to ours, is undone."""
    root, ours = logging.getLogger(), logging.getLogger("syncer")
    before = (root.handlers, root.level, ours.level)
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.getLogger("syncer.http").setLevel(logging.NOTSET)


def test_a_line_on_stderr_has_a_time_and_a_level() -> None:
    stream = io.StringIO()
    logs.start(logging.INFO, stream=stream)
    record = logging.LogRecord(
        "syncer.x", logging.WARNING, "", 0, "a %s", ("b\n2026 INFO forged\x1b[2J",), None
    )
    record.created, record.msecs = 1_780_000_000.25, 250.0
    logging.getLogger("syncer.x").handle(record)
    assert stream.getvalue() == "2026-05-28T20:26:40.250Z WARNING a b\\n2026 INFO forged\\x1b[2J\n"


def test_levels_are_ours_to_choose_and_of_others_only_warnings_come() -> None:
    stream = io.StringIO()
    logs.start(logging.INFO, stream=stream)
    logging.getLogger("syncer.x").debug("no")
    logging.getLogger("urllib3").info("no")
    logging.getLogger("urllib3").warning("yes")
    logging.getLogger("syncer.x").info("yes")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["yes", "yes"]


@pytest.mark.parametrize("asked", [False, True])
def test_each_request_is_a_line_only_where_that_was_asked_for(asked: bool) -> None:
    """A daemon that polls every five minutes would fill its log with nothing else."""
    stream = io.StringIO()
    logs.start(logging.INFO, stream=stream, requests=asked)
    logging.getLogger("syncer.http").info("GET files.example:443/: 200 in 0.010 s")
    logging.getLogger("syncer.daemon").info("at work")
    assert ("GET files.example" in stream.getvalue()) is asked and "at work" in stream.getvalue()


def test_under_journald_lines_carry_their_level_and_no_time(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        found = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        handler = logs.to_stream(stream, environment)
        for level, text in ((10, "d"), (20, "i"), (30, "w"), (40, "e"), (50, "c")):
            handler.emit(logging.LogRecord("x", level, "", 0, text, (), None))
    assert path.read_text() == "<7>d\n<6>i\n<4>w\n<3>e\n<3>c\n"


@pytest.mark.parametrize("named", ["", "1:2", "x"])
def test_a_stream_that_journald_does_not_read_gets_times(tmp_path: Path, named: str) -> None:
    with (tmp_path / "x").open("w") as stream:
        assert not logs.is_journal(stream, {"JOURNAL_STREAM": named})
    assert not logs.is_journal(io.StringIO(), {"JOURNAL_STREAM": named})


def test_each_line_of_a_traceback_has_its_level_and_is_indented() -> None:
    try:
        raise ValueError("a\nb\x1b")
    except ValueError:
        record = logging.LogRecord("x", 40, "", 0, "failed", (), sys.exc_info())
    first, *rest = logs.ForJournal().format(record).splitlines()
    assert first == "<3>failed"
    assert rest and all(line.startswith("<3>    ") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_a_file_is_private_and_ends_after_three(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch(mode=0o644)
    logs.start(logging.INFO, file=log)
    assert log.stat().st_mode & 0o777 == 0o600, "also one that was there before"
    line = "x" * 4000
    for _ in range(4 * logs.FILE_SIZE // len(line)):
        logging.getLogger("syncer").info(line)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1", "log.2"]
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_size <= logs.FILE_SIZE


def test_another_file_takes_over_and_one_that_cannot_be_had_leaves_the_old_one(tmp_path: Path) -> None:
    logs.start(logging.INFO, file=tmp_path / "one")
    logs.start(logging.INFO, file=tmp_path / "two")
    with pytest.raises(ConfigError) as caught:
        logs.start(logging.INFO, file=tmp_path / "missing/log")
    assert "[daemon] log" in caught.value.hint
    logging.getLogger("syncer").info("here")
    assert ((tmp_path / "one").read_text(), "here" in (tmp_path / "two").read_text()) == ("", True)


def test_a_pipe_without_a_reader_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError):
        logs.to_file(tmp_path / "pipe")


def test_a_log_that_cannot_be_written_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", buffering=1)
    logs.start(logging.INFO, stream=stream)
    logging.getLogger("syncer").info("to nobody")
    assert capfd.readouterr().err == ""
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("place", ["local/log", "remote/deep/log", "link/log"])
def test_a_log_inside_a_root_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "link").symlink_to("local")
    job = f'[jobs.docs]\nlocal = "{tmp_path}/local"\nremote = "local:{tmp_path}/remote"\nsettle = 0\n'
    settings = parse(f'[daemon]\nlog = "{tmp_path}/{place}"\n{job}', tmp_path / "c.toml")
    with pytest.raises(ConfigError) as caught:
        logs.check_place(settings)
    assert "c.toml: daemon.log: " in caught.value.message and "docs" in caught.value.message
    for good in ("", f'[daemon]\nlog = "{tmp_path}/locally"\n'):
        logs.check_place(parse(good + job, tmp_path / "c.toml"))


def test_an_action_is_one_line() -> None:
    done = Done(method=Method.DELTA, sent=40, received=5)
    assert (
        logs.line_of(UPLOAD, done) == "upload a/b\\n.txt: done (1.2 kB, local-changed, delta, 45 B crossed)"
    )
    failed = Failed(error=TransientError("503\x1b"))
    assert logs.line_of(UPLOAD, failed) == "upload a/b\\n.txt: failed: 503\\x1b (1.2 kB, local-changed)"
    move = Move(path="new", origin="old", reason=Reason.LOCAL_CHANGED, side=Side.REMOTE, expected=FILE,
                seen=FILE, below=(), instead=())  # fmt: skip
    assert logs.line_of(move, Done()) == "move-remote old → new: done (local-changed)"
    both = KeepBoth(
        path="x", copy="x.1", reason=Reason.BOTH_CHANGED, loser=Side.LOCAL, winner=FILE, lost=FILE
    )
    assert (
        logs.line_of(both, Stale(message="changed")) == "keep-both x and x.1: stale: changed (both-changed)"
    )


def test_what_failed_is_a_warning_and_what_is_put_off_is_not() -> None:
    assert logs.level_of(Failed(error=TransientError("x"))) == logging.WARNING
    assert logs.level_of(Stale(message="x")) == logs.level_of(Done()) == logging.INFO
