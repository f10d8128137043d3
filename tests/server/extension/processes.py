"""The extension of a real `syncer serve` process, with what the system says of its memory."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.server.conftest import Serving
from tests.server.extension.speaking import Client


def client_of(server: Serving, root: str = "") -> Client:
    """With the key that the server was started with."""
    login = base64.b64encode(f"{server.key}:{server.password}".encode()).decode()
    return Client(server.port, root=root, headers={"Authorization": f"Basic {login}"})


def peak(server: Serving) -> int:
    """Bytes of memory that the server had at most (proc(5), VmHWM)."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the process is gone")
