"""Progress of a run, and stopping it between two steps."""

from __future__ import annotations

import logging
import signal

import pytest

from syncer.daemon.progress import Listener
from syncer.daemon.status import Progress
from syncer.engine.model import Adopt, Done, Entry, Failed, Forget, Kind, Reason, Side, Transfer
from syncer.errors import Interrupted, TransientError
from syncer.exit_codes import exit_code
from syncer.jobs.cancellation import CancelToken

ENTRY = Entry(Kind.FILE, 5, b"v")
UPLOAD = Transfer(path="a/f", reason=Reason.LOCAL_NEW, source=Side.LOCAL, seen=ENTRY, expected=None)
SILENT = Adopt(path="g", reason=Reason.EQUAL, local=ENTRY, remote=ENTRY, silent=True)


def test_what_is_told_adds_up() -> None:
    listener = Listener("docs", CancelToken())
    assert listener.progress == Progress()
    listener.scanning(3)
    listener.scanning(2)
    listener.transferring(2, 10)
    listener.moved(Side.REMOTE, 3)
    listener.moved(Side.REMOTE, 2)
    listener.finished(UPLOAD, Done())
    listener.finished(Forget(path="h", reason=Reason.BOTH_DELETED), Done())
    assert listener.progress == Progress(directories=5, files=2, files_done=1, size=10, size_done=5)


def test_every_call_ends_a_run_that_is_to_stop() -> None:
    stop = CancelToken()
    listener = Listener("docs", stop)
    stop.ask(signal.SIGTERM)
    for call in (
        lambda: listener.scanning(1),
        lambda: listener.transferring(1, 1),
        lambda: listener.moved(Side.LOCAL, 1),
        lambda: listener.finished(UPLOAD, Done()),
    ):
        with pytest.raises(Interrupted) as told:
            call()
        assert exit_code(told.value) == 143


def test_what_was_done_is_counted_and_logged_before_the_run_ends(caplog: pytest.LogCaptureFixture) -> None:
    stop = CancelToken()
    listener = Listener("docs", stop)
    stop.ask(signal.SIGTERM)
    with caplog.at_level(logging.INFO, "syncer.daemon"), pytest.raises(Interrupted):
        listener.finished(UPLOAD, Done())
    assert listener.progress.files_done == 1
    assert "a/f" in caplog.text


def test_the_log_has_a_line_for_each_action_and_none_for_a_silent_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = Listener("docs", CancelToken())
    with caplog.at_level(logging.DEBUG, "syncer.daemon"):
        listener.finished(UPLOAD, Done())
        listener.finished(UPLOAD, Failed(error=TransientError("reset by peer")))
        listener.finished(SILENT, Done())
    assert len(caplog.records) == 2
    assert all(record.getMessage().startswith("docs: ") for record in caplog.records)
    assert "reset by peer" in caplog.text
