"""Login to OVH: request a consumer key with the least rights and wait until the user validates it."""

from __future__ import annotations

from syncer.accounts.credentials import purpose
from syncer.accounts.login.base import Dialogue, LoggedIn
from syncer.accounts.login.oauth_redirect import browse_aside
from syncer.config.accounts import SwiftOvh
from syncer.errors import AuthError, TransientError
from syncer.formatting import show_duration
from syncer.stores.swift.auth.ovh import OvhLogin, Pending, request, rules, validated

PAUSE = 3.0  # seconds between two looks: some sixty calls a minute are taken without complaint


def log_in(account: SwiftOvh, dialogue: Dialogue) -> LoggedIn:
    """Raises AuthError (wrong application, not validated in time), TransientError, StateError."""
    login = login_of(account)
    pending = request(login)
    granted = " and ".join(f"{method} {path}" for method, path in rules(login))
    dialogue.person.tell(f"A new consumer key, for no more than {granted}, waits to be validated.")
    dialogue.person.tell(f"Open this page, choose how long it may live, and validate it:\n  {pending.url}")
    if dialogue.browser:
        browse_aside(dialogue, pending.url)
    _wait(login, pending, dialogue)
    kept = dialogue.wallet.save(purpose(account, dialogue.environ), {"consumer_key": pending.key})
    return LoggedIn(message="the consumer key is valid", kept=kept)


def login_of(account: SwiftOvh) -> OvhLogin:
    """Without a consumer key."""
    secret = account.application_secret
    return OvhLogin(
        endpoint=account.endpoint,
        application_key=account.application_key,
        application_secret=secret.reveal if secret else None,
        project=account.project,
        region=account.region,
        conf_file=account.conf_file,
        insecure=account.insecure,
    )


def _wait(login: OvhLogin, pending: Pending, dialogue: Dialogue) -> None:
    """One bad moment of the API does not end it: the person may be typing a password."""
    clock, trouble = dialogue.clock, ""
    deadline = clock.monotonic() + dialogue.patience
    while True:
        try:
            if validated(login, pending):
                return
            trouble = ""
        except TransientError as error:
            trouble = f" ({error.message})"
        if clock.monotonic() + PAUSE > deadline:
            raise AuthError(
                f"ovh: the consumer key was not validated within {show_duration(dialogue.patience)}, "
                f"or was refused there{trouble}",
                hint="log in again, and validate the key on the page that opens",
            )
        clock.sleep(PAUSE)
