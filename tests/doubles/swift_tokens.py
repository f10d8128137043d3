"""Where the doubles of Hubic and OVH get what they hand out: real tokens of the real Swift of the tests."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.swift.server import Swift


class SwiftTokens:
    """`fresh`: another token each time (the old ones live on, unless `revoking`)."""

    def __init__(self, swift: Swift) -> None:
        self.swift = swift
        self.fresh = True
        self.revoking = False
        self.given: list[str] = []

    def give(self, host: str = "127.0.0.1") -> tuple[str, str]:
        """Storage URL, under a name of the loopback, and token."""
        if self.fresh:
            self.swift.fresh_tokens()
        if self.revoking and self.given:
            self.swift.expire(self.given[-1])
        url, token = self.swift.log_in()
        self.given.append(token)
        parts = urlsplit(url)
        return parts._replace(netloc=f"{host}:{parts.port}").geturl(), token
