"""Full comparison of both sides by content, regardless of the base (`syncer check`). Read-only."""

from __future__ import annotations

from collections.abc import Iterator

from syncer.engine import paths
from syncer.engine.changes import same_bytes
from syncer.engine.ignore import FILE, MACHINE_FILE, IgnoreFileError, Rules
from syncer.engine.model import (
    SIDES,
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    RelPath,
    Seen,
    Side,
)
from syncer.engine.name_matching import NameTriple, pair
from syncer.engine.report import CheckDifference
from syncer.engine.scan import SnapshotReader, opened
from syncer.engine.sync import SyncContext, mounted


def check(job: SyncContext) -> Iterator[CheckDifference]:
    """Every path whose content differs, is on one side only, or cannot be read, in tree order."""
    with opened(job.stores, dict.fromkeys(SIDES, ())) as scans:
        eyes = SnapshotReader(job.stores, job.memory, job.reporter, mounted(job), scans)
        yield from _compare_below(job, eyes)


def _compare_below(job: SyncContext, eyes: SnapshotReader) -> Iterator[CheckDifference]:
    rules = Rules(job.policy.ignore, job.compiler, eyes.read_rules, pulse=lambda: job.reporter.scanning(0))
    pending = [""]
    while pending:
        directory = pending.pop()
        below = []
        for item in _compare(eyes, rules, directory):
            if isinstance(item, CheckDifference):
                yield item
            else:
                below.append(item)
        pending += reversed(below)


def _compare(eyes: SnapshotReader, rules: Rules, directory: RelPath) -> Iterator[CheckDifference | RelPath]:
    """Differences directly in a directory, and the directories that both sides have there."""
    local, remote = eyes.list(Side.LOCAL, directory), eyes.list(Side.REMOTE, directory)
    if isinstance(local, BlockedEntry) or isinstance(remote, BlockedEntry):
        there = [s.message for s in (local, remote) if isinstance(s, BlockedEntry)]
        yield CheckDifference(path=directory, local=None, remote=None, message="; ".join(there))
        return
    rows = eyes.rows(directory)
    try:
        rules.visit(
            directory,
            rows.get(FILE),
            local.entries.get(FILE),
            remote.entries.get(FILE),
            machine=local.entries.get(MACHINE_FILE),
        )
        views = pair({}, local.entries, remote.entries, eyes.capabilities)
        judged = [(path, view) for view in views if (path := _synced(rules, directory, view))]
    except IgnoreFileError as error:
        yield CheckDifference(path=directory, local=None, remote=None, message=error.obstacle.message)
        return
    for path, view in judged:
        yield from _differences(eyes, path, view)


def _synced(rules: Rules, directory: RelPath, view: NameTriple) -> RelPath:
    """The path of the name, "" if it is ignored."""
    path = paths.join(directory, view.name)
    is_directory = any(isinstance(s, Entry) and s.kind is Kind.DIRECTORY for s in (view.local, view.remote))
    return "" if rules.ignored(path, is_directory=is_directory) else path


def _differences(
    eyes: SnapshotReader, path: RelPath, view: NameTriple
) -> Iterator[CheckDifference | RelPath]:
    local, remote = view.local, view.remote
    if isinstance(local, Entry) and isinstance(remote, Entry):
        if local.kind is remote.kind is Kind.DIRECTORY:
            yield path
            return
        if local.kind is remote.kind is Kind.FILE and local.size == remote.size:
            local, remote = _read(eyes, path, local, remote)
    message = "" if _never_synced(local, remote) else _message(local, remote)
    if message:
        yield CheckDifference(path=path, local=local, remote=remote, message=message)


def _never_synced(local: Seen, remote: Seen) -> bool:
    """True for a fifo, socket or device that only one side has: no difference, since it is never synced."""
    alone = local if remote is None else remote
    odd = isinstance(alone, BlockedEntry) and alone.trouble is BlockReason.UNSUPPORTED
    return odd and (local is None or remote is None)


def _read(eyes: SnapshotReader, path: RelPath, local: Entry, remote: Entry) -> tuple[Seen, Seen]:
    here = eyes.digests(Side.LOCAL, [(path, local)])
    there = eyes.digests(Side.REMOTE, [(path, remote)])
    return here[0], there[0]


def _message(local: Seen, remote: Seen) -> str:
    """How two sights of one name differ; "" if they do not."""
    for side, seen in (("local", local), ("remote", remote)):
        if isinstance(seen, BlockedEntry):
            return f"{side}: {seen.message}"
    if not isinstance(local, Entry) or not isinstance(remote, Entry):
        return "only on the remote side" if local is None else "only on the local side"
    if local.kind is not remote.kind:
        return f"a {local.kind.name.lower()} here, a {remote.kind.name.lower()} there"
    if not same_bytes(local, remote):
        return "the content differs"
    if _bits_differ(local, remote):
        return "the executable bit differs"
    return ""


def _bits_differ(local: Entry, remote: Entry) -> bool:
    known = local.executable is not None and remote.executable is not None
    return known and local.executable != remote.executable
