"""A cloud for tests: a real Keystone, and a real Swift that takes its tokens.

    cloud.auth_url, cloud.user, cloud.password, cloud.project       the domain is Default
    cloud.revoke(token)

Swift stands in the catalogue under three addresses, so that a test sees which was chosen: `RegionOne`
public (127.0.0.1) and internal (localhost), `RegionTwo` public (127.1).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.swift.environment import VENV, environment, fast_folder
from tests.swift.processes import end, hear, start
from tests.swift.server import Settings, Swift

SERVER = Path(__file__).parent / "inside" / "identity.py"


class Cloud:
    """Running servers; `life` is that of a token in seconds."""

    user, password, project, domain = "alice", "made-up-alice", "demo", "Default"
    stranger, stranger_password = "bob", "made-up-bob"  # may log in, has no role in the project

    def __init__(self, *, life: int = 3600) -> None:
        words = [environment(), "-W", "ignore", str(SERVER), str(VENV / "keystone")]
        self.root = fast_folder()
        self._process = start([*words, str(self.root), str(life)], self.root / "stderr")
        self._swift: Swift | None = None
        try:
            self.url = f"http://127.0.0.1:{self._hear()['port']}"
            # The service user's password is the baked one, see inside/bake.py.
            keystone = {"url": self.url, "password": "made-up-service"}
            self._swift = Swift(Settings(keystone=keystone))
            self._say(self._swift.ports["proxy"])
        except BaseException:
            self.stop()
            raise

    @property
    def swift(self) -> Swift:
        """The Swift of this cloud. It knows no users of its own: `log_in` and `auth_url` are Keystone's."""
        assert self._swift is not None
        return self._swift

    @property
    def auth_url(self) -> str:
        return f"{self.url}/v3"

    def stop(self) -> None:
        """Ends both, and removes their data."""
        if self._swift is not None:
            self._swift.stop()
        end(self._process)
        shutil.rmtree(self.root, ignore_errors=True)

    def revoke(self, token: str) -> None:
        """The token is dead, and Swift does not remember that it lived."""
        self.ask("DELETE", "/auth/tokens", token=token, subject=token)
        self.swift.expire()

    def application_credential(self, name: str) -> tuple[str, str]:
        """Id and secret of a new one of the user's."""
        user = {"name": self.user, "domain": {"name": self.domain}, "password": self.password}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": self.project, "domain": {"name": self.domain}}}
        token, answer = self.ask(
            "POST", "/auth/tokens", body={"auth": {"identity": identity, "scope": scope}}
        )
        owner = answer["token"]["user"]["id"]
        body = {"application_credential": {"name": name}}
        _, made = self.ask("POST", f"/users/{owner}/application_credentials", token=token, body=body)
        return made["application_credential"]["id"], made["application_credential"]["secret"]

    def ask(
        self, method: str, path: str, *, token: str = "", subject: str = "", body: Any = None
    ) -> tuple[str, Any]:
        """Keystone's API: the token it gives in its header, and the answer's JSON."""
        headers = {"X-Auth-Token": token, "X-Subject-Token": subject, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.auth_url + path, data=data, method=method)
        for name, value in headers.items():
            if value:
                request.add_header(name, value)
        with urlopen(request, timeout=60) as answer:
            return answer.headers.get("X-Subject-Token", ""), json.loads(answer.read() or b"null")

    def _hear(self) -> Any:
        return hear(self._process, self.root / "stderr")

    def _say(self, port: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{port}\n".encode())
        self._process.stdin.flush()
        assert self._hear() == "ready"
