"""Diagnostics for `syncer doctor`: this machine, its file systems and libraries, and each account.

A file system is asked by doing: in a temporary directory with one of our private names,
which is never synced and is removed at the end.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

from syncer import mounts
from syncer.accounts import verify
from syncer.accounts.verify import AccountStatus
from syncer.config import JobSettings, Settings
from syncer.config.accounts import Account
from syncer.engine.interfaces import Clock
from syncer.engine.paths import TEMPORARY
from syncer.errors import AuthError, SyncerError
from syncer.formatting import show_duration, show_size
from syncer.jobs import factory
from syncer.jobs.state_dir import PairDirectory, place_of
from syncer.state import view_state
from syncer.stores.local import traits
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.traits import Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was probed. `ok` False means that something will not work; `hint` says what to do."""

    name: str
    ok: bool
    message: str
    hint: str = ""


def machine() -> Iterator[Finding]:
    """Python, librsync, SQLite."""
    good = sys.version_info >= (3, 11)
    yield Finding(name="python", ok=good, message=f"{sys.version.split()[0]} (3.11 or newer is needed)")
    yield librsync()
    yield Finding(name="sqlite", ok=sqlite3.sqlite_version_info >= (3, 24), message=sqlite3.sqlite_version)


def librsync() -> Finding:
    """Whether the library for deltas loads, and which it is."""
    try:
        importlib.import_module("librsync")
        package = metadata.version("python-librsync")
    except (ImportError, OSError, AttributeError, metadata.PackageNotFoundError) as error:
        hint = "install librsync (apt install librsync2, dnf install librsync, brew install librsync)"
        return Finding(name="librsync", ok=False, message=f"does not load: {error}", hint=hint)
    return Finding(name="librsync", ok=True, message=f"loads (python-librsync {package})")


def state_directory(path: Path) -> Finding:
    """Whether the state directory, or the one it will be made in, can be written."""
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return Finding(name="state_dir", ok=good, message=f"{path} {'can' if good else 'cannot'} be written")


def job(settings: Settings, job: JobSettings) -> Iterator[Finding]:
    """The account, and the folders of both sides."""
    try:
        factory.check_known(settings, job)
        yield Finding(name=f"{job.name} remote", ok=True, message=str(job.remote))
    except SyncerError as error:
        yield Finding(name=f"{job.name} remote", ok=False, message=error.message)
    yield folder(f"{job.name} local", job.local)
    if job.remote.folder and job.remote.folder.exists():
        yield folder(f"{job.name} remote folder", job.remote.folder)
    place = place_of(settings, job)
    if place.known:
        yield memory(f"{job.name} state", place)


def memory(name: str, place: PairDirectory) -> Finding:
    """Whether the state database of a pair can be read as it is."""
    try:
        with view_state(place.directory) as state:
            return Finding(
                name=name, ok=not state.note, message=state.note or f"{place.directory} is in order"
            )
    except SyncerError as error:
        return Finding(name=name, ok=False, message=error.message)


def folder(name: str, root: Path) -> Finding:
    """What a root's file system can do, and how much room it has."""
    if not root.is_dir():
        return Finding(name=name, ok=False, message=f"{root} is not there, or no folder")
    try:
        room = f"{shutil.disk_usage(root).free / 1e9:,.1f} GB free"
        with _scratch(root) as fd:
            fs = FileSystem()
            found = traits.probe(fs, fd, f"{TEMPORARY}{token_hex(8)}")
            abilities = [_exchange(fs, fd), *_abilities(found), *_names(found), *_mounted(root)]
            if fs.free_space(fd) is None:
                room = "says nothing of its free space"
    except OSError as error:
        return Finding(name=name, ok=False, message=f"{root}: {error.strerror}")
    return Finding(name=name, ok=True, message=f"{root}: {room}, {', '.join(filter(None, abilities))}")


@contextmanager
def _scratch(root: Path) -> Iterator[int]:
    directory = root / f"{TEMPORARY}{token_hex(8)}"
    directory.mkdir(mode=0o700)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)
    finally:
        shutil.rmtree(directory)  # only what was made here a moment ago


def _exchange(fs: FileSystem, fd: int) -> str:
    for name in ("a", "b"):
        fs.close(fs.create(name, fd))
    try:
        fs.exchange("a", fd, "b", fd)
    except OSError as error:
        return f"no exchange of names ({errno.errorcode.get(error.errno or 0, 'unknown')})"
    return "exchange of names"


def _abilities(found: Traits) -> Iterator[str]:
    """What a run makes use of; of what every disk can, only what is missing."""
    if found.links:
        yield "hard links"
    elif found.link_error:
        yield f"no hard links ({errno.errorcode.get(found.link_error, 'unknown')})"
    else:
        yield "no hard links (each name has an inode of its own)"
    yield "symlinks" if found.symlinks else "no symlinks"
    yield "folds case" if found.folds_case else "tells case apart"
    yield "" if found.keeps_case else "names lose their case"
    yield "" if not found.folds_form else "folds Unicode forms"
    yield "" if found.keeps_form else "names are kept in a Unicode form of its own"
    yield "" if found.executable else "no executable bit"
    yield "" if found.modes else "permissions cannot be set"
    yield "" if found.inodes else "inode numbers change with a rename"
    yield "" if found.link_times or not found.symlinks else "times of symlinks cannot be set"
    coarse = found.mtime_granularity_ns > 1_000_000
    yield f"times to {found.mtime_granularity_ns / 1e9:g} s" if coarse else ""


def _names(found: Traits) -> Iterator[str]:
    """What it cannot hold."""
    yield "" if found.any_bytes else "names in UTF-8 only"
    yield "" if found.max_name_bytes >= 255 else f"names up to {found.max_name_bytes} bytes"
    shown = " ".join(c for c in found.forbidden if c.isprintable())
    yield f"no {shown} in names" if shown else ""
    yield "no dot or blank at the end of names" if found.forbidden_ends else ""
    yield "no names of DOS devices" if found.reserved else ""
    yield f"files up to {show_size(found.largest_file)}" if found.largest_file else ""


def _mounted(root: Path) -> Iterator[str]:
    under = mounts.under(os.path.realpath(root), mounts.read())
    for mount in under:
        if mount.is_network:
            yield f"{mount.kind} at {mount.place}: what other machines do is looked for every few seconds"
        elif mount.is_stacked:
            yield f"{mount.kind} at {mount.place}: what is done behind it is looked for by `interval`"


# --------------------------------------------------------------------------------
#
# Whether a host answers, how its TLS is, how far its clock is from ours: without any credentials.


_SECONDS = (10.0, 20.0)  # to connect, and for an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """`tls`: its version ("" where it is not known), None where there is none.

    `skew`: seconds that the host's clock is ahead of ours, None where it does not say. Its dates are whole
    seconds.
    """

    tls: str | None
    skew: float | None


def host_of(url: str) -> str:
    """What is said of a URL: no user, path or query."""
    return urlsplit(url).netloc.rpartition("@")[2]


def reach(url: str, *, clock: Clock, ca_file: Path | None = None) -> Reached:
    """Asks once; any answer will do. Raises PermanentError (the certificate too), TransientError."""
    from syncer.stores.http import errors
    from syncer.stores.http.adapter import Session
    from syncer.stores.http.failures import reaching

    before = clock.now_ns()
    with (
        reaching(url),
        Session(connections=1) as session,
        session.get(
            url,
            auth=lambda request: request,  # requests would look for a password in ~/.netrc
            timeout=_SECONDS,
            allow_redirects=False,
            stream=True,
            verify=str(ca_file) if ca_file else True,
        ) as response,
    ):
        middle = (before + clock.now_ns()) // 2
        theirs = errors.date_ns(response)
        # An answer without content has given its connection back, and then there is none to be asked.
        connection = getattr(response.raw, "connection", None)
        version = getattr(getattr(connection, "sock", None), "version", lambda: None)()
    secure = urlsplit(url).scheme == "https"
    skew = None if theirs is None else (theirs + 500_000_000 - middle) / 1e9
    return Reached(tls=str(version or "") if secure else None, skew=skew)


# --------------------------------------------------------------------------------
#
# What `doctor` finds out about an account: is it reached, do the credentials work, what can it hold.
#
# Nothing is changed there, and no secret is in any finding.


SKEW = 60.0  # seconds between two clocks that are worth a word: signatures and tokens end by them


def account(settings: Settings, account: Account, *, clock: Clock) -> Iterator[Finding]:
    """Every finding about one account, a few lines."""
    asked = list(dict.fromkeys(verify.addresses(account, os.environ)))
    unreached = False
    for finding, reached in _hosts(account, asked, clock):
        yield finding
        unreached |= not reached
    if unreached:
        return  # one complaint is enough, and no secret goes to a host that is not what it should be
    try:
        standing = verify.standing(account, settings.state_dir, clock=clock)
    except SyncerError as error:
        # a bad moment of the network is not what credentials are blamed for
        what = "credentials" if isinstance(error, AuthError) else "service"
        hint = error.hint or f"log in: syncer login {account.name}"
        yield Finding(name=f"{account.name} {what}", ok=False, message=error.message, hint=hint)
        return
    yield Finding(name=f"{account.name} credentials", ok=True, message="they work")
    if standing.storage and host_of(standing.storage) not in map(host_of, asked):
        yield from (finding for finding, _ in _hosts(account, [standing.storage], clock))
    yield from _said(account.name, standing)


def _hosts(account: Account, urls: Iterable[str], clock: Clock) -> Iterator[tuple[Finding, bool]]:
    """One line for each host, and whether it was reached."""
    ca_file: Path | None = getattr(account, "ca_file", None)
    for url in {host_of(url): url for url in urls}.values():
        name = f"{account.name} host"
        try:
            reached = reach(url, clock=clock, ca_file=ca_file)
        except SyncerError as error:
            yield Finding(name=name, ok=False, message=error.message, hint=_remedy(account, error)), False
            continue
        message = f"{host_of(url)} answers; {_tls(reached)}; {_skew(reached)}"
        far = reached.skew is not None and abs(reached.skew) > SKEW
        hint = "set this machine's clock (NTP): tokens and signatures end by it" if far else ""
        yield Finding(name=name, ok=not far, message=message, hint=hint), True


def _remedy(account: Account, error: SyncerError) -> str:
    """Not every kind of account has a `ca_file` to name."""
    if "TLS" in error.message and not hasattr(account, "ca_file"):
        return "check the URL; REQUESTS_CA_BUNDLE names the file of a private authority"
    return error.hint or "check the URL, the network, and a proxy if there is one"


def _tls(reached: Reached) -> str:
    if reached.tls is None:
        return "no TLS: everybody on the way can read along"
    return f"{reached.tls or 'TLS'}, its certificate is trusted"


def _skew(reached: Reached) -> str:
    if reached.skew is None:
        return "it does not tell the time"
    if abs(reached.skew) < 2:
        return "clocks agree"
    return (
        f"its clock is {show_duration(round(abs(reached.skew)))} {'ahead' if reached.skew > 0 else 'behind'}"
    )


def _said(name: str, standing: AccountStatus) -> Iterator[Finding]:
    free = "room not said by the service" if standing.free is None else f"{show_size(standing.free)} free"
    used = "" if standing.used is None else f", {show_size(standing.used)} used"
    full = standing.free == 0
    hint = "make room there, or ask for more" if full else ""
    yield Finding(name=f"{name} quota", ok=not full, message=free + used, hint=hint)
    yield Finding(name=f"{name} limits", ok=True, message=standing.limits)
    window = standing.window or "none: writes are truly conditional"
    yield Finding(name=f"{name} window", ok=True, message=window)
