"""Asks a running double over HTTP, for the tests of the double itself."""

from __future__ import annotations

from typing import Any

import requests

from tests.doubles.smartfile import SmartFileDouble


class Asking:
    """`requests` with the double's base URL and its credentials. It never tries twice."""

    def __init__(self, double: SmartFileDouble, session: requests.Session) -> None:
        self.double = double
        self._session = session

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        """`path` is what follows the base URL, encoded as it shall be sent."""
        more.setdefault("auth", (self.double.key, self.double.password))
        return self._session.request(method, f"{self.double.url}{path}", timeout=20, **more)

    def info(self, path: str) -> Any:
        """The info object of a path."""
        return self("GET", f"api/2/path/info{path}").json()

    def upload(self, folder: str, name: str, content: bytes) -> requests.Response:
        """In version 2's way."""
        return self("POST", f"api/2/path/data{folder}", files={"file": (name, content)})

    def start(self, operation: str, **fields: Any) -> Any:
        """An operation's answer, decoded."""
        return self("POST", f"api/2/path/oper/{operation}/", data=fields).json()

    def poll(self, task: dict[str, str]) -> Any:
        """One look at a task."""
        return self("GET", task["url"].lstrip("/")).json()

    def polls(self, task: dict[str, str]) -> list[str]:
        """All its states until it ends."""
        seen: list[str] = []
        while not seen or seen[-1] not in ("SUCCESS", "FAILURE"):
            seen.append(self.poll(task)["result"]["status"])
        return seen
