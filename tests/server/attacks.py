"""Requests made to cost a server memory: few bytes on the wire, many in the process that reads them.

Each function is one attack on a running server; what it cost the system tells (`peak`).
"""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from hashlib import blake2b

import zstandard

from syncer.wire import BASE
from tests.server.conftest import Serving, run
from tests.server.raw import authorization, connect, received

MIB = 1 << 20
_AT_ONCE = 20


def pipelined(server: Serving) -> None:
    """16 MiB of requests on one connection, without a key, and then nothing for a while."""
    with connect(server) as sock:
        sock.settimeout(3)
        block = b"GET / HTTP/1.1\r\nHost:x\r\n\r\n" * (MIB // 26)
        with suppress(OSError):
            for _ in range(16):
                sock.sendall(block)
        sock.settimeout(5)
        with suppress(OSError):
            while sock.recv(1 << 16):
                pass


def heads(server: Serving) -> None:
    """As many connections as there may be, each with a head that has no end, without a key."""
    line = b"X: " + b"y" * 600 + b"\r\n"
    with ExitStack() as stack:
        for _ in range(128):
            sock = stack.enter_context(connect(server))
            with suppress(OSError):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + line * 95)
        connect(server).close()


def bodies(server: Serving) -> None:
    """As many connections as there may be, each with a body that nobody asked for, without a key."""
    with ExitStack() as stack:
        socks = [stack.enter_context(connect(server)) for _ in range(120)]
        for sock in socks:
            sock.settimeout(1)
            with suppress(OSError):
                sock.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + bytes(MIB))


def _packed(pieces: Iterator[bytes]) -> bytes:
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join([packer.compress(piece) for piece in pieces]) + packer.flush()


def many(times: int, work: Callable[[], object]) -> None:
    """Does it so many times at once."""
    threads = [threading.Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _call(server: Serving, call: str, body: bytes, *, kind: str = "zstd", root: str = "") -> bytes:
    with connect(server) as sock:
        sock.settimeout(90)
        head = (
            f"POST /{BASE}{call}?root={root} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"{authorization(server)}Content-Encoding: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError):
            sock.sendall(head.encode() + body)
        with suppress(OSError):
            return received(sock)
    return b""


def json_bombs(server: Serving) -> None:
    """KiBs of zstd that are MiBs of empty lists, in every place at once."""
    body = _packed(iter([b'{"paths":[[]', *[b",[]" * 100_000] * 100, b"]}"]))
    many(_AT_ONCE, lambda: _call(server, "look", body))


def large_bodies(server: Serving) -> None:
    """Bodies as large as they may be, in few bytes, in every place at once."""
    body = _packed(iter([b'{"paths":["', *[b"x" * 100_000] * 155, b'"]}']))
    many(_AT_ONCE, lambda: _call(server, "look", body))


def head_bombs(server: Serving) -> None:
    """The same as heads of streams."""
    text = b'{"items":[[]' + b",[]" * 5_000_000 + b"]}"
    body = _packed(iter([struct.pack(">cI", b"H", len(text)), text]))
    many(_AT_ONCE, lambda: _call(server, "put", body))


def tiny_lists(server: Serving) -> None:
    """Known lists of very many very short names: little to send, much to keep."""
    for turn in range(2):
        known = [[f"{turn}{i:x}", ""] for i in range(180_000)]
        text = json.dumps(known, separators=(",", ":"))
        name = blake2b(text.encode(), digest_size=32).hexdigest()
        body = f'{{"name":"{name}","known":{text}}}'.encode()
        _call(server, "changed", zstandard.compress(body))


def signatures(server: Serving) -> None:
    """Signatures with as many blocks as there may be, in every place at once."""
    (server.folder / "f").write_bytes(os.urandom(MIB))
    st = (server.folder / "f").stat()
    found = json.loads(server.post(f"{BASE}look", data=b'{"paths":["f"]}').content.splitlines()[0])
    assert found[1] == st.st_size
    head = json.dumps({"path": "f", "entry": found}).encode()
    sums = struct.pack(">III", 0x72730147, 256, 1) + b"abcde" * (1 << 21)

    def frames() -> Iterator[bytes]:
        yield struct.pack(">cI", b"H", len(head)) + head
        for at in range(0, len(sums), MIB):
            piece = sums[at : at + MIB]
            yield struct.pack(">cI", b"D", len(piece)) + piece
        yield struct.pack(">cI", b"E", 2) + b"{}" + struct.pack(">cI", b"Z", 0)

    body = _packed(frames())
    many(_AT_ONCE, lambda: _call(server, "delta", body))


def tasks(server: Serving) -> None:
    """Tasks whose results hold every name that was asked for, as many as are kept."""
    (server.folder / "d").mkdir()
    paths = "&".join(f"path=/d/{'x' * 90}{i}" for i in range(2000))
    names = [f"{'x' * 90}{i}" for i in range(2000)]
    for name in names:
        (server.folder / "d" / name).touch()
    for _ in range(22):
        server.post("api/2/path/oper/checksum/", data="algorithm=md5&" + paths, headers={
            "Content-Type": "application/x-www-form-urlencoded"
        })  # fmt: skip


def handshakes(server: Serving) -> None:
    """Connections that begin TLS and never end that, without a key; meanwhile a client that does."""
    with ExitStack() as stack:
        for _ in range(700):
            sock = stack.enter_context(connect(server))
            with suppress(OSError):
                sock.sendall(b"\x16\x03\x01\x40\x00" + bytes(15_000))
        assert server.get("api/2/ping/").ok


def suppressed(work: Callable[[], object]) -> None:
    """The work; that the server goes away meanwhile is no matter."""
    with suppress(OSError):
        work()


def run_program(server: Serving, *options: str) -> subprocess.CompletedProcess[str]:
    """`syncer serve` on the server's folder with these options, to its end."""
    return run("serve", str(server.folder), "--state", str(server.state), *options)


class Open:
    """One request on a connection of its own, whose answer is read as it is wanted."""

    def __init__(
        self, server: Serving, auth: tuple[str, str], method: str, path: str, body: bytes = b""
    ) -> None:
        self._sock = connect(server)
        login = base64.b64encode(":".join(auth).encode()).decode()
        head = (
            f"{method} /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Basic {login}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._sock.sendall(head.encode() + body)

    def begun(self) -> bool:
        """Whether some of a good answer came."""
        return self._sock.recv(1000).startswith(b"HTTP/1.1 200")

    def ended(self, seconds: float) -> bool:
        """Whether the server ends the connection within that time."""
        self._sock.settimeout(seconds)
        try:
            while self._sock.recv(1 << 20):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self._sock.close()
        return True
