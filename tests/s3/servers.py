"""Real servers with the S3 API for tests: Ceph RGW, OpenStack Swift's s3api, SeaweedFS, and moto, a mock.

    server.control.rule("lose-answer", method="PUT", path="/bucket/key")
    server.control.requests(method="PUT")

All stand behind the filter of `tests/swift`, which misbehaves by rule and logs each request; paths in
rules begin with a slash (`/bucket/key`), and the kind of all requests is `other`.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.swift.environment import s3_programs
from tests.swift.fixtures import shared_rgw
from tests.swift.server import Settings, Swift

LAUNCHER = Path(__file__).parents[1] / "swift" / "inside" / "upstream.py"
ACCESS_KEY, SECRET_KEY = "made-up-access", "made-up-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server. `control` tells it to misbehave; `late`: its listings may lag behind changes."""

    kind: str
    control: Swift
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    mock: bool = False
    late: bool = False

    @property
    def endpoint(self) -> str:
        """Scheme, host and port."""
        return self.control.url


class Upstream(Swift):
    """A SeaweedFS or a moto behind the filter."""

    def __init__(self, kind: str) -> None:
        keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        self._launch(LAUNCHER, {"kind": kind, "programs": str(s3_programs()), **keys})


def _rgw() -> S3Server:
    gateway = shared_rgw()
    return S3Server(kind="rgw", control=gateway, access_key="alice", secret_key=gateway.key)


def _swift() -> S3Server:
    server = Swift(Settings(s3=True))
    atexit.register(server.stop)
    return S3Server(
        kind="swift", control=server, access_key=server.user, secret_key=server.key, late=True
    )  # fmt: skip


def _seaweedfs() -> S3Server:
    return _upstream("seaweedfs")


def _moto() -> S3Server:
    return _upstream("moto")


def _upstream(kind: str) -> S3Server:
    server = Upstream(kind)
    atexit.register(server.stop)
    return S3Server(
        kind=kind, control=server, access_key=ACCESS_KEY, secret_key=SECRET_KEY, mock=kind == "moto"
    )


KINDS: Mapping[str, Callable[[], S3Server]] = {
    "rgw": _rgw,
    "swift": _swift,
    "seaweedfs": _seaweedfs,
    "moto": _moto,
}


@cache
def shared(kind: str) -> S3Server:
    """The one server of a kind of this process, started when first asked for; ends with the process."""
    return KINDS[kind]()
