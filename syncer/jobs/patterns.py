"""Checks the ignore patterns of jobs: those in the config, and the rules files at the local roots.

The files further down are read by each run; reading them all here would take as long as one.
"""

from __future__ import annotations

from collections.abc import Iterator

from syncer.config import JobSettings
from syncer.engine import gitignore
from syncer.engine.ignore import FILE, LIMIT, MACHINE_FILE


def complaints(job: JobSettings) -> Iterator[str]:
    """What is surely not meant in the job's own patterns, each with its place in the list."""
    yield from gitignore.own_complaints(job.ignore)


def complaints_at_root(job: JobSettings) -> Iterator[str]:
    """The same for `.syncignore` and `.syncignore.local` at the local root: FILE:LINE: PATTERN: why."""
    for name in (FILE, MACHINE_FILE):
        try:
            with (job.local / name).open("rb") as file:
                text = file.read(LIMIT + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        except OSError as error:
            yield f"{job.local / name}: cannot be read: {error.strerror}"
            continue
        if len(text) > LIMIT:
            yield f"{job.local / name}: longer than {LIMIT:,} bytes: its folder waits"
            continue
        yield from gitignore.complaints(text, str(job.local / name))
