"""How a connection ends badly. Two ways, since clients see two different errors.

It knows transports of asyncio only; who ends what, and when, is settled by `faults` and `proxy`.
"""

from __future__ import annotations

import asyncio
import socket
import struct

_DROP_AT_ONCE = struct.pack(
    "ii", 1, 0
)  # socket(7), SO_LINGER: close() throws away what is unsent and sends RST


def reset(transport: asyncio.BaseTransport) -> None:
    """Ends a connection by RST: the peer sees ECONNRESET, maybe without what was sent last."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_AT_ONCE)
    assert isinstance(transport, asyncio.WriteTransport)
    transport.abort()


def close(transport: asyncio.BaseTransport) -> None:
    """Ends a connection by FIN after what is buffered: the peer sees the end of the stream, too early."""
    transport.close()
