"""Append a job to the config file, or create a private file with it.

What would be written is read and checked first, so a file is never left worse than it was; nothing that
stands in it is ever changed. Asking people is `cli.init`'s business.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from syncer.config import JobSettings, Settings, parse
from syncer.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = """\
# Syncer's config file, begun by `syncer init`. `syncer config show` says what it comes to,
# config.example.toml shows every key with its default, `syncer config check` whether it is right.
"""
_COMMENTS = """\
# conflict = "keep-both"  # keep-both | newer | local | remote | ask
# mode = "two-way"        # two-way | push | pull (push and pull change one side only)
# ignore = ["*.tmp"]      # gitignore patterns; a .syncignore in the tree does the same
# interval = "5m"         # daemon: look at the remote at least this often
# trash_days = 30         # how long replaced and deleted files are kept
"""


def table(job: JobSettings) -> str:
    """The lines of a job in the config file, its other keys as comments."""
    name = job.name if _BARE.fullmatch(job.name) else _text(job.name)
    return f"[jobs.{name}]\nlocal = {_text(str(job.local))}\nremote = {_text(str(job.remote))}\n{_COMMENTS}"


def add(path: Path, job: JobSettings) -> bool:
    """Add a job to the config file; True if the file was made. Raises ConfigError.

    The file must not know the job; its directory is made, private.
    """
    old = _read(path)
    new = f"{_HEAD}\n{table(job)}" if old is None else f"{_gap(old)}{table(job)}"
    _check(parse((old or "") + new, path), job, path)
    try:
        if old is None:
            _create(path, new.encode())
        else:
            _append(path, new.encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    return old is None


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _gap(old: str) -> str:
    return "" if not old else "\n" if old.endswith("\n") else "\n\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def _check(settings: Settings, job: JobSettings, path: Path) -> None:
    """A `$` in a path would be read as a variable, and there are names that no TOML can hold."""
    found = settings.jobs.get(job.name)
    if found is None or (found.local, found.remote) != (job.local, job.remote):
        raise ConfigError(
            f"{path}: the job's folders cannot be written so that they are read as they are",
            hint="a path in the config file may not hold $NAME; a link to the folder may help",
        )


def _create(path: Path, text: bytes) -> None:
    """Never over a file that somebody made meanwhile, and readable to nobody else at any moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, text)
    except OSError:
        os.unlink(path)  # ours: a moment old, and a part of a file
        raise
    finally:
        os.close(fd)


def _append(path: Path, text: bytes) -> None:
    """At the end, or not at all: what cannot be written whole is taken away again."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        try:
            _write(fd, text)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def _write(fd: int, text: bytes) -> None:
    done = 0
    while done < len(text):
        done += os.write(fd, text[done:])
    os.fsync(fd)
