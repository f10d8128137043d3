"""Command `gc`: list orphan segments of large objects in Swift, and remove them with --yes."""

from __future__ import annotations

import click

from syncer.cli.common import CliContext, pass_cli, shared
from syncer.cli.json_output import Document
from syncer.engine.interfaces import Clock
from syncer.engine.paths import printable
from syncer.errors import UsageError
from syncer.formatting import parse_duration, show_size
from syncer.jobs.gc import Sweep, Swept, searching

LEFT = 1
_SHOWN = 20  # names that are printed
_DAY = 24 * 3600


@click.command()
@click.argument("where", metavar="ACCOUNT:CONTAINER")
@click.option(
    "--older-than",
    default="",
    metavar="DURATION",
    help="Only segments written longer ago (default: 7d). Less than 4d only while no upload is under way.",
)
@click.option("--yes", "-y", is_flag=True, help="Remove what is listed.")
@shared
@pass_cli
def gc(session: CliContext, where: str, older_than: str, yes: bool) -> int:
    """List segments of large files that no object, version or trash refers to; with --yes remove them."""
    try:
        grace = parse_duration(older_than) if older_than else None
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from error
    return sweep(session, where, grace=grace, yes=yes)


def sweep(
    session: CliContext, where: str, *, grace: float | None, yes: bool, clock: Clock | None = None
) -> int:
    """Search, remove and print orphan segments. `grace`: seconds (None: 7 days). Returns the exit code."""
    with searching(session.settings(), where, clock=clock, grace=grace) as search:
        found = search.find()
        done = search.remove() if yes and found.orphans else None
    session.answer(_document(found, done), *_lines(found, done))
    return LEFT if found.unreadable or (done is not None and done.failed) else 0


def _lines(found: Sweep, done: Swept | None) -> list[str]:
    size = show_size(sum(segment.size for segment in found.orphans))
    if done is not None:
        lines = [f"{done.segments:,} orphan segments removed ({show_size(done.size)})"]
        if done.kept:
            lines.append(f"{done.kept:,} were written again meanwhile and stay")
        if done.failed:
            lines.append(f"{done.failed:,} could not be removed; run it again")
        return lines
    if found.unreadable:
        names = [printable(name) for name in found.unreadable[:_SHOWN]]
        if len(found.unreadable) > _SHOWN:
            names.append(f"and {len(found.unreadable) - _SHOWN:,} more")
        remedy = "an edit, or a copy under another name, then delete the old one"
        return [
            f"{found.undecided:,} segments are named by no manifest that can be read. Nothing is removed,",
            f"since the service does not show what {len(found.unreadable):,} large objects are made of:",
            *(f"  {name}" for name in names),
            f"upload these again ({remedy}), or delete them",
        ]
    if not found.orphans:
        return [f"no orphan segments ({found.named:,} are in use, {found.young:,} too new to tell)"]
    lines = [
        f"{printable(o.name)}  ({max(o.age, 0.0) / _DAY:.0f} days old, {show_size(o.size)})"
        for o in found.orphans[:_SHOWN]
    ]
    if len(found.orphans) > _SHOWN:
        lines.append(f"and {len(found.orphans) - _SHOWN:,} more")
    return [*lines, f"{len(found.orphans):,} orphan segments ({size}); --yes removes them"]


def _document(found: Sweep, done: Swept | None) -> Document:
    return {
        "orphans": [{"name": o.name, "size": o.size, "age": round(o.age)} for o in found.orphans],
        "named": found.named,
        "young": found.young,
        "undecided": found.undecided,
        "unreadable": list(found.unreadable),
        "removed": None
        if done is None
        else {"segments": done.segments, "bytes": done.size, "kept": done.kept, "failed": done.failed},
    }
