"""`plan`: what `sync` would do, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from syncer import jobs
from syncer.cli import documents
from syncer.cli.options import SCHEMA, Session, print_json, session_of, shared
from syncer.cli.run import each, run_options, show_plans, tell, wish_of
from syncer.cli.selection import PairOptions, Selection, select
from syncer.errors import UsageError
from syncer.jobs import Wish, applying, results
from syncer.jobs.results import JobResult


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Save the plan to a file.")
@run_options
@shared
@session_of
def plan(
    session: Session,
    words: tuple[str, ...],
    output: Path | None,
    max_delete: str | None,
    yes: bool,
    full: bool,
    conflict: str | None,
    mode: str | None,
    ignore: tuple[str, ...],
) -> int:
    """Show what `sync` would do with each JOB, and why. Nothing is changed."""
    session.start_logging()
    wish = wish_of(max_delete, yes, full)
    selection = select(session, words, PairOptions(conflict=conflict, mode=mode, ignore=ignore))
    if output is None:
        return show_plans(session, selection, wish)
    found = each(session, selection, wish, jobs.plan, tell)
    document = _document(selection, wish, found)
    _save(output, document)
    session.talk(f"saved to {output}")
    if session.json:
        print_json(document)
    return results.worst(result.exit_code for result in found)


def _document(selection: Selection, wish: Wish, found: Sequence[JobResult]) -> documents.Document:
    """The plans with what `apply` has to know of them; a signal may have ended the list early or late."""
    settings = selection.settings
    known = {job.name: applying.planned(settings, job, wish) for job in selection.jobs}
    return {"jobs": [documents.saved(result, known[result.job]) for result in found]}


def _save(path: Path, document: documents.Document) -> None:
    text = json.dumps({"schema": SCHEMA, **document}, indent=1, ensure_ascii=True)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
