"""Paused jobs, stored in `paused.json` of the state directory, so that a pause outlives the daemon.

Written with or without a running daemon, and read when one starts. Names are not checked against the config.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from syncer.errors import StateError
from syncer.state import prepare
from syncer.state.directory import sync
from syncer.state.sqlite import translated

NAME: Final = "paused.json"
_SCHEMA: Final = 1
_MAX_SIZE: Final = 1 << 20  # bytes


def paused(state_dir: Path) -> frozenset[str]:
    """The names of the paused jobs; creates nothing. Raises StateError for a damaged file."""
    path = state_dir / NAME
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SIZE)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    try:
        document = json.loads(text)
        names = document["paused"]
        known = document["schema"] == _SCHEMA and isinstance(names, list)
        if known and all(isinstance(name, str) for name in names):
            return frozenset(names)
    except (ValueError, TypeError, KeyError):
        pass
    raise StateError(
        f"{path} is damaged, or from a newer version: it does not say which jobs are paused",
        hint="remove it (then none is), and pause again what has to be",
    )


def set_paused(state_dir: Path, jobs: Iterable[str], on: bool) -> frozenset[str]:
    """Pause or resume jobs, durably; returns all jobs that are paused now. Raises StateError."""
    prepare(state_dir)
    with _locked(state_dir):
        before = paused(state_dir)
        after = before | frozenset(jobs) if on else before - frozenset(jobs)
        if after != before:
            _write(state_dir / NAME, after)
    return after


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Lock out other writers, and remove the temporary files that killed ones left."""
    with translated(state_dir):
        descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with translated(state_dir):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for leftover in state_dir.glob(f"{NAME}.*.tmp"):
                with suppress(FileNotFoundError):
                    leftover.unlink()
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, names: Iterable[str]) -> None:
    """Replace the file atomically and durably."""
    temporary = path.with_name(f"{path.name}.{token_hex(6)}.tmp")
    text = json.dumps({"schema": _SCHEMA, "paused": sorted(names)})
    with translated(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(descriptor)
            # Content before name: after a crash at any point the path holds the old or the new file, whole.
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)
