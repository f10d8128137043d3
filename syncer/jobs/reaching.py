"""Whether a host answers, how its TLS is, how far its clock is from ours: without any credentials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from syncer.engine.ports import Clock

_SECONDS = (10.0, 20.0)  # to connect, and for an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """`tls`: its version ("" where it is not known), None where there is none.

    `skew`: seconds that the host's clock is ahead of ours, None where it does not say. Its dates are whole
    seconds.
    """

    tls: str | None
    skew: float | None


def host_of(url: str) -> str:
    """What is said of a URL: no user, path or query."""
    return urlsplit(url).netloc.rpartition("@")[2]


def reach(url: str, *, clock: Clock, ca_file: Path | None = None) -> Reached:
    """Asks once; any answer will do. Raises PermanentError (the certificate too), TransientError."""
    from syncer.stores.http.adapter import Session
    from syncer.stores.http.failures import reaching
    from syncer.stores.smartfile import replies

    before = clock.now_ns()
    with (
        reaching(url),
        Session(connections=1) as session,
        session.get(
            url,
            auth=lambda request: request,  # requests would look for a password in ~/.netrc
            timeout=_SECONDS,
            allow_redirects=False,
            stream=True,
            verify=str(ca_file) if ca_file else True,
        ) as response,
    ):
        middle = (before + clock.now_ns()) // 2
        theirs = replies.date_ns(response)
        # An answer without content has given its connection back, and then there is none to be asked.
        connection = getattr(response.raw, "connection", None)
        version = getattr(getattr(connection, "sock", None), "version", lambda: None)()
    secure = urlsplit(url).scheme == "https"
    skew = None if theirs is None else (theirs + 500_000_000 - middle) / 1e9
    return Reached(tls=str(version or "") if secure else None, skew=skew)
