"""Shared by all commands: the options `--config`, `--json`, `-q` and `-v`, output, and signals.

The options may come before or after the name of the command; the last value counts.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from syncer.jobs.cancellation import CancelToken

if TYPE_CHECKING:
    from syncer.config import Settings
    from syncer.errors import SyncerError


SCHEMA = 1
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(slots=True)
class CliContext:
    """The shared options of one call, filled in while click parses the command line."""

    config: Path | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0

    def settings(self) -> Settings:
        """Load the config file and print its warnings. Raises ConfigError."""
        settings = self.loaded()
        for warning in settings.warnings:
            print_err(f"syncer: warning: {warning}")
        return settings

    def loaded(self) -> Settings:
        """Load the config file, without printing its warnings. Raises ConfigError."""
        from syncer.config import load

        return load(self.config)

    def answer(self, document: Mapping[str, object], *lines: str) -> None:
        """Print the result of the command on stdout: one JSON document, or lines for people."""
        if self.json:
            print_json(document)
        else:
            for line in lines:
                print_out(line)

    def start_logging(self) -> None:
        """Log to stderr: warnings; with -v also actions, with -vv also decisions."""
        import logging

        level = {0: logging.WARNING, 1: logging.INFO}.get(self.verbose, logging.DEBUG)
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("syncer").setLevel(logging.ERROR if self.quiet else level)

    def inform(self, line: str) -> None:
        """Print a line on stderr, unless -q."""
        if not self.quiet:
            print_err(line)

    def report(self, line: str) -> None:
        """A line of what was asked for: on stdout, or on stderr where stdout carries the JSON document."""
        if self.json:
            print_err(line)
        else:
            print_out(line)


def shared(command: _F) -> _F:
    """Add the shared options to a command or group."""
    options = (
        click.option(
            "--config",
            "-c",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_store("config"),
            help="The config file (default: $XDG_CONFIG_HOME/syncer/config.toml).",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_store("json"),
            help="Print one JSON document on stdout.",
        ),
        click.option(
            "--quiet",
            "-q",
            is_flag=True,
            expose_value=False,
            callback=_store("quiet"),
            help="Only what somebody must act on.",
        ),
        click.option(
            "--verbose",
            "-v",
            count=True,
            expose_value=False,
            callback=_store("verbose"),
            help="Say more; twice: say everything.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        session = context.ensure_object(CliContext)
        if value:
            setattr(session, name, value)

    return callback


pass_cli = click.make_pass_decorator(CliContext, ensure=True)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document. ASCII only: a byte that is not UTF-8 becomes \\udcXX (surrogateescape)."""
    print_out(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=True))


@dataclass(slots=True)
class StdoutState:
    """Whether stdout failed. EPIPE is no error (the reader went away); anything else loses output."""

    error: OSError | None = None

    @property
    def lost(self) -> bool:
        return self.error is not None and self.error.errno != errno.EPIPE

    @property
    def reason(self) -> str:
        return os.strerror(self.error.errno or errno.EIO) if self.error else ""

    def reset(self) -> None:
        """At the start of a command."""
        self.error = None


stdout_state = StdoutState()


def print_out(line: str) -> None:
    """Print a line on stdout; what its encoding lacks is escaped. `main` reports a failure, once."""
    if stdout_state.error is not None:
        return
    try:
        _write(sys.stdout, line)
    except OSError as error:
        stdout_failed(error)


def stdout_failed(error: OSError) -> None:
    """Record that stdout failed, and redirect it to /dev/null, so that flushing it at exit cannot fail."""
    stdout_state.error = error
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        sys.stdout.flush()
    except (OSError, ValueError):
        return


def print_err(line: str) -> None:
    """Print a line on stderr; what its encoding lacks is escaped. Failures are ignored: they stop no run."""
    try:
        _write(sys.stderr, line)
    except OSError:
        return


def _write(stream: Any, line: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def print_error(error: SyncerError) -> None:
    """Print an error on stderr: `syncer: message (path)`, and its hint. A message may have several lines."""
    from syncer.engine.paths import printable

    def lines(text: str) -> str:
        return "\n".join(map(printable, text.split("\n")))

    path = f" ({printable(error.path)})" if error.path and error.path not in error.message else ""
    print_err(f"syncer: {lines(error.message)}{path}")
    if error.hint:
        print_err(f"  hint: {lines(error.hint)}")


def error_document(error: SyncerError) -> Mapping[str, object]:
    """The JSON document of an error that ended the command before any job."""
    from syncer.exit_codes import exit_code

    return {"error": {"message": error.message, "hint": error.hint, "exit": exit_code(error)}}


# --------------------------------------------------------------------------------
#
# SIGINT and SIGTERM: the first stops a run between two steps, the second at once.


_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[CancelToken]:
    """Turn signals into a `CancelToken` while the block runs (in the main thread only)."""
    stop = CancelToken()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.signum:
            os._exit(128 + signum)
        stop.ask(signum)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.signal(signum, handle) for signum in _STOPPING}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
