"""Command `daemon`, and the commands that control a running one: `pause`, `resume`, `flush`, `stop`.

Those work without a daemon where that makes sense. The daemon itself is `syncer.daemon`.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Protocol

import click

from syncer import exit_codes, jobs
from syncer.cli import json_output
from syncer.cli.common import CliContext, pass_cli, print_json, shared
from syncer.cli.job_selection import Selection, select
from syncer.config import JobSettings, Settings
from syncer.daemon import pause_file, status
from syncer.daemon.client import Client, connect
from syncer.daemon.status import JobStatus, Phase
from syncer.engine.paths import printable
from syncer.errors import ConfigError, UsageError
from syncer.formatting import parse_duration, show_duration
from syncer.jobs import RunOptions, SystemClock, overlap

Load = Callable[[], tuple[Settings, Sequence[JobSettings]]]

_MOST_WAIT = 86_400.0  # seconds: the default and the limit of `flush --wait`
_STOPS_WITHIN = 15.0  # seconds; a daemon ends within 5
_BUSY = (Phase.STARTING, Phase.GATHERING, Phase.RUNNING)
_STILL = 3  # exit codes
_PAUSED = 1


class Serve(Protocol):
    """The daemon: runs until it is stopped; returns the exit code."""

    def __call__(self, load: Load, *, started: Callable[[str], None]) -> int: ...


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]...")
@click.option("--metrics", metavar="HOST:PORT", help="Metrics for Prometheus on a port of this machine, too.")
@shared
@pass_cli
def daemon(session: CliContext, words: tuple[str, ...], metrics: str | None) -> int:
    """Keep each JOB in step (all jobs of the config if none is named) until it is stopped.

    Ends with `syncer stop`, SIGTERM or SIGINT; SIGHUP reads the config again.
    """
    from syncer.daemon.supervisor import serve

    return run_daemon(session, words, metrics=metrics, serve=serve)


def run_daemon(session: CliContext, words: Sequence[str], *, metrics: str | None, serve: Serve) -> int:
    """Run the daemon, which loads the config again at SIGHUP. Raises what `select` and `serve` raise."""
    from syncer.daemon import log
    from syncer.daemon.metrics_server import loopback

    if metrics:
        loopback(metrics)
    level = logging.WARNING if session.quiet else logging.DEBUG if session.verbose > 1 else logging.INFO

    def load() -> tuple[Settings, Sequence[JobSettings]]:
        selection = select(session, words)
        settings = selection.settings
        if metrics:
            settings = replace(settings, daemon=replace(settings.daemon, metrics=metrics))
        log.check_place(settings)
        log.start(level, file=settings.daemon.log, requests=session.verbose > 0)
        return settings, selection.jobs

    def started(control: str) -> None:
        pid = os.getpid()
        line = f"daemon ready: process {pid}, control socket {printable(control)}"
        session.answer({"control": control, "pid": pid}, line)

    return serve(load, started=started)


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]...")
@shared
@pass_cli
def pause(session: CliContext, words: tuple[str, ...]) -> int:
    """Let the daemon leave each JOB alone (all if none is named) until `syncer resume`.

    A run that goes on ends between two steps. Holds for a daemon that is started later, too;
    `syncer sync` by hand works all the same.
    """
    return _mark(session, words, on=True)


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]...")
@shared
@pass_cli
def resume(session: CliContext, words: tuple[str, ...]) -> int:
    """Let the daemon run each JOB (all if none is named) again."""
    return _mark(session, words, on=False)


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]...")
@click.option(
    "--wait",
    metavar="[SECONDS]",
    is_flag=False,
    flag_value="",
    help="Return once that ended, or after so many seconds; the exit code tells how it went.",
)
@shared
@pass_cli
def flush(session: CliContext, words: tuple[str, ...], wait: str | None) -> int:
    """Let the daemon look at everything of each JOB now (all if none is named).

    Without a daemon the jobs are synced once, as by `syncer sync`.
    """
    names, seconds = _waited(words, wait)
    settings = session.settings()
    client = connect(settings.state_dir)
    if client is None:
        return _synced(session, _selected(settings, names))
    if seconds:
        session.inform(f"waiting for the daemon (process {client.pid}), {show_duration(seconds)} at most")
    clock = SystemClock()
    begun = clock.monotonic()
    statuses = client.flush(names, wait=seconds)
    in_time = clock.monotonic() - begun < seconds
    outcomes = [_flushed(job, seconds, in_time=in_time) for job in statuses]
    document = {
        "daemon": True,
        "waited": seconds > 0,
        "jobs": [status.job_document(job) for job in statuses],
    }
    session.answer(document, *(line for line, _ in outcomes))
    return exit_codes.worst(code for _, code in outcomes)


@click.command()
@shared
@pass_cli
def stop(session: CliContext) -> int:
    """End the daemon; what it transfers is resumed by the next run."""
    client = connect(session.settings().state_dir)
    if client is None:
        session.answer({"stopped": False, "pid": None}, "no daemon runs")
        return 0
    client.stop()
    if client.ended(within=_STOPS_WITHIN):
        session.answer({"stopped": True, "pid": client.pid}, f"the daemon (process {client.pid}) has ended")
        return 0
    line = f"the daemon (process {client.pid}) is still about to end"
    session.answer({"stopped": False, "pid": client.pid}, line)
    return _STILL


def _mark(session: CliContext, words: Sequence[str], *, on: bool) -> int:
    settings = session.settings()
    client = connect(settings.state_dir)
    names = tuple(dict.fromkeys(words))
    if client is not None:
        marked = _set_paused(client, names, on=on)
    else:
        marked = _markable(settings, names, on=on)
        pause_file.set_paused(settings.state_dir, marked, on)
        session.inform("no daemon runs; one that is started later honours it")
    what = "paused" if on else "resumed"
    document = {"daemon": client is not None, "paused": on, "jobs": list(marked)}
    session.answer(document, *(f"{printable(name)}: {what}" for name in marked))
    return 0


def _set_paused(client: Client, names: Sequence[str], *, on: bool) -> Sequence[str]:
    (client.pause if on else client.resume)(names)
    return names or [job.job for job in client.status().jobs]


def _markable(settings: Settings, names: Sequence[str], *, on: bool) -> Sequence[str]:
    """The names, which must be jobs, or paused: a job that was removed can be resumed."""
    marks = frozenset() if on else pause_file.paused(settings.state_dir)
    selected = _selected(settings, [name for name in names if name not in marks]) if names else None
    if selected or names:
        return names
    return [job.name for job in _selected(settings, ()).jobs] + sorted(marks - settings.jobs.keys())


def _selected(settings: Settings, names: Sequence[str]) -> Selection:
    """The named jobs, all for no names. Raises ConfigError."""
    if not settings.jobs:
        hint = "write a [jobs.NAME] table (see config.example.toml)"
        raise ConfigError(f"{settings.origin}: there are no jobs", hint=hint)
    chosen = [settings.job(name) for name in names] or list(settings.jobs.values())
    return Selection(settings=settings, jobs=tuple(chosen))


def _synced(session: CliContext, selection: Selection) -> int:
    from syncer.cli.sync import report, run_each

    overlap.check(selection.settings, selection.settings.jobs.values())
    session.start_logging()
    session.inform("no daemon runs; the jobs are synced once")
    statuses = run_each(session, selection, RunOptions(), jobs.sync, report)
    if session.json:
        print_json({"daemon": False, **json_output.jobs(statuses)})
    return exit_codes.worst(result.exit_code for result in statuses)


def _waited(words: Sequence[str], wait: str | None) -> tuple[tuple[str, ...], float]:
    """Names of jobs, and seconds: the word after `--wait` may be the name of a job. Raises UsageError."""
    names = tuple(dict.fromkeys(words))
    if wait is None:
        return names, 0.0
    if not wait:
        return names, _MOST_WAIT
    try:
        seconds = float(wait) if wait.replace(".", "", 1).isdigit() else parse_duration(wait)
    except ValueError:
        return tuple(dict.fromkeys((wait, *names))), _MOST_WAIT
    if not isfinite(seconds) or not 0 < seconds <= _MOST_WAIT:
        raise UsageError(f"--wait {wait}: more than 0 and up to {_MOST_WAIT:.0f} seconds (a day)")
    return names, seconds


def _flushed(job: JobStatus, waited: float, *, in_time: bool) -> tuple[str, int]:
    """The line and the exit code for a job that was flushed.

    If the daemon answered in time, a job that runs nevertheless is in a new run: the flush has ended.
    """
    name = printable(job.job)
    if job.phase is Phase.PAUSED:
        return f"{name}: paused, nothing is done; go on with: syncer resume {shlex.quote(job.job)}", _PAUSED
    if not waited:
        return f"{name}: everything is looked at now", 0
    if job.phase is Phase.STOPPED:
        return f"{name}: the daemon does not run it any more", _STILL
    if job.phase in _BUSY and not in_time:
        return f"{name}: still going on after {show_duration(waited)}", _STILL
    code = job.last_exit or 0
    why = f": {printable(job.message)}" if job.message else ""
    return f"{name}: {'in sync' if code == 0 else f'ended with exit code {code}{why}'}", code
