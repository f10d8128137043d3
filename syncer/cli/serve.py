"""Command `serve`: serve a folder to other machines, and manage the keys of its clients.

The server itself is `syncer.server`, which needs the extra `[server]`.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncer.cli.common import CliContext, pass_cli, print_err, shared, stoppable
from syncer.config.paths import absolute, default_state_dir
from syncer.engine.paths import printable
from syncer.errors import ConfigError, UsageError
from syncer.formatting import parse_size

if TYPE_CHECKING:
    from syncer.server.api_keys import KeyFile
    from syncer.server.timeouts import Timeouts

_NEEDED = ("starlette", "uvicorn", "httptools", "python_multipart", "anyio")
_DEFAULT_LISTEN = "127.0.0.1:8765"
_TRASH_DAYS = 30.0
_TLS_FILES = (("certificate", "--cert"), ("private key", "--key"))


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--listen", default=_DEFAULT_LISTEN, show_default=True, metavar="HOST:PORT", help="Port 0: a free one."
)
@click.option(
    "--keys", type=click.Path(path_type=Path), help="The key file (default: in the state directory)."
)
@click.option("--cert", type=click.Path(path_type=Path), help="TLS certificate with its chain, PEM.")
@click.option("--key", "tls_key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="The server's own directory: trash, digests, keys."
)
@click.option("--trash-days", type=click.FloatRange(min=0), default=_TRASH_DAYS, show_default=True,
              help="How long replaced and deleted files are kept.")  # fmt: skip
@click.option("--trash-size", metavar="SIZE",
              help="How much of them, as 10G [default: half of what the disk would have free].")  # fmt: skip
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER",
              help="Change a limit, for example per_address=512; --limit help lists them.")  # fmt: skip
@click.option("--add-key", metavar="NAME", help="Make a key; print it and its password once.")
@click.option("--read-only", is_flag=True, help="With --add-key: it may change nothing.")
@click.option("--under", default="", metavar="SUBFOLDER", help="With --add-key: it sees this subfolder only.")
@click.option("--list-keys", is_flag=True, help="Show who may come in.")
@click.option("--revoke-key", metavar="NAME", help="Take a key back; a running server notices.")
@shared
@pass_cli
def serve(
    session: CliContext,
    folder: Path | None,
    listen: str,
    keys: Path | None,
    cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    state: Path | None,
    trash_days: float,
    trash_size: str | None,
    limits: tuple[str, ...],
    add_key: str | None,
    read_only: bool,
    under: str,
    list_keys: bool,
    revoke_key: str | None,
) -> int:
    """Serve FOLDER to other machines: the SmartFile API, and Syncer's own extension of it.

    A client names it as an account of type "syncer". Keys are made with --add-key.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the server needs packages that are not installed: {', '.join(missing)}",
            hint='pip install "syncer-delta[server]"',
        )
    if sum((add_key is not None, list_keys, revoke_key is not None)) > 1:
        raise UsageError("--add-key, --list-keys and --revoke-key are done one at a time")
    if (read_only or under) and add_key is None:
        raise UsageError("--read-only and --under belong to --add-key")
    chosen = _limits(limits)
    try:
        most = parse_size(trash_size) if trash_size is not None else None
    except ValueError as error:
        raise UsageError(f"--trash-size: {error}", hint="for example --trash-size 10G") from None
    from syncer.server.api_keys import KeyFile
    from syncer.server.state_dir import KEYS

    place = _Place(folder, state)
    file = KeyFile(_expanded(keys) if keys is not None else place.state() / KEYS)
    if add_key is not None:
        return _add_key(session, file, add_key, under=under, read_only=read_only)
    if list_keys:
        return _list_keys(session, file)
    if revoke_key is not None:
        gone = file.revoke(revoke_key)
        session.answer({"revoked": gone.name}, f"revoked {gone.name}")
        return 0
    if (cert is None) != (tls_key is None):
        raise UsageError("--cert and --key belong together")
    tls = (_expanded(cert), _expanded(tls_key)) if cert is not None and tls_key is not None else None
    return _serve(
        session, place, file, listen=listen, tls=tls, insecure=insecure, trash_days=trash_days,
        trash_size=most, limits=chosen,
    )  # fmt: skip


def _limits(words: tuple[str, ...]) -> Timeouts:
    """The default limits with the changes of the command line. Raises UsageError."""
    from syncer.server.timeouts import SETTINGS, Timeouts

    usual = Timeouts()
    known = "; ".join(f"{name} ({getattr(usual, name)})" for name in SETTINGS)
    chosen: dict[str, int] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in SETTINGS:
            raise UsageError(f"there is no limit named {printable(name)!r}", hint=f"there are: {known}")
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:10]) < 10**9 or len(text) > 9:
            raise UsageError(
                f"--limit {printable(word)}: a number from 1 to 999999999 is wanted",
                hint=f"for example --limit {name}={getattr(usual, name)}",
            )
        chosen[name] = int(text)
    return replace(usual, **chosen)


class _Place:
    """The folder and the state directory of the command line, resolved when they are needed."""

    def __init__(self, folder: Path | None, state: Path | None) -> None:
        self._folder = folder
        self._state = state

    def folder(self) -> Path:
        """The real path of the folder. Raises UsageError."""
        if self._folder is None:
            raise UsageError("which folder is to be served?", hint="syncer serve FOLDER --listen HOST:PORT")
        found = Path(os.path.realpath(_expanded(self._folder)))
        if not found.is_dir():
            what = "is not a folder" if found.exists() else "does not exist"
            raise UsageError(f"the folder {found} {what}", hint="name a folder that is there")
        return found

    def state(self) -> Path:
        """Where the server keeps its own things, outside of the folder. Raises UsageError."""
        from syncer.server.state_dir import default_state

        if self._state is not None:
            return Path(os.path.realpath(_expanded(self._state)))
        if self._folder is None:
            raise UsageError("which keys are meant?", hint="name the FOLDER, or the file with --keys")
        return default_state(default_state_dir(), self.folder())


def _expanded(path: Path) -> Path:
    try:
        return absolute(str(path))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


# -- keys ------------------------------------------------------------------------


def _add_key(session: CliContext, file: KeyFile, name: str, *, under: str, read_only: bool) -> int:
    made = file.add(name, under=under, read_only=read_only)
    session.answer(
        {"key": made.token, "password": made.password},
        f"key       {made.token}",
        f"password  {made.password}",
    )
    session.inform("The password is shown this once; only a hash of it is kept.")
    return 0


def _list_keys(session: CliContext, file: KeyFile) -> int:
    found = [record.key for record in file.read()]
    documents = [{"name": k.name, "under": k.under, "read_only": k.read_only} for k in found]
    lines = [
        f"{k.name}  {'/' + printable(k.under)}  {'read only' if k.read_only else 'read and write'}"
        for k in found
    ]
    session.answer({"keys": documents}, *(lines or ["no keys"]))
    return 0


# -- serving ---------------------------------------------------------------------


def _serve(
    session: CliContext,
    place: _Place,
    file: KeyFile,
    *,
    listen: str,
    tls: tuple[Path, Path] | None,
    insecure: bool,
    trash_days: float,
    trash_size: int | None,
    limits: Timeouts,
) -> int:
    from syncer.jobs import SystemClock
    from syncer.server import runner
    from syncer.server.app import opened

    host, port = runner.address(listen)
    if tls is not None:
        runner.check_tls(*tls)
    folder, state = place.folder(), place.state()
    _apart(folder, state, file.path, *(tls or ()))
    if not file.read():
        session.inform(f"syncer: there are no keys in {file.path} yet: make one with --add-key NAME")
    if file.exposed():
        print_err(f"syncer: warning: {file.path} can be read by others; chmod 600 it, and make the keys anew")
    _start_log(session)
    sockets = runner.bind(host, port, tls=tls is not None, insecure=insecure)
    url = runner.url_of(host, sockets, tls=tls is not None)
    line = f"serving {printable(str(folder))} at {url}"

    def ready() -> None:
        session.answer({"url": url}, line)

    try:
        with (
            stoppable() as stop,
            opened(
                folder,
                state,
                file,
                clock=SystemClock(),
                trash_days=trash_days,
                trash_size=trash_size,
                limits=limits,
            ) as app,
        ):
            runner.run(app, sockets, tls=tls, ready=ready, stopped=lambda: bool(stop.signum))
    finally:
        for sock in sockets:
            sock.close()
    return 128 + stop.signum if stop.signum else 0


def _apart(folder: Path, state: Path, keys: Path, *tls: Path) -> None:
    """Refuse files of the server inside the served folder. Raises UsageError."""
    own = [("state directory", state, "--state"), ("key file", keys, "--keys")]
    own += [(what, path, option) for (what, option), path in zip(_TLS_FILES, tls, strict=False)]
    for what, given, option in own:
        for path in {given.absolute(), Path(os.path.realpath(given))}:
            if path == folder or folder in path.parents:
                raise UsageError(
                    f"the {what} {path} lies in the folder {folder} that is to be served",
                    hint=f"name another place with {option}",
                )


def _start_log(session: CliContext) -> None:
    """Log requests and errors on stderr, as JSON with --json; -q leaves the requests out."""
    from syncer.server.access_log import ACCESS, AsJson, AsText

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(AsJson() if session.json else AsText())
    log = logging.getLogger("syncer.server")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
    logging.getLogger(ACCESS).setLevel(logging.WARNING if session.quiet else logging.INFO)
