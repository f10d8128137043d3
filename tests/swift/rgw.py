"""A real Ceph RADOS Gateway for tests, told to misbehave and asked what it was asked, as `Swift` is.

    rgw.rule("cut", method="GET", bytes=1 << 20)   the next GET breaks off after a MiB of its answer
    rgw.requests(method="HEAD")

Listings of RGW are never late, so a `lag` is refused; all else of `Swift` works here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.swift.environment import ceph_programs
from tests.swift.server import Swift

LAUNCHER = Path(__file__).parent / "inside" / "gateway.py"


class Rgw(Swift):
    """A running Ceph with two users, each with an account of its own, and one that may only read.

    `options` are settings of the gateway (`rgw_swift_token_expiration`, …).
    """

    user, key = "alice:swift", "secret"
    other_user, other_key = "bob:swift", "secret2"
    reader, reader_key = "alice:read", "secret3"  # of the same account as `user`

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        users = {"alice": self.key, "bob": self.other_key}
        told = {"programs": str(ceph_programs()), "users": users, "readers": {"alice": self.reader_key}}
        self._launch(LAUNCHER, {**told, "options": dict(options or {})})

    def lag(self, seconds: float | None) -> None:
        assert seconds == 0, "listings of RGW are never late"

    def fresh_name(self, stem: str = "ceph-") -> str:
        """A container of less than three letters is refused."""
        return super().fresh_name(stem)

    @property
    def direct(self) -> str:
        """Scheme, host and port of the gateway itself, around the rules."""
        return f"http://127.0.0.1:{self.ports['rgw']}"
