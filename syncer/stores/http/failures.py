"""Network errors as messages: host and port, the cause, and what to do.

Exceptions of requests, urllib3, ssl and the system are taken apart here and nowhere else; what they say
themselves holds addresses of objects, and sometimes secrets. Codes of OpenSSL's verification are those of
x509_vfy.h.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, RemoteDisconnected

from syncer.errors import PermanentError, StoreError, TransientError
from syncer.stores.http.origins import host_port
from syncer.stores.retry_policy import counted

_EXPIRED, _NOT_YET = 10, 9
_OTHER_NAME = (62, 64)  # host name, IP address
_UNKNOWN = (2, 18, 19, 20, 21)  # self-signed, or an issuer that is not at hand
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A cause in words. `lasting`: a retry will not help."""

    cause: str
    hint: str = ""
    lasting: bool = False


@contextmanager
def reaching(url: str, *, about: str = "", account: str = "", request: str = "") -> Iterator[None]:
    """Network errors within become PermanentError or TransientError that name account, host and port.

    `about` is the path that the request is for; `request` tells it from others, for counting.
    """
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (RequestException, HTTPError, HTTPException, UnicodeError, OSError) as error:
        raise error_of(error, url, about=about, account=account, request=request) from error


def error_of(
    error: BaseException, url: str, *, about: str = "", account: str = "", request: str = ""
) -> StoreError:
    """The error for an exception met while talking to `url`."""
    found = failure(error)
    whose = f"account {account}: " if account else ""
    message = f"{whose}{host_port(url)}: {found.cause}"
    if found.lasting:
        return PermanentError(message, hint=found.hint, path=about)
    return counted(TransientError(message, hint=found.hint, path=about), request or host_port(url))


def failure(error: BaseException) -> Failure:
    """The cause of an exception; the innermost one that is known says it."""
    chain = list(_chain(error))
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    if names & {"InvalidURL", "InvalidSchema", "MissingSchema", "LocationParseError", "InvalidHeader"}:
        return Failure(cause="not a URL that can be asked for", hint="check the account's URL", lasting=True)
    if "ProxyError" in names:
        why = next((f.cause for one in chain if (f := _of_system(one)) is not None), "it refuses")
        return Failure(
            cause=f"the proxy cannot be used: {why}",
            hint="HTTPS_PROXY and HTTP_PROXY name it; NO_PROXY lists hosts that are reached without it",
        )
    for one in chain:
        if (found := _of_tls(one) or _of_system(one)) is not None:
            return found
    if "ConnectTimeout" in names or "ConnectTimeoutError" in names:
        return Failure(cause="timed out, nothing answers there", hint=_REACHABLE)
    if names & {"ReadTimeout", "ReadTimeoutError", "TimeoutError"}:
        return Failure(
            cause="timed out, no answer came in time", hint="it may be overloaded: run again later"
        )
    if names & {"IncompleteRead", "ChunkedEncodingError", "ContentDecodingError", "InvalidChunkLength"}:
        return Failure(cause="the answer broke off")
    return Failure(cause=f"the connection broke ({type(error).__name__})")


_REACHABLE = "is this machine online, and the host and port of the account right?"


def _of_tls(error: BaseException) -> Failure | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error.verify_code, error.verify_message)
    if not isinstance(error, ssl.SSLError):
        return None
    reason = (error.reason or "").upper()
    if any(word in reason for word in _PLAIN):
        return Failure(
            cause="no TLS there: it answers in plain text",
            hint="is it the right port? for a server without TLS the URL begins with http://",
            lasting=True,
        )
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failure(cause="it closed the connection during the TLS handshake", hint="is it https there?")
    return Failure(cause=f"TLS failed ({reason.lower().replace('_', ' ') or 'no reason given'})")


def _of_certificate(code: int, message: str) -> Failure:
    if code == _EXPIRED:
        return Failure(
            cause="its certificate has expired",
            hint="tell who runs it; if the date of this machine is wrong, set it",
            lasting=True,
        )
    if code == _NOT_YET:
        return Failure(
            cause="its certificate is not valid yet", hint="is the date of this machine right?", lasting=True
        )
    if code in _OTHER_NAME:
        return Failure(
            cause="its certificate is not for this name",
            hint="use the name that the certificate was made for, or check that it is the right host",
            lasting=True,
        )
    if code in _UNKNOWN:
        return Failure(
            cause="its certificate is signed by an unknown authority",
            hint="if it is yours, name its certificate: `ca_file` of the account, or REQUESTS_CA_BUNDLE",
            lasting=True,
        )
    return Failure(
        cause=f"its certificate could not be verified ({message})",
        hint="name its authority: `ca_file` of the account, or REQUESTS_CA_BUNDLE",
        lasting=True,
    )


def _of_system(error: BaseException) -> Failure | None:
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_AGAIN, getattr(socket, "EAI_FAIL", None)):
            return Failure(
                cause="its name could not be looked up", hint="is this machine online? is its DNS server up?"
            )
        return Failure(cause="no such host", hint="check the host name in the account's URL")
    if isinstance(error, ConnectionRefusedError):
        return Failure(
            cause="connection refused",
            hint="is the server running, and the port right? a firewall may refuse",
        )
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        return Failure(cause="what answers there is not HTTP", hint="is it https there, or another port?")
    if isinstance(error, ConnectionError):
        return Failure(cause="the connection was closed without an answer", hint="run again later")
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return Failure(cause="there is no way to it on the network", hint="is this machine online?")
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """All causes, contexts and arguments of an exception, the innermost first."""
    found: list[BaseException] = []
    left: list[object] = [error]
    while left:
        one = left.pop()
        if not isinstance(one, BaseException) or any(one is seen for seen in found):
            continue
        found.append(one)
        left += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return reversed(found)
