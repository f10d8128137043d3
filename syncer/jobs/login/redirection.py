"""From the address of a consent page to the code: by a browser here and a listener, or pasted by the person.

Pasting is for machines without a browser: the page is opened on another one, where the redirect leads to
an address that does not answer, and that address is what is to be pasted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from syncer.errors import AuthError
from syncer.jobs.login import answers
from syncer.jobs.login.answers import Granted, Reply, Strange
from syncer.jobs.login.dialogue import Dialogue
from syncer.jobs.login.listener import Listener, address_of
from syncer.units import show_duration

_PASTE = "Paste the code, or the whole address that you were led to"


def code(dialogue: Dialogue, url: str, *, redirect_uri: str, state: str) -> str:
    """The code of a person who consented. Raises AuthError: denied, nobody came in time, nothing of use."""
    reply = _by_browser(dialogue, url, redirect_uri, state) if dialogue.browser else None
    if reply is None:
        reply = _pasted(dialogue, url, state)
    if isinstance(reply, Granted):
        return reply.code
    raise AuthError(f"the login was refused there: {reply.words}", hint="log in again, and consent")


def _by_browser(dialogue: Dialogue, url: str, redirect_uri: str, state: str) -> Reply | None:
    """None where that is no way: nothing to listen at, or no browser."""
    address = address_of(redirect_uri)
    if address is None:
        dialogue.person.tell(f"{redirect_uri} does not lead to this machine, so nothing can be listened for.")
        return None
    heard: SimpleQueue[Reply | None] = SimpleQueue()
    try:
        listener = Listener(address, state, heard.put)
        with listener:
            dialogue.person.tell(f"Opening this page in a browser:\n  {url}")
            browse_aside(dialogue, url, failed=lambda: heard.put(None))
            return heard.get(timeout=dialogue.patience)
    except OSError as error:
        port = urlsplit(redirect_uri).netloc
        dialogue.person.tell(f"Cannot listen at {port} ({error.strerror}): no answer can arrive here.")
        return None
    except Empty:
        raise late(dialogue) from None


def browse_aside(dialogue: Dialogue, url: str, failed: Callable[[], None] = lambda: None) -> None:
    """Opens a page; a browser in a terminal blocks until it is left, long after the answer is here."""

    def browse() -> None:
        if not dialogue.person.browse(url):
            failed()

    threading.Thread(target=browse, name="browser", daemon=True).start()


def _pasted(dialogue: Dialogue, url: str, state: str) -> Reply:
    dialogue.person.tell(f"Open this page in a browser, on any machine, and log in there:\n  {url}")
    try:
        return answers.of_text(dialogue.person.answer(_PASTE), state)
    except Strange as error:
        raise unusable(error) from None


def unusable(error: Strange) -> AuthError:
    """What was pasted is no answer."""
    return AuthError(f"what was pasted is of no use: {error}", hint="log in again, and paste all of it")


def late(dialogue: Dialogue) -> AuthError:
    """Nobody came in time."""
    return AuthError(
        f"nobody logged in within {show_duration(dialogue.patience)}: given up",
        hint="log in again; on a machine without a browser: syncer login --no-browser; if the page showed an "
        "error, check the account's client_id and redirect_uri",
    )
