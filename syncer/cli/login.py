"""Commands `login` and `logout`: get tokens for an account, in a browser or by hand, and delete them."""

from __future__ import annotations

import os
import sys

import click

from syncer.accounts import verify
from syncer.accounts.credentials import wallet_of
from syncer.accounts.login import dispatch
from syncer.accounts.login.base import PATIENCE, Dialogue, LoggedIn
from syncer.cli.common import CliContext, pass_cli, print_err, shared
from syncer.config.accounts import Account
from syncer.engine.paths import printable
from syncer.errors import SyncerError, UsageError
from syncer.formatting import parse_duration, show_duration
from syncer.jobs import SystemClock

_KEPT = {"keyring": "the keyring", "file": "a private file under the state directory"}


class Terminal:
    """The terminal as `accounts.login.base.Person`. It prints on stderr; stdout has only the result."""

    def tell(self, line: str) -> None:
        print_err("\n".join(printable(part) for part in line.split("\n")))

    def browse(self, url: str) -> bool:
        """Open a page, unless there is no display: a browser in text mode would take the terminal."""
        import webbrowser

        seen = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
        if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in seen):
            return False
        try:
            return webbrowser.open(url)
        except (webbrowser.Error, OSError):
            return False

    def answer(self, question: str) -> str:
        print_err(f"{question}:")
        return sys.stdin.readline()


def _patience(context: click.Context, parameter: click.Parameter, value: str | None) -> float:
    try:
        return parse_duration(value) if value else PATIENCE
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from error


@click.command()
@click.argument("account")
@click.option("--no-browser", is_flag=True, help="Open nothing here: print the page, take a pasted code.")
@click.option(
    "--timeout",
    callback=_patience,
    metavar="TIME",
    help=f"Give up after so long (default {show_duration(PATIENCE)}).",
)
@shared
@pass_cli
def login(session: CliContext, account: str, no_browser: bool, timeout: float) -> int:
    """Log in to an ACCOUNT of the config; exits 7 if that fails.

    What a service hands out goes to the system's keyring if there is one, else to a private file under the
    state directory. An account that has all it needs is tried out.
    """
    session.start_logging()
    settings = session.settings()
    found = verify.known(settings.accounts, account, settings.origin)
    clock = SystemClock()
    dialogue = Dialogue(
        person=Terminal(),
        clock=clock,
        environ=os.environ,
        wallet=wallet_of(settings.state_dir, found),
        patience=timeout,
        browser=not no_browser,
    )
    done = dispatch.log_in(found, dialogue)
    try:
        verify.standing(found, settings.state_dir, clock=clock)
    except SyncerError:
        if done is not None:
            print_err(f"{_line(found, done)}. But it is of no use yet:")
        raise
    session.answer(_document(found, done), _line(found, done))
    return 0


def _document(account: Account, done: LoggedIn | None) -> dict[str, object]:
    return {
        "account": account.name,
        "ok": True,
        "action": "login" if done else "check",
        "kept": (done.kept or None) if done else None,
    }


def _line(account: Account, done: LoggedIn | None) -> str:
    if done is None:
        return f"{account.name}: the credentials work; there is nothing to log in to"
    return f"{account.name}: {done.message}; kept in {_KEPT[done.kept]}"


@click.command()
@click.argument("account")
@shared
@pass_cli
def logout(session: CliContext, account: str) -> int:
    """Remove what `login` kept for an ACCOUNT, from the keyring and from the state directory."""
    settings = session.settings()
    found = verify.known(settings.accounts, account, settings.origin)
    removed = wallet_of(settings.state_dir, found).forget()
    line = "logged out" if removed else "nobody was logged in"
    session.answer({"account": account, "removed": removed}, f"{account}: {line}")
    return 0
