"""Logging of the daemon: to stderr, with journald priorities where journald reads it, or to a rotated file.

A record is one line: control characters are escaped, so that the name of a file cannot forge a line of its
own. Only tracebacks take further lines, which are indented.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from syncer.config import Settings
from syncer.engine.model import Action, Done, Failed, Outcome, Transfer
from syncer.engine.paths import printable
from syncer.errors import ConfigError
from syncer.formatting import show_size
from syncer.jobs import results

FILES, FILE_SIZE = 3, 5 << 20  # bytes; the newest file and two older ones
# Priorities of syslog(3), which sd-daemon(3) expects at the beginning of a line.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


def start(
    level: int, *, file: Path | None = None, stream: TextIO | None = None, requests: bool = False
) -> None:
    """Log `syncer` from this level on, and warnings of libraries; may be called again for another file.

    Logs to the file, or without one to the stream (default: stderr). `requests`: log each request to a
    service (-v). Raises ConfigError if the file cannot be opened.
    """
    handler = to_file(file) if file else to_stream(stream or sys.stderr)
    root = logging.getLogger()
    before, root.handlers = root.handlers, [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("syncer").setLevel(level)
    logging.getLogger("syncer.http").setLevel(level if requests else max(level, logging.WARNING))
    for old in before:
        if isinstance(old, _File):
            old.close()


def to_stream(stream: TextIO, environment: Mapping[str, str] = os.environ) -> logging.Handler:
    """A handler with priorities if journald reads the stream (it adds the times), else with times."""
    handler = _Stream(stream)
    handler.setFormatter(ForJournal() if is_journal(stream, environment) else Timed())
    return handler


def to_file(path: Path) -> logging.Handler:
    """A handler for a file that is rotated before it exceeds FILE_SIZE. Raises ConfigError."""
    try:
        handler = _File(path, maxBytes=FILE_SIZE, backupCount=FILES - 1, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the log {path} cannot be written: {error.strerror}",
            hint="name another file with [daemon] log, or none for stderr",
        ) from None
    handler.setFormatter(Timed())
    return handler


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether JOURNAL_STREAM names the stream by its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        return False
    return environment.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


def check_place(settings: Settings) -> None:
    """Refuse a log inside a root, where each line would be a change to sync. Raises ConfigError."""
    log = settings.daemon.log
    if log is None:
        return
    real = Path(os.path.realpath(log))
    for job in settings.jobs.values():
        for root in (job.local, job.remote.folder):
            if root is not None and real.is_relative_to(os.path.realpath(root)):
                raise ConfigError(
                    f"{settings.origin}: daemon.log: {log} lies inside the root {root} of the job {job.name}",
                    hint="each line would be a change to sync: put the log outside of every root",
                )


def line_of(action: Action, outcome: Outcome) -> str:
    """The line of an action: `upload a/b.txt: done (1.2 kB, local-changed, delta, 45 B crossed)`.

    Its terms are those of `--json`.
    """
    facts = [show_size(results.size_of(action))] if isinstance(action, Transfer) else []
    facts.append(action.reason.value)
    if isinstance(outcome, Done) and isinstance(action, Transfer):
        facts += [outcome.method.value, f"{show_size(sum(results.crossed(outcome)))} crossed"]
    end = results.result_of(outcome)
    if message := results.message_of(outcome):
        end += f": {printable(message)}"
    name, path, other = results.name_of(action), printable(action.path), results.other_path(action)
    if other and name.startswith("move-"):
        path = f"{printable(other)} → {path}"
    elif other:
        path = f"{path} and {printable(other)}"
    return f"{name} {path}: {end} ({', '.join(facts)})"


def level_of(outcome: Outcome) -> int:
    """WARNING for a failure, else INFO (also for what is postponed)."""
    return logging.WARNING if isinstance(outcome, Failed) else logging.INFO


class _OneLine(logging.Formatter):
    """Formats the message in printable characters, and a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(self._lines(record))

    def _lines(self, record: logging.LogRecord) -> Iterable[str]:
        yield printable(record.getMessage())
        if record.exc_info:
            for line in self.formatException(record.exc_info).splitlines():
                yield f"    {printable(line)}"


class ForJournal(_OneLine):
    """`<4>message`: each line with its priority, as journald reads it."""

    def _lines(self, record: logging.LogRecord) -> Iterable[str]:
        number = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return (f"<{number}>{line}" for line in super()._lines(record))


class Timed(_OneLine):
    """`2026-11-21T16:37:00.123Z WARNING message`, in UTC."""

    def _lines(self, record: logging.LogRecord) -> Iterable[str]:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"{moment}.{int(record.msecs):03d}Z {record.levelname}"
        first, *rest = super()._lines(record)
        return (f"{head} {first}", *rest)


class _IgnoreErrors:
    """A log that cannot be written (full disk, closed pipe) must not end the daemon, or fill stderr."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        return


class _Stream(_IgnoreErrors, logging.StreamHandler[TextIO]):
    """Handler for stderr."""


class _File(_IgnoreErrors, RotatingFileHandler):
    """Handler for a file of mode 0600, whatever the umask: it contains names of files."""

    def _open(self) -> io.TextIOWrapper:
        # O_NONBLOCK: opening a fifo without a reader fails instead of blocking.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.baseFilename, flags, 0o600)
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)  # it may have existed before
        return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")
