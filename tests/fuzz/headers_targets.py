"""Headers from outside, as a fuzzer sees them: each is understood, or refused in the parser's own words.

A block of lines `Name: value`. What a service answers and what a client asks are both tried on it, and a form
with what follows an empty line as its body.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from requests.structures import CaseInsensitiveDict
from starlette.requests import Request

from syncer.engine.model import Entry, Kind
from syncer.errors import PermanentError, SyncerError, TransientError
from syncer.server import auth, forms
from syncer.server.api import request as served
from syncer.server.errors import HttpError
from syncer.server.extension import endpoint
from syncer.stores import retry_policy
from syncer.stores.http import errors, origins
from syncer.stores.swift import errors as refusals
from syncer.stores.swift import objects
from syncer.stores.swift.auth import http
from tests.contract.doubles import SteppingClock

FILE = Entry(kind=Kind.FILE, size=1000, version=b"v1", mtime_ns=1_700_000_000 * 10**9)
_SPOOLS = Path(tempfile.gettempdir())
_CLOCK = SteppingClock()


def of_an_object(headers: CaseInsensitiveDict[str], body: bytes) -> None:
    """What Swift says of one."""
    with suppress(TransientError):
        head = objects.head_in(headers)
        assert 0 <= head.size < 1 << 63 and len(head.version) == 24 and isinstance(head.is_short, bool)
        entry = objects.entry_of("name", head)
        assert entry.mtime_ns is None or -(1 << 63) <= entry.mtime_ns < 1 << 63


def of_a_refusal(headers: CaseInsensitiveDict[str], body: bytes) -> None:
    """How long to wait, and what a service's clock says."""
    for status in (429, 503):
        response: Any = SimpleNamespace(status_code=status, headers=headers)
        pause = errors.pause(response)
        assert pause is None or pause >= 0
    errors.date_ns(response)
    refusals.refusal("GET", 503, headers, "a")
    found = retry_policy.retry_after(headers)
    assert found is None or found >= 0
    http.by_seconds(headers.get("X-Auth-Token-Expires", ""), _CLOCK)


def of_a_redirect(headers: CaseInsensitiveDict[str], body: bytes) -> None:
    """Where it leads: nowhere else."""
    target = origins.redirect_within_origin("https://x.example/a", headers.get("Location", ""))
    assert target is None or origins.origin(target) == ("https", "x.example", 443)
    origins.host_port(headers.get("Location", ""))
    origins.in_the_clear(headers.get("X-Storage-Url", ""))


def of_a_request(headers: CaseInsensitiveDict[str], body: bytes) -> None:
    """Credentials, conditions, ranges, the root."""
    raw = [
        (name.lower().encode("latin-1", "replace"), v.encode("latin-1", "replace"))
        for name, v in headers.items()
    ]
    scope = {"type": "http", "headers": raw, "query_string": headers.get("Query", "").encode(), "path": "/",
             "method": "GET"}  # fmt: skip
    auth._credentials(scope)
    with suppress(PermanentError):
        endpoint.root_of(scope)
    request = Request(scope)
    for found in (FILE, None):
        with suppress(HttpError):
            served.Conditions.of(request).check(found)
    served.unchanged(request, FILE)
    with suppress(HttpError):
        wanted = served.asked_range(request, FILE)
        assert wanted is None or 0 <= wanted[0] < wanted[1] <= FILE.size
    path: Any = SimpleNamespace(path_params={"path": headers.get("Path", "")})
    with suppress(HttpError):
        served.asked_path(path)


def of_a_form(headers: CaseInsensitiveDict[str], body: bytes) -> None:
    """Both kinds."""
    with suppress(HttpError):
        forms.urlencoded_fields(body)
    _, options = parse_options_header(headers.get("Content-Type", ""))
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 200:
        return
    parts = forms.MultipartReader(boundary, _SPOOLS)
    try:
        with suppress(HttpError, MultipartParseError, SyncerError):
            parts.feed(body[: len(body) // 2])
            parts.feed(body[len(body) // 2 :])
            parts.finish()
    finally:
        parts.form.close()


TARGETS: tuple[Callable[[CaseInsensitiveDict[str], bytes], None], ...] = (
    of_an_object,
    of_a_refusal,
    of_a_redirect,
    of_a_request,
    of_a_form,
)


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    head, _, body = data.partition(b"\n\n")
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for line in head.decode("latin-1").split("\n"):
        name, _, value = line.partition(": ")
        headers[name] = value
    for target in TARGETS:
        target(headers, body)


def seeds() -> tuple[bytes, ...]:
    """Sound headers to begin with."""
    return (
        b'Etag: "%b"\nX-Timestamp: 1767261600.12345_0000a\nContent-Length: 5\nContent-Type: a/b; c=d\n'
        b"X-Object-Meta-Mtime: 1767261600.123456789\nX-Object-Meta-Syncer-Executable: 1\n"
        b"X-Object-Meta-Syncer-Digest: %b/%b\nX-Static-Large-Object: True\n"
        b"X-Object-Manifest: c/o/1767261600.1/5/5/" % (b"ab" * 16, b"cd" * 32, b"ab" * 16),
        b"Etag: x\nLast-Modified: Thu, 01 Jan 2026 10:00:00 GMT\nContent-Length: 5",
        b"Retry-After: 120\nDate: Thu, 01 Jan 2026 10:00:00 GMT\nX-Throttle: throttled; next=5.5 sec",
        b"Retry-After: Thu, 01 Jan 2026 10:00:00 GMT\nX-Auth-Token-Expires: 3600",
        b"Location: https://x.example:443/b\nX-Storage-Url: http://127.1:80/v1",
        _REQUEST,
        b"Content-Type: application/x-www-form-urlencoded\n\na=b&c=%ff&d",
        _FORM,
    )


_REQUEST = b"""Authorization: Basic a2V5OnBhc3N3b3Jk
Range: bytes=5-10
If-Range: "7631"
Path: a%2fb/c
If-Match: "7631", W/"x"
If-None-Match: *
If-Unmodified-Since: Thu, 01 Jan 2026 10:00:00 GMT
Query: root=a%2Fb"""
_PARTS = b"""--xx
Content-Disposition: form-data; name="a"

v
--xx
Content-Disposition: form-data; name="f"; filename*=utf-8''a%20b

z
--xx--
"""
_FORM = b'Content-Type: multipart/form-data; boundary="xx"\n\n' + _PARTS.replace(b"\n", b"\r\n")
