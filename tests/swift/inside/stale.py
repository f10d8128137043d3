"""Listings that trail: what objects tell their container is kept back for a while, or until told.

This is where Swift's own staleness comes from: the object is there (or gone) at once, the row in
the container's database comes later.
"""

from __future__ import annotations

from typing import Any

import eventlet
from swift.common.swob import Request, Response

Update = tuple[str, str, dict[str, str]]


class Updates:
    """Wraps the container server. `lag`: seconds, None for until `settle`, 0 for none."""

    def __init__(self) -> None:
        self.lag: float | None = 0
        self.app: Any = None
        self.kept: list[Update] = []

    def around(self, app: Any) -> Updates:
        """Takes the container server's app in."""
        self.app = app
        return self

    def __call__(self, env: dict[str, Any], start_response: Any) -> Any:
        parts = env["PATH_INFO"].split("/", 5)
        if self.lag == 0 or len(parts) < 6 or env["REQUEST_METHOD"] not in ("PUT", "DELETE"):
            return self.app(env, start_response)
        request = Request(env)
        update = (request.method, env["PATH_INFO"], dict(request.headers.items()))
        self.kept.append(update)
        if self.lag is not None:
            eventlet.spawn_after(self.lag, self._apply, update)
        status = 201 if request.method == "PUT" else 204
        return Response(status=status)(env, start_response)

    def settle(self) -> int:
        """Applies what is kept back, in order; how many there were."""
        waiting = list(self.kept)
        for update in waiting:
            self._apply(update)
        return len(waiting)

    def _apply(self, update: Update) -> None:
        if update not in self.kept:
            return
        self.kept.remove(update)
        method, path, headers = update
        env = {"REQUEST_METHOD": method, "PATH_INFO": path}
        Request.blank("/", environ=env, headers=headers).get_response(self.app)


UPDATES = Updates()
