"""People who log in: what they see, click and paste. They play by HTTP, as a browser would."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urljoin

import requests

from syncer.accounts.login.base import Dialogue
from syncer.config.account_types import model_of
from syncer.config.accounts import Account
from syncer.engine.interfaces import Clock
from syncer.state.credentials import CredentialStore


@dataclass(kw_only=True)
class Player:
    """A `Person`. `browser` gets the page's address; None: there is no browser. `pasting` gets it too."""

    browser: Callable[[str], object] | None = None
    pasting: Callable[[str], str] = lambda url: ""
    told: list[str] = field(default_factory=list)

    def tell(self, line: str) -> None:
        self.told.append(line)

    def browse(self, url: str) -> bool:
        if self.browser is None:
            return False
        self.browser(url)
        return True

    def answer(self, question: str) -> str:
        self.told.append(question)
        return self.pasting(self.url)

    @property
    def url(self) -> str:
        """The address that was shown last."""
        return re.findall(r"https?://\S+", "\n".join(self.told))[-1]


def account(**table: object) -> Account:
    """The checked account of a table of the config file, called `cloud`."""
    words = {"name": "cloud"} | table
    return model_of(words).model_validate(words)


def dialogue(
    person: Player,
    home: Path,
    clock: Clock,
    *,
    account: str = "cloud",
    patience: float = 20.0,
    browser: bool = True,
    environ: dict[str, str] | None = None,
) -> Dialogue:
    """A login in a home of its own, with no keyring."""
    return Dialogue(
        person=person,
        clock=clock,
        environ=environ or {},
        wallet=CredentialStore(home / "state", account, vault=lambda: None),
        patience=patience,
        browser=browser,
    )


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def redirect(answer: requests.Response) -> str:
    """Where an answer leads."""
    assert answer.status_code in (302, 303), answer.text
    return urljoin(answer.url, answer.headers["Location"])


def arrive(url: str) -> int:
    """The browser is led back to the program that listens; the status of its page."""
    return requests.get(url, timeout=20).status_code


def hubic_form(url: str, user: str, password: str) -> requests.Response:
    """Fills in Hubic's login form at an address."""
    page = requests.get(url, timeout=20, allow_redirects=False)
    if page.status_code == 302:
        return page
    [number] = re.findall(r'name="oauth" value="(\d+)"', page.text)
    form = {"oauth": number, "action": "accepted", "login": user, "user_pwd": password, "credentials": "r"}
    return requests.post(url.partition("?")[0], data=form, timeout=20, allow_redirects=False)


def consents(url: str) -> int:
    """Opens a page that leads back at once, and goes where it leads."""
    return arrive(redirect(requests.get(url, timeout=20, allow_redirects=False)))


def with_query(url: str, **fields: str) -> str:
    """An address with a query."""
    return f"{url}?{urlencode(fields)}"
