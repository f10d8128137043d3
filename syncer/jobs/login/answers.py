"""What an authorization server sends back by way of the browser: a code or a denial, with our state.

Pure reading of text (RFC 6749, 4.1.2, and RFC 5849, 2.2). Whoever can make a browser open an address can
send us anything, so nothing counts without the state of this very login.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import compare_digest
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

_LONGEST = 200  # characters of foreign words that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The person said yes."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The person or the service said no, in its own words."""

    words: str


Reply: TypeAlias = Granted | Denied


class Strange(ValueError):
    """Not an answer to this login."""


def of_query(query: str, state: str) -> Reply:
    """The reply in the query of a redirect. Raises Strange."""
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise Strange("it cannot be understood") from None
    values = {name: texts[0] for name, texts in fields.items() if len(texts) == 1}
    given = values.get("state")
    if given is not None and not compare_digest(given.encode(), state.encode()):
        raise Strange("it belongs to another login")
    if values.get("error"):  # some services leave the state out of these
        told = " ".join(filter(None, (values["error"], values.get("error_description", ""))))
        return Denied(words=_shown(told))
    if given is None:
        raise Strange("it does not say which login it belongs to")
    if not values.get("code"):
        raise Strange("there is no code in it")
    return Granted(code=values["code"])


def of_text(text: str, state: str) -> Reply:
    """The reply that a person pasted: the whole address they were led to, or the code. Raises Strange."""
    words = text.strip()
    if "://" in words or words.startswith(("?", "/")):
        return of_query(urlsplit(words).query, state)
    if "code=" in words or "error=" in words:
        return of_query(words, state)
    if not words or any(c.isspace() for c in words):
        raise Strange("there is no code in it")
    return Granted(code=words)


def verifier(text: str) -> str:
    """The verifier that a person pasted, alone or in an address. Raises Strange."""
    words = text.strip()
    if "oauth_verifier=" in words:
        query = urlsplit(words).query if "://" in words else words.lstrip("?")
        words = parse_qs(query).get("oauth_verifier", [""])[0]
    if not words or any(c.isspace() for c in words):
        raise Strange("there is no verification code in it")
    return words


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST]
