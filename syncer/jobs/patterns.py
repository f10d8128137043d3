"""Check ignore patterns for `config check`: those of the config, and the ignore files at the local roots.

Ignore files further down are read by each run only: reading all of them takes as long as a run.
"""

from __future__ import annotations

from collections.abc import Iterator

from syncer.config import JobSettings
from syncer.engine import gitignore
from syncer.engine.ignore import FILE, LIMIT, MACHINE_FILE


def complaints(job: JobSettings) -> Iterator[str]:
    """Patterns of the job that are surely a mistake, each with its index in the list."""
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
