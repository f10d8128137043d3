"""Notifier: from the end of a run to the configured hook, each event once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from syncer.config import Settings, parse
from syncer.daemon.notifications import Notifier
from syncer.daemon.status import JobStatus
from syncer.errors import AuthError
from syncer.jobs.results import JobResult
from tests.server.clocks import Moved


class Later(Moved):
    """Wall time stands until it is moved; what is waited for is real."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


BROKEN = JobResult(job="docs", error=AuthError("expired", hint="syncer login"))
STANDING = JobStatus(job="docs", max_age=60.0)


def written(tmp_path: Path, number: int) -> list[Any]:
    """The documents that hooks were told, once there are so many."""
    deadline = time.monotonic() + 20
    while len(found := sorted(tmp_path.glob("told.*"))) < number:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return [json.loads(file.read_text()) for file in found]


def settings(tmp_path: Path, daemon: str, job: str = "") -> Settings:
    """A hook named `hook N` writes what it is told to `told.N.PID`."""
    script = tmp_path / "hook"
    script.write_text(f'#!/bin/sh\ncat > "{tmp_path}/$1.$$"; mv "{tmp_path}/$1.$$" "{tmp_path}/told.$1.$$"\n')
    script.chmod(0o755)
    text = f'[daemon]\n{daemon}\n[jobs.docs]\nlocal = "/a"\nremote = "local:/b"\n{job}\n'
    return parse(text.replace('"hook', f'"{script}'), tmp_path / "config.toml")


def test_an_error_reaches_the_hook_once(tmp_path: Path) -> None:
    alarms, found = Notifier(Later()), settings(tmp_path, 'on_error = "hook 1"')
    for _ in range(3):
        alarms.run_ended(found, found.jobs["docs"], BROKEN, whole=True)
    [document] = written(tmp_path, 1)
    assert (document["event"], document["message"], document["hint"]) == ("error", "expired", "syncer login")
    assert document["at"] == 1_780_000_000.0
    alarms.stop()
    assert len(written(tmp_path, 1)) == 1


def test_after_a_reload_the_new_hook_is_told_what_is_new(tmp_path: Path) -> None:
    clock = Later()
    alarms, found = Notifier(clock), settings(tmp_path, 'on_error = "hook 1"')
    alarms.run_ended(found, found.jobs["docs"], BROKEN, whole=True)
    written(tmp_path, 1)
    renewed = settings(tmp_path, 'on_error = "hook 3"', 'on_stale = "hook 2"')
    alarms.run_ended(renewed, renewed.jobs["docs"], BROKEN, whole=True)
    alarms.check_stale(renewed, renewed.jobs["docs"], STANDING)
    clock.pass_(61)
    alarms.check_stale(renewed, renewed.jobs["docs"], STANDING)
    assert [document["event"] for document in written(tmp_path, 2)] == ["error", "stale"]
    alarms.stop()


def test_the_desktop_is_told_where_no_hook_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program, title in (("notify-send", "$3"), ("osascript", "$8")):
        script = tmp_path / program
        script.write_text(f'#!/bin/sh\nprintf \'"%s"\' "{title}" > new; /bin/mv new told.it\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for wanted in ("false", "true"):
        alarms, found = Notifier(Later()), settings(tmp_path, f"desktop = {wanted}")
        alarms.run_ended(found, found.jobs["docs"], BROKEN, whole=True)
        if wanted == "true":
            assert written(tmp_path, 1) == ["Sync failed: docs"]
        alarms.stop()
        assert (tmp_path / "told.it").exists() == (wanted == "true")
