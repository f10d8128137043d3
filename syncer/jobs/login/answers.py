"""What an authorization server sends back by way of the browser: a code or a denial, with our state.

Pure reading of text (RFC 6749, 4.1.2, and RFC 5849, 2.2). Whoever can make a browser open an address can
send us anything, so nothing counts without the state of this very login.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import compare_digest
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

# The codes of RFC 6749, 4.1.2.1. Other words are a stranger's, and are not shown.
_CODES = frozenset(
    {
        "access_denied",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The person said yes."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The person or the service said no; `words` is a code of the protocol, or ours."""

    words: str


Reply: TypeAlias = Granted | Denied


class Strange(ValueError):
    """Not an answer to this login."""


def of_query(query: str, state: str, *, pasted: bool = False) -> Reply:
    """The reply in the query of a redirect. Raises Strange.

    `pasted` by the person who logs in: then a refusal need not bear our state, which some services leave out.
    To the listener any page of the web could send one.
    """
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise Strange("it cannot be understood") from None
    values = {name: texts[0] for name, texts in fields.items() if len(texts) == 1}
    given = values.get("state")
    if given is not None and not compare_digest(given.encode(), state.encode()):
        raise Strange("it belongs to another login")
    if given is None and not (pasted and values.get("error")):
        raise Strange("it does not say which login it belongs to")
    if error := values.get("error"):
        return Denied(words=error if error in _CODES else "for a reason of its own")
    if not values.get("code"):
        raise Strange("there is no code in it")
    return Granted(code=values["code"])


def of_text(text: str, state: str) -> Reply:
    """The reply that a person pasted: the whole address they were led to, or the code. Raises Strange."""
    words = text.strip()
    if "://" in words or words.startswith(("?", "/")):
        return of_query(_query(words), state, pasted=True)
    if "code=" in words or "error=" in words:
        return of_query(words, state, pasted=True)
    if not words or any(c.isspace() for c in words):
        raise Strange("there is no code in it")
    return Granted(code=words)


def verifier(text: str) -> str:
    """The verifier that a person pasted, alone or in an address. Raises Strange."""
    words = text.strip()
    if "oauth_verifier=" in words:
        query = _query(words) if "://" in words else words.lstrip("?")
        words = parse_qs(query).get("oauth_verifier", [""])[0]
    if not words or any(c.isspace() for c in words):
        raise Strange("there is no verification code in it")
    return words


def _query(address: str) -> str:
    """Raises Strange for an address that is none."""
    try:
        return urlsplit(address).query
    except ValueError:
        raise Strange("it is no address") from None
