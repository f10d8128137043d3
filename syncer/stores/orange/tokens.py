"""What a login leaves behind, and the port through which it is kept between runs.

Where tokens are kept (a keyring, a private file) is settled by whoever implements `Tokens`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Both tokens of one login. `expires_ns`: when the access token ends (ns since 1970), None if unknown."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)  # "": none was granted
    expires_ns: int | None = None


class Tokens(Protocol):
    """One account's token, kept over runs."""

    def load(self) -> Token | None:
        """What was saved last, by any process; None if nobody logged in. Raises AuthError, LocalError."""
        ...

    def save(self, token: Token) -> None:
        """Keeps it durably, and where nobody else can read it. Raises AuthError, LocalError."""
        ...
