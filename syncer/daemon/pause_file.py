"""Which jobs are paused, in a file of the state directory: a mark that outlives the daemon.

Set with or without one; a daemon that starts honours it. The names are taken as they are: whether there are
such jobs is asked by whoever sets it.
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
_LARGEST: Final = 1 << 20  # bytes


def paused(state_dir: Path) -> frozenset[str]:
    """The names of the jobs that are paused. Makes nothing. Raises StateError."""
    path = state_dir / NAME
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    return _parsed(text, path)


def set_paused(state_dir: Path, jobs: Iterable[str], on: bool) -> frozenset[str]:
    """Pauses jobs, or lets them go on; tells all that are paused now. Durable. Raises StateError."""
    prepare(state_dir)
    with _locked(state_dir):
        before = paused(state_dir)
        after = before | frozenset(jobs) if on else before - frozenset(jobs)
        if after != before:
            _write(state_dir / NAME, after)
    return after


def _parsed(text: bytes, path: Path) -> frozenset[str]:
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


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """One writer at a time, so that what a killed one left can be told and swept."""
    with translated(state_dir):
        descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with translated(state_dir):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in state_dir.glob(f"{NAME}.*.tmp"):
                with suppress(FileNotFoundError):
                    left.unlink()
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, names: Iterable[str]) -> None:
    """The old one or the new one stands there at any moment, whole."""
    temporary = path.with_name(f"{path.name}.{token_hex(6)}.tmp")
    text = json.dumps({"schema": _SCHEMA, "paused": sorted(names)})
    with translated(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)
