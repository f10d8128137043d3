"""`explain` and `check`: a look at both sides that changes nothing."""

from __future__ import annotations

import os

import click

from syncer import jobs
from syncer.cli import documents, wordings
from syncer.cli.documents import Document
from syncer.cli.options import Session, complain, print_json, put, session_of, shared
from syncer.cli.progress import telling
from syncer.cli.selection import Selection, one, select
from syncer.cli.signals import stoppable
from syncer.config import JobSettings, Settings
from syncer.engine.model import BaseEntry, RelPath
from syncer.engine.paths import is_below, printable, unsafe
from syncer.engine.report import Difference, Explanation
from syncer.errors import SyncerError, UsageError
from syncer.jobs import World, results
from syncer.units import show_size

DIFFERENT = 1


@click.command()
@click.argument("path")
@click.argument("words", nargs=-1, metavar="[JOB | LOCAL REMOTE]")
@shared
@session_of
def explain(session: Session, path: str, words: tuple[str, ...]) -> int:
    """Say what is known of PATH, the rule that applies, and what the next run would do.

    PATH is relative to the root of the job, or any path below its local root.
    """
    session.start_logging()
    selection, relative = locate(session, path, words)
    [job] = selection.jobs
    with stoppable() as stop, telling(session, stop, job.name) as reporter:
        found = jobs.explain(World(settings=selection.settings, reporter=reporter), job, relative)
    session.answer({"job": job.name, **_explanation(found)}, *_words(found))
    return 0


def locate(session: Session, path: str, words: tuple[str, ...]) -> tuple[Selection, RelPath]:
    """The one job a path belongs to, and the path in it. Raises UsageError, ConfigError."""
    settings = session.settings()
    if words:
        selection = one(session, words)
        return selection, relative_to(selection.jobs[0], path)
    candidates = [job for job in settings.jobs.values() if _below(job, path) is not None]
    if os.path.isabs(path) and not candidates:
        raise UsageError(f"{path} is not below the local root of any job")
    if len(candidates) != 1:
        selection = one(session, words)
        return selection, relative_to(selection.jobs[0], path)
    return Selection(settings=settings, jobs=(candidates[0],)), relative_to(candidates[0], path)


def relative_to(job: JobSettings, path: str) -> RelPath:
    """A path in the job from what a user wrote. Raises UsageError."""
    inside = (
        _below(job, path) if os.path.isabs(path) or (_below(job, path) and os.path.lexists(path)) else None
    )
    if inside is None and os.path.isabs(path):
        raise UsageError(f"{path} is not below {job.local}")
    parts = [part for part in (inside if inside is not None else path).split("/") if part not in ("", ".")]
    for index, part in enumerate(parts):
        wrong = unsafe(part, at_root=index == 0)
        if wrong:
            raise UsageError(f"{printable(path)}: {printable(part)} is never synced: {wrong}")
    return "/".join(parts)


def _below(job: JobSettings, path: str) -> RelPath | None:
    """The path relative to the job's local root, None if it is not below. Its last part may be a symlink."""
    directory, name = os.path.split(os.path.abspath(path))
    absolute = os.path.join(os.path.realpath(directory), name)
    root = os.path.realpath(job.local)
    if absolute == root:
        return ""
    return absolute[len(root) + 1 :] if is_below(absolute, root) else None


def _explanation(found: Explanation) -> Document:
    return {
        "path": found.path,
        "base": _base(found.base) if found.base else None,
        "local": documents.seen(found.local),
        "remote": documents.seen(found.remote),
        "rule": found.rule,
        "actions": [documents.action(act) for act in found.actions if results.loud(act)],
    }


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
        f"  local   {wordings.seen(found.local)}",
        f"  remote  {wordings.seen(found.remote)}",
        f"  rule    {printable(found.rule)}",
    ]
    loud = [act for act in found.actions if results.loud(act)]
    return lines + ([f"  next    {wordings.action(act)}" for act in loud] or ["  next    nothing"])


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@session_of
def check(session: Session, words: tuple[str, ...]) -> int:
    """Compare both sides of each JOB by content. Nothing is changed; exits 1 if they differ."""
    session.start_logging()
    selection = select(session, words)
    found = [_checked(session, selection.settings, job) for job in selection.jobs]
    if session.json:
        print_json({"jobs": found})
    return results.worst(int(document["exit"]) for document in found)


def _checked(session: Session, settings: Settings, job: JobSettings) -> Document:
    differences: list[Document] = []
    try:
        _compare(session, settings, job, differences)
    except SyncerError as error:
        complain(error)
        problems = [documents.error(error)]
        return {"job": job.name, "differences": differences, "problems": problems, "exit": error.exit_code}
    code = DIFFERENT if differences else 0
    if not session.json:
        put(f"{job.name}: {f'{len(differences):,} differ' if differences else 'both sides are equal'}")
    return {"job": job.name, "differences": differences, "problems": [], "exit": code}


def _compare(session: Session, settings: Settings, job: JobSettings, differences: list[Document]) -> None:
    with stoppable() as stop, telling(session, stop, job.name) as reporter:
        for difference in jobs.check(World(settings=settings, reporter=reporter), job):
            stop.check()
            differences.append(_difference(difference))
            if not session.json:
                put(f"{printable(difference.path)}: {wordings.without(difference.path, difference.message)}")


def _difference(found: Difference) -> Document:
    return {
        "path": found.path,
        "local": documents.seen(found.local),
        "remote": documents.seen(found.remote),
        "message": found.message,
    }
