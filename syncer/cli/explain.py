"""`explain` and `check`: a look at both sides that changes nothing."""

from __future__ import annotations

import os

import click

from syncer import exit_codes, jobs
from syncer.cli import json_output, text_output, trash
from syncer.cli.common import (
    CliContext,
    pass_cli,
    print_error,
    print_json,
    print_out,
    shared,
    stdout_state,
    stoppable,
)
from syncer.cli.job_selection import Selection, select, select_one
from syncer.cli.json_output import Document
from syncer.cli.progress import progress_reporter
from syncer.config import JobSettings, Settings
from syncer.engine.model import BaseEntry, RelPath
from syncer.engine.paths import printable
from syncer.engine.report import CheckDifference, Explanation
from syncer.errors import SyncerError, UsageError
from syncer.formatting import show_size
from syncer.jobs import Environment, conflicts, results, user_paths

DIFFERENT = 1


@click.command()
@click.argument("path")
@click.argument("words", nargs=-1, metavar="[JOB | LOCAL REMOTE]")
@shared
@pass_cli
def explain(session: CliContext, path: str, words: tuple[str, ...]) -> int:
    """Say what is known of PATH, the rule that applies, what the next run would do, and the versions of PATH
    in the trash of either side, the latest first.

    PATH is a path as you have it: absolute, or relative to where you are or to the root of the job, for a
    file that stands on either side, was synced once or is in the trash.
    """
    session.start_logging()
    selection, candidates = locate(session, path, words)
    [job] = selection.jobs
    with stoppable() as stop, progress_reporter(session, stop, job.name) as reporter:
        environment = Environment(settings=selection.settings, reporter=reporter)
        found = jobs.explain(environment, job, candidates)
        kept = [one for one in conflicts.trashed(environment, job) if one.thing.path == found.path]
        kept.sort(key=lambda one: one.thing.order)
    document = {**_explanation(found), "trash": [trash.document(one) for one in kept]}
    in_trash = [f"  trash   {trash.described(one)}" for one in reversed(kept)]
    session.answer({"job": job.name, **document}, *_words(found), *in_trash)
    return 0


def locate(session: CliContext, path: str, words: tuple[str, ...]) -> tuple[Selection, tuple[RelPath, ...]]:
    """The one job a path belongs to, and what the path may mean in it. Raises UsageError, ConfigError."""
    settings = session.settings()
    if words:
        selection = select_one(session, words)
        return selection, user_paths.checked(selection.jobs[0], path)
    placed = [job for job in settings.jobs.values() if any(s.placed for s in user_paths.spellings(job, path))]
    if os.path.isabs(path) and settings.jobs and not placed:
        raise UsageError(f"{printable(path)} is not below a root of any job")
    if len(placed) > 1:
        names = ", ".join(job.name for job in placed)
        raise UsageError(f"{printable(path)} is below a root of several jobs", hint=f"name one of: {names}")
    selection = Selection(settings=settings, jobs=tuple(placed)) if placed else select_one(session, words)
    return selection, user_paths.checked(selection.jobs[0], path)


def _explanation(found: Explanation) -> Document:
    return {
        "path": found.path,
        "base": _base(found.base) if found.base else None,
        "local": json_output.seen(found.local),
        "remote": json_output.seen(found.remote),
        "rule": found.rule,
        "ignore": _ignore(found),
        "actions": [json_output.action(act) for act in found.actions if results.loud(act)],
    }


def _ignore(found: Explanation) -> Document | None:
    """The ignore rule with the last word on the path, and what it says of what; None if no rule speaks."""
    rule = found.ignore_rule
    if rule is None:
        return None
    named = found.ignored_above or found.path
    return {**json_output.ignore_rule(rule), "ignored": not rule.negated, "path": named}


def _base(row: BaseEntry) -> Document:
    return {
        "kind": row.kind.name.lower(),
        "size": row.size,
        "digest": row.digest.hex(),
        "executable": row.executable,
    }


def _words(found: Explanation) -> list[str]:
    base = (
        "nothing" if found.base is None else f"{found.base.kind.name.lower()}, {show_size(found.base.size)}"
    )
    lines = [
        f"{printable(found.path) or '(the root)'}",
        f"  base    {base}",
        f"  local   {text_output.seen(found.local)}",
        f"  remote  {text_output.seen(found.remote)}",
        f"  rule    {printable(found.rule)}",
    ]
    if found.ignore_rule is not None and found.ignore_rule.negated:
        lines.append(f"  ignore  not ignored, by {printable(str(found.ignore_rule))}")
    loud = [act for act in found.actions if results.loud(act)]
    return lines + ([f"  next    {text_output.action(act)}" for act in loud] or ["  next    nothing"])


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@pass_cli
def check(session: CliContext, words: tuple[str, ...]) -> int:
    """Compare both sides of each JOB by content. Nothing is changed; exits 1 if they differ."""
    session.start_logging()
    selection = select(session, words)
    found = [_checked(session, selection.settings, job) for job in selection.jobs]
    if session.json:
        print_json({"jobs": found})
    return exit_codes.worst(int(document["exit"]) for document in found)


def _checked(session: CliContext, settings: Settings, job: JobSettings) -> Document:
    differences: list[Document] = []
    try:
        _compare(session, settings, job, differences)
    except SyncerError as error:
        print_error(error)
        problems = [json_output.error(error)]
        return {
            "job": job.name,
            "differences": differences,
            "problems": problems,
            "exit": exit_codes.exit_code(error),
        }
    with jobs.view(settings, job) as state:
        waits = jobs.waiting_exit(state.ledger, state.memory)
    code = exit_codes.worst((waits, DIFFERENT if differences else 0))
    if not session.json:
        print_out(f"{job.name}: {f'{len(differences):,} differ' if differences else 'both sides are equal'}")
    return {"job": job.name, "differences": differences, "problems": [], "exit": code}


def _compare(session: CliContext, settings: Settings, job: JobSettings, differences: list[Document]) -> None:
    with stoppable() as stop, progress_reporter(session, stop, job.name) as reporter:
        for difference in jobs.check(Environment(settings=settings, reporter=reporter), job):
            stop.check()
            if stdout_state.error is not None:
                return  # nobody reads on
            differences.append(_difference(difference))
            if not session.json:
                message = text_output.without(difference.path, difference.message)
                print_out(f"{printable(difference.path)}: {message}")


def _difference(found: CheckDifference) -> Document:
    return {
        "path": found.path,
        "local": json_output.seen(found.local),
        "remote": json_output.seen(found.remote),
        "message": found.message,
    }
