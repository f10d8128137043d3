"""A port in front of a server that stays while servers come and go, and that hears what is asked."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Relay:
    """A port in front of a server that notes down the request lines of what passes."""

    def __init__(self, url: str) -> None:
        self.lead_to(url)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._up = bytearray()
        self._thread = threading.Thread(target=self._accept)

    @classmethod
    def nowhere(cls) -> Relay:
        """To a port where nothing answers, until `lead_to`."""
        return cls("http://127.0.0.1:9/")

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def lead_to(self, url: str) -> None:
        """From the next connection on."""
        self._target = int(url.rstrip("/").rpartition(":")[2])

    def bases(self) -> set[str]:
        """The bases of the extension that were called."""
        calls = [
            line.split()[1] for line in bytes(self._up).split(b"\r\n") if line.startswith(b"POST /syncer/")
        ]
        return {"/".join(call.decode().split("/")[1:3]) for call in calls}

    def pings(self) -> int:
        return bytes(self._up).count(b"GET /api/2/ping/")

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            down = threading.Thread(target=_pump, args=(server, client, bytearray()))
            down.start()
            _pump(client, server, self._up)
            down.join()


def _pump(source: socket.socket, sink: socket.socket, noted: bytearray) -> None:
    """All that comes, until either end hangs up."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            noted += data
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
