"""What `doctor` finds out about an account: is it reached, do the credentials work, what can it hold.

Nothing is changed there, and no secret is in any finding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from syncer.config import Settings
from syncer.config.accounts import Account
from syncer.engine.ports import Clock
from syncer.errors import AuthError, SyncerError
from syncer.jobs import trying
from syncer.jobs.probing import Finding
from syncer.jobs.reaching import Reached, host_of, reach
from syncer.jobs.trying import Standing
from syncer.units import show_duration, show_size

SKEW = 60.0  # seconds between two clocks that are worth a word: signatures and tokens end by them


def account(settings: Settings, account: Account, *, clock: Clock) -> Iterator[Finding]:
    """Every finding about one account, a few lines."""
    asked = list(dict.fromkeys(trying.addresses(account, os.environ)))
    unreached = False
    for finding, reached in _hosts(account, asked, clock):
        yield finding
        unreached |= not reached
    if unreached:
        return  # one complaint is enough, and no secret goes to a host that is not what it should be
    try:
        standing = trying.standing(account, settings.state_dir, clock=clock)
    except SyncerError as error:
        # a bad moment of the network is not what credentials are blamed for
        what = "credentials" if isinstance(error, AuthError) else "service"
        hint = error.hint or f"log in: syncer login {account.name}"
        yield Finding(name=f"{account.name} {what}", ok=False, message=error.message, hint=hint)
        return
    yield Finding(name=f"{account.name} credentials", ok=True, message="they work")
    if standing.storage and host_of(standing.storage) not in map(host_of, asked):
        yield from (finding for finding, _ in _hosts(account, [standing.storage], clock))
    yield from _said(account.name, standing)


def _hosts(account: Account, urls: Iterable[str], clock: Clock) -> Iterator[tuple[Finding, bool]]:
    """One line for each host, and whether it was reached."""
    ca_file: Path | None = getattr(account, "ca_file", None)
    for url in {host_of(url): url for url in urls}.values():
        name = f"{account.name} host"
        try:
            reached = reach(url, clock=clock, ca_file=ca_file)
        except SyncerError as error:
            yield Finding(name=name, ok=False, message=error.message, hint=_remedy(account, error)), False
            continue
        message = f"{host_of(url)} answers; {_tls(reached)}; {_skew(reached)}"
        far = reached.skew is not None and abs(reached.skew) > SKEW
        hint = "set this machine's clock (NTP): tokens and signatures end by it" if far else ""
        yield Finding(name=name, ok=not far, message=message, hint=hint), True


def _remedy(account: Account, error: SyncerError) -> str:
    """Not every kind of account has a `ca_file` to name."""
    if "TLS" in error.message and not hasattr(account, "ca_file"):
        return "check the URL; REQUESTS_CA_BUNDLE names the file of a private authority"
    return error.hint or "check the URL, the network, and a proxy if there is one"


def _tls(reached: Reached) -> str:
    if reached.tls is None:
        return "no TLS: everybody on the way can read along"
    return f"{reached.tls or 'TLS'}, its certificate is trusted"


def _skew(reached: Reached) -> str:
    if reached.skew is None:
        return "it does not tell the time"
    if abs(reached.skew) < 2:
        return "clocks agree"
    return (
        f"its clock is {show_duration(round(abs(reached.skew)))} {'ahead' if reached.skew > 0 else 'behind'}"
    )


def _said(name: str, standing: Standing) -> Iterator[Finding]:
    free = "room not said by the service" if standing.free is None else f"{show_size(standing.free)} free"
    used = "" if standing.used is None else f", {show_size(standing.used)} used"
    full = standing.free == 0
    hint = "make room there, or ask for more" if full else ""
    yield Finding(name=f"{name} quota", ok=not full, message=free + used, hint=hint)
    yield Finding(name=f"{name} limits", ok=True, message=standing.limits)
    window = standing.window or "none: writes are truly conditional"
    yield Finding(name=f"{name} window", ok=True, message=window)
