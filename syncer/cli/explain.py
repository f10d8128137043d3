"""Commands `explain` and `check`: scan both sides, change nothing."""

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
from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.engine.report import Explanation
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
        explanation = jobs.explain(environment, job, candidates)
        versions = [v for v in conflicts.trashed(environment, job) if v.thing.path == explanation.path]
        versions.sort(key=lambda version: version.thing.order)
    document = {**_document(explanation), "trash": [trash.document(version) for version in versions]}
    in_trash = [f"  trash   {trash.described(version)}" for version in reversed(versions)]
    session.answer({"job": job.name, **document}, *_lines(explanation), *in_trash)
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


def _document(explanation: Explanation) -> Document:
    base, rule = explanation.base, explanation.ignore_rule
    return {
        "path": explanation.path,
        "base": None
        if base is None
        else {
            "kind": base.kind.name.lower(),
            "size": base.size,
            "digest": base.digest.hex(),
            "executable": base.executable,
        },
        "local": json_output.seen(explanation.local),
        "remote": json_output.seen(explanation.remote),
        "rule": explanation.rule,
        "ignore": None
        if rule is None
        else {
            **json_output.ignore_rule(rule),
            "ignored": not rule.negated,
            "path": explanation.ignored_above or explanation.path,
        },
        "actions": [json_output.action(act) for act in explanation.actions if results.loud(act)],
    }


def _lines(explanation: Explanation) -> list[str]:
    base = explanation.base
    base_text = "nothing" if base is None else f"{base.kind.name.lower()}, {show_size(base.size)}"
    lines = [
        f"{printable(explanation.path) or '(the root)'}",
        f"  base    {base_text}",
        f"  local   {text_output.seen(explanation.local)}",
        f"  remote  {text_output.seen(explanation.remote)}",
        f"  rule    {printable(explanation.rule)}",
    ]
    if explanation.ignore_rule is not None and explanation.ignore_rule.negated:
        lines.append(f"  ignore  not ignored, by {printable(str(explanation.ignore_rule))}")
    loud = [act for act in explanation.actions if results.loud(act)]
    return lines + ([f"  next    {text_output.action(act)}" for act in loud] or ["  next    nothing"])


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@pass_cli
def check(session: CliContext, words: tuple[str, ...]) -> int:
    """Compare both sides of each JOB by content. Nothing is changed; exits 1 if they differ."""
    session.start_logging()
    selection = select(session, words)
    documents = [_checked(session, selection.settings, job) for job in selection.jobs]
    if session.json:
        print_json({"jobs": documents})
    return exit_codes.worst(int(document["exit"]) for document in documents)


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
                return  # the reader of stdout went away
            differences.append(
                {
                    "path": difference.path,
                    "local": json_output.seen(difference.local),
                    "remote": json_output.seen(difference.remote),
                    "message": difference.message,
                }
            )
            if not session.json:
                message = text_output.without(difference.path, difference.message)
                print_out(f"{printable(difference.path)}: {message}")
