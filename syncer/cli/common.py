"""What every command shares: `--config`, `--json`, `-q`, `-v`, and where output goes.

The options are taken before the command and after it alike; what is said last counts.
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
    """One call of the program: the shared options, filled in while the command line is read."""

    config: Path | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0

    def settings(self) -> Settings:
        """The config file's settings; its warnings are told. Raises ConfigError."""
        settings = self.loaded()
        for warning in settings.warnings:
            say(f"syncer: warning: {warning}")
        return settings

    def loaded(self) -> Settings:
        """The config file's settings, without a word. Raises ConfigError."""
        from syncer.config import load

        return load(self.config)

    def answer(self, document: Mapping[str, object], *lines: str) -> None:
        """What the command was asked for, on stdout: one JSON document, or lines for people."""
        if self.json:
            print_json(document)
        else:
            for line in lines:
                put(line)

    def start_logging(self) -> None:
        """Log to stderr: warnings, with -v what is done, with -vv why."""
        import logging

        level = {0: logging.WARNING, 1: logging.INFO}.get(self.verbose, logging.DEBUG)
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("syncer").setLevel(logging.ERROR if self.quiet else level)

    def talk(self, line: str) -> None:
        """Something worth knowing, on stderr, unless -q."""
        if not self.quiet:
            say(line)


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
            "--quiet", "-q", is_flag=True, expose_value=False, callback=_store("quiet"), help="Only errors."
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


session_of = click.make_pass_decorator(CliContext, ensure=True)


def print_json(document: Mapping[str, object]) -> None:
    """One document. ASCII only: names that are not UTF-8 come as \\udcXX, which reads back to their bytes."""
    put(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=True))


@dataclass(slots=True)
class Unwritten:
    """What became of the answer on stdout. A reader that goes away wants no more; a full disk loses it."""

    error: OSError | None = None

    @property
    def lost(self) -> bool:
        return self.error is not None and self.error.errno != errno.EPIPE

    @property
    def why(self) -> str:
        return os.strerror(self.error.errno or errno.EIO) if self.error else ""

    def forget(self) -> None:
        """At the start of a command."""
        self.error = None


unwritten = Unwritten()


def put(line: str) -> None:
    """A line on stdout, whatever its encoding can hold. One that cannot be written is told by `main`."""
    if unwritten.error is not None:
        return
    try:
        _write(sys.stdout, line)
    except OSError as error:
        unheard(error)


def unheard(error: OSError) -> None:
    """Nothing more can be written to stdout; what is still in its buffer must not fail at the very end."""
    unwritten.error = error
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        sys.stdout.flush()
    except (OSError, ValueError):
        return


def say(line: str) -> None:
    """A line on stderr, whatever its encoding can hold; a stderr that takes nothing stops no run."""
    try:
        _write(sys.stderr, line)
    except OSError:
        return


def _write(stream: Any, line: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def complain(error: SyncerError) -> None:
    """`syncer: what, where`, and what to do."""
    where = f" ({_shown(error.path)})" if error.path and error.path not in error.message else ""
    say(f"syncer: {_shown_lines(error.message)}{where}")
    if error.hint:
        say(f"  hint: {_shown_lines(error.hint)}")


def _shown(text: str) -> str:
    from syncer.engine.paths import printable

    return printable(text)


def _shown_lines(text: str) -> str:
    """Several complaints may come in one message, a line each; no other control character passes."""
    return "\n".join(_shown(line) for line in text.split("\n"))


def error_document(error: SyncerError) -> Mapping[str, object]:
    """What `--json` prints when no job could be begun."""
    from syncer.exit_codes import exit_code

    return {"error": {"message": error.message, "hint": error.hint, "exit": exit_code(error)}}


# --------------------------------------------------------------------------------
#
# SIGINT and SIGTERM: the first stops a run between two steps, the second at once.
#
# Handlers are set only while something runs that can stop cleanly.


_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[CancelToken]:
    """Turn signals into a `CancelToken` for the time of the block."""
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
