"""Commands `ls` and `quota`: entries and free space of a remote, or of a local folder."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import click

from syncer.accounts import browse
from syncer.cli.common import CliContext, pass_cli, shared
from syncer.cli.json_output import Document
from syncer.config import LOCAL, Location
from syncer.engine.model import BlockedEntry, Entry, Kind
from syncer.engine.paths import printable
from syncer.errors import UsageError
from syncer.formatting import show_size
from syncer.jobs import SystemClock


@click.command()
@click.argument("place", metavar="ACCOUNT:PATH")
@shared
@pass_cli
def ls(session: CliContext, place: str) -> int:
    """List what is at ACCOUNT:PATH, or local:/some/folder."""
    session.start_logging()
    where = _location(place)
    entries = browse.entries(session.settings(), where, clock=SystemClock())
    rows = sorted(entries.items(), key=lambda item: os.fsencode(item[0]))
    document = {
        "account": where.account,
        "path": where.path,
        "entries": [_entry(name, seen) for name, seen in rows],
    }
    session.answer(document, *(_line(name, seen) for name, seen in rows))
    return 0


@click.command()
@click.argument("place", metavar="ACCOUNT:")
@shared
@pass_cli
def quota(session: CliContext, place: str) -> int:
    """Say how much room an ACCOUNT has, or the disk of local:/some/folder (local: alone: of this folder)."""
    session.start_logging()
    where = _location(f"{LOCAL}:." if place == f"{LOCAL}:" else place)
    room = browse.room(session.settings(), where, clock=SystemClock())
    document = {"account": where.account, "free": room.free, "used": room.used, "total": room.total}
    free = "free: not said by the service" if room.free is None else f"{show_size(room.free)} free"
    used = "" if room.used is None else f", {show_size(room.used)} used"
    total = "" if room.total is None else f" of {show_size(room.total)}"
    session.answer(document, f"{printable(place)}  {free}{used}{total}")
    return 0


def _location(text: str) -> Location:
    try:
        return Location.parse(text, expand=False)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _entry(name: str, seen: Entry | BlockedEntry) -> Document:
    if isinstance(seen, BlockedEntry):
        return {"name": name, "kind": "obstacle", "code": seen.trouble.value, "message": seen.message}
    document: Document = {"name": name, "kind": seen.kind.name.lower()}
    if seen.kind is not Kind.DIRECTORY:
        document |= {"size": seen.size, "mtime": _time(seen)}
    return document


def _line(name: str, seen: Entry | BlockedEntry) -> str:
    if isinstance(seen, BlockedEntry):
        return f"{'?':>10}  {'':19}  {printable(name)}  ({printable(seen.message)})"
    if seen.kind is Kind.DIRECTORY:
        return f"{'-':>10}  {'':19}  {printable(name)}/"
    target = f" -> {printable(seen.target)}" if seen.target is not None else ""
    shown = (_time(seen) or "").replace("T", " ").removesuffix("Z")
    return f"{show_size(seen.size):>10}  {shown:19}  {printable(name)}{target}"


def _time(seen: Entry) -> str | None:
    """The mtime in UTC, to the second; None if there is none, or if it is beyond the calendar."""
    if seen.mtime_ns is None:
        return None
    try:
        moment = datetime.fromtimestamp(seen.mtime_ns // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
