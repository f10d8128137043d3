"""The interaction of a login flow: prompts, a browser, the clock, the credential store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from syncer.engine.interfaces import Clock
from syncer.state.credentials import CredentialStore

PATIENCE = 600.0  # seconds in which a person logs in, or never


class Person(Protocol):
    """Whoever called `syncer login`."""

    def tell(self, line: str) -> None:
        """Something to know or to do."""
        ...

    def browse(self, url: str) -> bool:
        """Open a page in a browser; False if none could be opened, or none is wanted. May block."""
        ...

    def answer(self, question: str) -> str:
        """A line of theirs; "" where nobody answers any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """One login under way. `patience`: seconds until it is given up; `browser` False: none is opened."""

    person: Person
    clock: Clock
    environ: Mapping[str, str] = field(repr=False)
    wallet: CredentialStore
    patience: float = PATIENCE
    browser: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """How it ended well. `kept`: where tokens went ("keyring", "file"), "" where there are none to keep."""

    message: str
    kept: str = ""
