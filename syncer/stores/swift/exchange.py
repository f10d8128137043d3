"""One of python-swiftclient's connections (requests underneath), and one request on it at a time.

Proxies, certificates and the written form of the address follow from the environment and the origin. requests
works them out anew for each request, which takes longer than all else that it does: here it is done once,
when a connection is made. No redirect is followed: the token goes nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import syncer

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 15.0
_EMPTY_BY_NATURE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a request carries; `open` gives it from the start each time, `length` bytes in all."""

    open: Callable[[], Iterable[bytes]]
    length: int


class Line:
    """For one thread at a time. Raises what requests and swiftclient raise."""

    def __init__(self, origin: str) -> None:
        """To scheme, host and port; nothing is connected yet."""
        import requests
        from swiftclient.client import HTTPConnection

        from syncer.stores.http.adapter import Adapter

        self._http: Any = HTTPConnection(origin)
        session: Any = self._http.request_session
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(connections=1))
        address = session.prepare_request(requests.Request("GET", f"{origin}/")).url
        self._base = address.rstrip("/")
        verify = self._http.requests_args["verify"]
        self._settings = session.merge_environment_settings(address, {}, True, verify, None)
        self._adapter: Any = session.get_adapter(address)

    def send(
        self, method: str, target: str, body: Body | bytes | None, headers: Mapping[str, str], seconds: float
    ) -> requests.Response:
        """The answer, its content still to be read. `target` is encoded; `seconds` for its first byte."""
        import requests

        request: Any = requests.PreparedRequest()
        request.method, request.url = method, self._base + target
        request.headers = _fields(headers)
        if body or method not in _EMPTY_BY_NATURE:
            request.headers["Content-Length"] = str(_length(body))
        request.body = _Opened(body) if isinstance(body, Body) else body or None
        answer: requests.Response = self._adapter.send(
            request, timeout=(CONNECT_SECONDS, seconds), **self._settings
        )
        return answer

    def close(self) -> None:
        self._http.close()


class _Opened:
    """A body as requests wants it: iterated once, its length told up front, so that quotas are heeded."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return (piece for piece in self._body.open() if piece)

    def __len__(self) -> int:
        return self._body.length

    def __bool__(self) -> bool:
        return True


def _length(body: Body | bytes | None) -> int:
    return body.length if isinstance(body, Body) else len(body or b"")


def _fields(headers: Mapping[str, str]) -> Any:
    """Sent as Latin-1, as they came: metadata of other tools is sent again when ours is added to it."""
    from requests.structures import CaseInsensitiveDict
    from requests.utils import check_header_validity

    fields: Any = CaseInsensitiveDict({"User-Agent": f"Syncer/{syncer.__version__}"})
    for name, value in headers.items():
        check_header_validity((name, value))
        fields[name] = value
    return fields
