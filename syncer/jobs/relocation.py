"""Relocation: find the state of a pair whose roots were moved or whose account was changed.

The state of a pair lies in a directory named after the text of both roots. Where there is none for a job's
text, the memory that has the markers of both its roots is looked for, and moved to where the job will find
it: with base, history, conflicts and trash. A root that was *copied* has the same marker and stands beside
the old one: that is a new pair, and the copy gets a marker of its own, so that two pairs never have one
memory. What is known, and what follows:

    a folder, the old place has the marker, too           copied: a new pair
    a folder, the old place is gone or another            moved, or copied to a new disk: the same memory
    a service, the old place by the same account stands   copied: a new pair
    a service, the old place is gone, or its account is   moved, or reached in another way: the same memory
    a state directory of another machine, and a local     both were copied: the pair begins anew, and the
      folder that is another one than there                 folder gets a marker of its own (`begin_anew`)
    the same, and it is the very folder (inode, disk)     the system was installed anew: the same memory

What cannot be known: whether a place at a service that only another account of ours reaches still stands;
whether a folder that came from another machine without a state directory is a copy or was moved; whether a
disk's image (the same inodes, the same file system id, the same machine id) runs somewhere else as well.

**When it dies.** The directory is moved by one rename, after what belongs into it is durable: before it the
old place is as it was, after it the new one is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from syncer.config import JobSettings, Settings
from syncer.engine.guards import remembered
from syncer.engine.interfaces import BaseStore, Clock, ForgetBase
from syncer.engine.model import Side
from syncer.errors import Busy, PermanentError, StateError, StoreError, SyncerError
from syncer.jobs import factory
from syncer.jobs.state_dir import (
    CACHE,
    ID,
    PairDirectory,
    local_identity,
    place_at,
    place_of,
    remote_identity,
)
from syncer.state import NAME, Database, PairLock, installation, open_state, queries
from syncer.state.directory import prepare, sync
from syncer.state.lock import NAME as LOCK

_TEXTS = {Side.LOCAL: "pair.local", Side.REMOTE: "pair.remote"}  # what the memory knows of its own place
_HERE = "local:"
_ROOTS = "roots.json"  # beside the database: what `known` needs of it
_MACHINE = "pair.machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A memory in the state directory: the text of both roots when they were last synced ("" if it was by a
    version that did not write it down), and their markers.
    """

    place: PairDirectory
    texts: dict[Side, str]
    markers: dict[Side, str]
    used_ns: int  # when something was last written to it


def known(state_dir: Path) -> Iterator[Known]:
    """All memories, the one used last first; those that cannot be read are passed over.

    No database is opened of one whose roots are written down beside it, which every run sees to.
    """
    pairs = state_dir / "pairs"
    directories = [d for d in pairs.iterdir() if (d / NAME).is_file()] if pairs.is_dir() else []
    found = [one for d in directories if (one := _written_down(d) or _read(d)) is not None]
    yield from sorted(found, key=lambda one: one.used_ns, reverse=True)


def _written_down(directory: Path) -> Known | None:
    """By the small file beside the database; None where there is none, or one that is not whole."""
    try:
        told = json.loads((directory / _ROOTS).read_bytes())
        return Known(
            place=place_at(directory),
            texts={side: _surely(told["texts"][side.value]) for side in Side},
            markers={side: _surely(told["markers"][side.value]) for side in Side},
            used_ns=(directory / NAME).stat().st_mtime_ns,
        )
    except (OSError, ValueError, KeyError, TypeError, StateError):
        return None


def _surely(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("no text")
    return text


def _write_down(directory: Path, one: Known) -> None:
    """The roots of a memory, for `known`: a hint, which is looked up before anything follows from it."""
    told = {
        "texts": {side.value: text for side, text in one.texts.items()},
        "markers": {side.value: marker for side, marker in one.markers.items()},
    }
    fresh = directory / f"{_ROOTS}.new"
    try:
        with open(fresh, "w", encoding="ascii", opener=_private) as file:
            json.dump(told, file)
        os.replace(fresh, directory / _ROOTS)
    except OSError:
        (directory / _ROOTS).unlink(missing_ok=True)


def _read(directory: Path) -> Known | None:
    path = directory / NAME
    try:
        database = Database.connect(path, readonly=True)
        try:

            def setting(key: str) -> str:
                return str(database.value(queries.GET_SETTING, {"key": key}) or "")

            return Known(
                place=place_at(directory),
                texts={side: setting(key) for side, key in _TEXTS.items()},
                markers={side: setting(f"{side.value}_root") for side in Side},
                used_ns=path.stat().st_mtime_ns,
            )
        finally:
            database.close()
    except (StateError, OSError):
        return None


def remember(memory: BaseStore, settings: Settings, job: JobSettings, place: PairDirectory) -> None:
    """In the memory itself, and beside it: where its roots are, and on which machine it is used."""
    texts = _texts(settings, job)
    new = {**{_TEXTS[side]: text for side, text in texts.items()}, _MACHINE: installation.machine()}
    if any(memory.get_setting(key) != text for key, text in new.items()):
        memory.set(**new)
    markers = {side: memory.get_setting(f"{side.value}_root") for side in Side}
    before = _written_down(place.directory)
    if before is None or (before.texts, before.markers) != (texts, markers):
        _write_down(place.directory, Known(place=place, texts=texts, markers=markers, used_ns=0))


def begin_anew(memory: BaseStore, stores: factory.Stores) -> list[str]:
    """A memory that was copied from another machine, with the folder that it speaks of, is not the copy's.

    Two would have one memory otherwise, each of its own moment, and what one of them lacks would be deleted
    at the other. Nothing is deleted by a run after this. The answer is what there is to say.
    """
    before, now = memory.get_setting(_MACHINE), installation.machine()
    if not before or not now or before == now:
        return []
    known, folder = remembered(memory, Side.LOCAL), stores.folders[Side.LOCAL]
    seen = folder.root()
    if seen is None or seen.marker != known.marker or not known.folder:
        return []  # missing or another one: the guards say so
    if known.folder == seen.folder and known.device == seen.device:
        return []
    memory.record([ForgetBase(path="")])
    memory.set(**{f"{side.value}_{what}": "" for side in Side for what in ("root", "device", "folder")})
    told = "the state directory and the local folder were copied from another machine: "
    try:
        folder.write_root_id(token_hex(16))
        told += "the folder got a marker of its own, and "
    except StoreError:
        pass  # a folder that can only be read
    return [told + "both sides are merged as if for the first time"]


def _texts(settings: Settings, job: JobSettings) -> dict[Side, str]:
    return {Side.LOCAL: local_identity(job), Side.REMOTE: remote_identity(settings, job)}


def find(settings: Settings, job: JobSettings, clock: Clock) -> PairDirectory | None:
    """The memory of a job's two roots under another text than the job's; None if there is none to be had.

    Raises StoreError, AuthError, ConfigError where the remote has to be asked and cannot be.
    """
    candidates = _candidates(settings, job)
    if not candidates:
        return None
    remote = _remote_marker(settings, job, clock)
    for one in candidates:
        if one.markers[Side.REMOTE] == remote and not _stands_at_service(one, settings, job, clock):
            return one.place
    return None


def seen_from_here(settings: Settings, job: JobSettings) -> PairDirectory:
    """Where a job's memory is, as far as can be told without asking a service: for a quick look."""
    place = place_of(settings, job)
    if place.known:
        return place
    texts = _texts(settings, job)
    remote = _marker(texts[Side.REMOTE])
    for one in _candidates(settings, job):
        if one.texts[Side.REMOTE] == texts[Side.REMOTE] or (remote and one.markers[Side.REMOTE] == remote):
            return one.place
    return place


def _candidates(settings: Settings, job: JobSettings) -> list[Known]:
    """The memories that have the marker of a job's local root, and whose own places are given up."""
    marker = _marker(local_identity(job))
    if not marker:
        return []
    texts = _texts(settings, job)
    used = [_texts(settings, other) for other in settings.jobs.values()]
    hinted = [one for one in known(settings.state_dir) if one.markers[Side.LOCAL] == marker]
    return [
        one
        for one in (_read(hint.place.directory) for hint in hinted)
        if one is not None
        and one.markers[Side.LOCAL] == marker
        and one.markers[Side.REMOTE]
        and one.texts not in used
        and not any(_stands(one, side, texts[side]) for side in Side)
    ]


def adopt(settings: Settings, job: JobSettings, clock: Clock) -> PairDirectory | None:
    """Move the memory of a job's two roots to where the job looks for it; None if there was nothing to do.

    Raises Busy, StateError, and what `find` raises.
    """
    target = place_of(settings, job)
    found = None if target.known else find(settings, job, clock)
    if found is None:
        return None
    with PairLock.acquire(found.directory):
        if not found.known or place_of(settings, job).known:
            return None  # another run was quicker
        if not _cleared(target.directory):
            return None
        with open_state(found.directory) as state:
            # It may be on another disk now: which one it is, is learned at the next look.
            gone = [f"{side.value}_{what}" for side in Side for what in ("device", "folder")]
            state.memory.set(**dict.fromkeys(gone, ""))
            remember(state.memory, settings, job, found)
        _write_id(found.directory, found.id)
        try:
            os.rename(found.directory, target.directory)
            sync(target.directory.parent)
        except OSError as error:
            raise StateError(f"{found.directory}: cannot be moved: {error.strerror}") from error
        if found.id == found.directory.name:  # a new pair there needs another id, which marks what is its own
            prepare(found.directory)
            _write_id(found.directory, token_hex(8))
    return place_at(target.directory)


def copied(settings: Settings, job: JobSettings, clock: Clock) -> dict[Side, str]:
    """The roots of a new pair that are copies of one which another pair has and which still stands."""
    marked = [(side, text, _marker(text)) for side, text in _texts(settings, job).items()]
    if job.remote.folder and not any(marker for _, _, marker in marked):
        return {}  # and no database of another job that runs in this process is opened for nothing
    memories = list(known(settings.state_dir))
    found = {}
    if any(_old_place(one, settings, job) for one in memories):  # else no service is asked for nothing
        marker = _remote_marker(settings, job, clock)
        text = remote_identity(settings, job)
        alike = [one for one in memories if marker and one.markers[Side.REMOTE] == marker]
        if not any(one.texts[Side.REMOTE] == text for one in alike):
            standing = [one for one in alike if _stands_at_service(one, settings, job, clock)]
            if standing:
                found[Side.REMOTE] = standing[0].texts[Side.REMOTE]
    for side, text, marker in marked:
        same = [(o, s) for o in memories for s in Side if marker and o.markers[s] == marker]
        if any(o.texts[s] == text for o, s in same):
            continue
        originals = [_path(o.texts[s]) for o, s in same if _stands(o, s, text)]
        if originals:
            found[side] = originals[0]
    return found


def mark_copies(stores: factory.Stores, originals: dict[Side, str], source: Side | None) -> list[str]:
    """Give copies markers of their own; what there is to say about it. Raises StoreError.

    One folder that is mounted twice looks like a copy until it is written to: then it gets its marker back.
    """
    notes = []
    for side, original in originals.items():
        if side not in stores.folders:
            if side is not source:
                stores.remote.write_root_id(token_hex(16))
                notes.append(f"the {side.value} root is a copy of {original}: it got a marker of its own")
            continue
        folder, fresh = stores.folders[side], token_hex(16)
        before = _marker(f"{_HERE}{original}")
        try:
            folder.write_root_id(fresh)
        except StoreError:
            if side is not source:
                raise
            continue
        if _marker(f"{_HERE}{original}") == fresh:
            folder.write_root_id(before)
        else:
            notes.append(f"the {side.value} root is a copy of {original}: it got a marker of its own")
    return notes


def _stands(one: Known, side: Side, now: str) -> bool:
    """Whether the root that a memory has still stands at its old place, which is not this one."""
    before = one.texts[side]
    if before == now or not before.startswith(_HERE):
        return False
    if _marker(before) != one.markers[side]:
        return False
    try:
        return not (now.startswith(_HERE) and os.path.samefile(_path(before), _path(now)))
    except OSError:
        return True


def _old_place(one: Known, settings: Settings, job: JobSettings) -> str:
    """The path of a memory's remote root at the very account of a job; "" elsewhere, or if it is the same."""
    if job.remote.folder or not one.markers[Side.REMOTE]:
        return ""
    top = f"{settings.accounts[job.remote.account].identity}/"
    if not one.texts[Side.REMOTE].startswith(top):
        return ""
    path = one.texts[Side.REMOTE].removeprefix(top)
    return "" if path.strip("/") == job.remote.path.strip("/") else path


def _stands_at_service(one: Known, settings: Settings, job: JobSettings, clock: Clock) -> bool:
    """Whether the remote root of a memory still stands at another place of the very account of a job.

    Raises StoreError, AuthError where that cannot be told now.
    """
    old = _old_place(one, settings, job)
    if not old:
        return False
    from syncer.accounts import verify

    account = settings.accounts[job.remote.account]
    with verify.visited(account, old, settings.state_dir, clock=clock) as store:
        try:
            state = store.root()
        except PermanentError:
            return False
    return state is not None and state.marker == one.markers[Side.REMOTE]


def _path(text: str) -> str:
    return text.removeprefix(_HERE)


def _marker(text: str) -> str:
    """The marker of a folder here, "" where there is none to be read."""
    if not text.startswith(_HERE):
        return ""
    with factory.looking_at(_path(text)) as store:
        try:
            state = store.root()
        except SyncerError:
            return ""
    return state.marker if state else ""


def _remote_marker(settings: Settings, job: JobSettings, clock: Clock) -> str:
    text = remote_identity(settings, job)
    if job.remote.folder:
        return _marker(text)
    from syncer.accounts import verify

    account = settings.accounts[job.remote.account]
    with verify.visited(account, job.remote.path, settings.state_dir, clock=clock) as store:
        state = store.root()
    return state.marker if state else ""


def _write_id(directory: Path, name: str) -> None:
    place = directory / ID
    try:
        if not place.exists():
            with open(place, "x", encoding="ascii", opener=_private) as file:
                file.write(f"{name}\n")
                file.flush()
                os.fsync(file.fileno())
            sync(directory)
    except OSError as error:
        raise StateError(f"{place}: cannot be written: {error.strerror}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _cleared(directory: Path) -> bool:
    """Whether nothing stands where the memory is to go, but for the names that a former pair left.

    A daemon listens to the remote before its first run: what it keeps for that may be lost at any time.
    """
    try:
        with PairLock.acquire(directory):
            shutil.rmtree(directory / CACHE, ignore_errors=True)
            for name in (ID, LOCK):
                (directory / name).unlink(missing_ok=True)
            directory.rmdir()
    except (Busy, OSError):
        return False
    return True
