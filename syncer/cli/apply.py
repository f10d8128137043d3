"""`apply`: runs a plan that `plan -o` saved, or what a person left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from syncer import jobs
from syncer.cli import documents
from syncer.cli.options import Session, print_json, session_of, shared
from syncer.cli.run import Work, each, tell, wish_of
from syncer.cli.selection import PairOptions, Selection, pair
from syncer.config import JobSettings, Settings
from syncer.engine.report import RunReport
from syncer.errors import UsageError
from syncer.jobs import Wish, World, applying, placement, results
from syncer.jobs.applying import Origin, SavedPlan
from syncer.jobs.results import JobResult


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--max-delete", metavar="N", help="Let up to N (or 50%) deletions through this time.")
@click.option("--yes", "-y", is_flag=True, help="Let all deletions of the plan through.")
@shared
@session_of
def apply(session: Session, file: Path, max_delete: str | None, yes: bool) -> int:
    """Run the plan in FILE, which `syncer plan -o FILE` saved.

    Actions may have been removed from the file: they wait for the next sync. What the others were
    planned on is looked at again; where it is not so any more, nothing is done (exit 3).
    """
    session.start_logging()
    wish = wish_of(max_delete, yes, full=False)
    settings = session.settings()
    placement.check(settings, settings.jobs.values())
    plans: dict[str, SavedPlan] = {}
    chosen: list[JobSettings] = []
    for plan in applying.read(file):
        job = _job(settings, plan.origin, file)
        applying.fits(file, plan, settings, job)
        plans[job.name] = plan
        chosen.append(job)
    selection = Selection(settings=settings, jobs=tuple(chosen))
    found = each(session, selection, wish, _applied(plans), tell)
    if session.json:
        print_json(documents.jobs(found))
    return results.worst(result.exit_code for result in found)


def _job(settings: Settings, origin: Origin, file: Path) -> JobSettings:
    """The job that a plan was made for. Raises ConfigError, UsageError."""
    if origin.named:
        return settings.job(origin.name)
    if origin.name in settings.jobs:
        hint = "make a new plan: syncer plan -o FILE"
        raise UsageError(f"{file}: {origin.name} was a pair of folders, and is a job now", hint=hint)
    options = PairOptions(conflict=origin.conflict, mode=origin.mode, ignore=origin.ignore)
    return replace(pair(settings, origin.local, origin.remote, options), name=origin.name)


def _applied(plans: Mapping[str, SavedPlan]) -> Work:
    """Runs each job's part of the file."""

    def work(world: World, job: JobSettings, wish: Wish) -> JobResult:
        plan = plans[job.name]
        if not plan.actions:
            return JobResult(job=job.name, report=RunReport())
        chosen = replace(wish, choice=plan.choice(), full=plan.origin.full, trigger="apply")
        return jobs.sync(world, job, chosen)

    return work
