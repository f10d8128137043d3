"""A small SFTP server that misbehaves by a script: a program on a pipe, started in the place of `ssh`.

    python sftp_server.py MODE

Modes are the functions below; each answers the first request after the greeting in its own wrong way.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable


def packet(body: bytes) -> None:
    """Send one packet."""
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.buffer.flush()


def request() -> tuple[int, bytes, bytes]:
    """The next request: its type, its number as bytes, its body."""
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        sys.exit(0)
    body = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
    return body[0], body[1:5], body[5:]


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def names(*found: bytes) -> bytes:
    """The body of a NAME packet behind its number."""
    return struct.pack(">I", len(found)) + b"".join(text(n) + text(n) + bytes(4) for n in found)


def huge(_: int, number: bytes) -> None:
    sys.stdout.buffer.write(struct.pack(">I", 2**32 - 1) + b"x" * 100_000)
    sys.stdout.buffer.flush()


def empty(_: int, number: bytes) -> None:
    packet(b"")


def stranger(_: int, number: bytes) -> None:
    packet(bytes([101]) + struct.pack(">I", 4711) + struct.pack(">I", 0))


def twice(kind: int, number: bytes) -> None:
    for _ in range(2):
        packet(bytes([101]) + number + struct.pack(">I", 2) + text(b"none") + text(b""))


def wrong_type(_: int, number: bytes) -> None:
    packet(bytes([103]) + number + text(b"data"))


def ok(_: int, number: bytes) -> None:
    packet(bytes([101]) + number + struct.pack(">I", 0) + text(b"") + text(b""))


def eof(_: int, number: bytes) -> None:
    packet(bytes([101]) + number + struct.pack(">I", 1) + text(b"") + text(b""))


def odd_status(_: int, number: bytes) -> None:
    packet(bytes([101]) + number + struct.pack(">I", 99) + text(b"\x1b[31m odd \xff" * 100))


def short(_: int, number: bytes) -> None:
    packet(bytes([101]) + number + b"\0")


def leave(_: int, number: bytes) -> None:
    sys.exit(0)


def silent(_: int, number: bytes) -> None:
    time.sleep(600)


def listing(*found: bytes) -> Callable[[int, bytes], None]:
    """Lists these names in every directory."""
    told: list[bytes] = []

    def answer(kind: int, number: bytes) -> None:
        if kind == 11:
            packet(bytes([102]) + number + text(b"h"))
        elif kind == 12 and not told:
            told.append(number)
            packet(bytes([104]) + number + names(*found))
        elif kind == 12:
            eof(kind, number)
        else:
            ok(kind, number)

    return answer


MODES: dict[str, Callable[[int, bytes], None]] = {
    "huge": huge,
    "empty": empty,
    "stranger": stranger,
    "twice": twice,
    "wrong_type": wrong_type,
    "ok": ok,
    "eof": eof,
    "odd_status": odd_status,
    "short": short,
    "leave": leave,
    "silent": silent,
    "slash": listing(b"ok", b"../../etc/passwd"),
    "nul": listing(b"a\0b"),
    "nameless": listing(b""),
    "no_names": listing(),
}


def main() -> None:
    """Greet, then answer by the mode for ever."""
    request()
    packet(bytes([2]) + struct.pack(">I", 3) + text(b"copy-data") + text(b"1"))
    while True:
        kind, number, _ = request()
        MODES[sys.argv[1]](kind, number)


if __name__ == "__main__":
    main()
