"""A client of the extension as small as can be: it says exactly what a test wants it to say, right or wrong.

And a server in this process, on a free port of the loopback, over a real folder.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvicorn
import zstandard
from blake3 import blake3
from starlette.applications import Starlette

from syncer.clock import SystemClock
from syncer.engine.model import Entry, Outcome
from syncer.server.extension import Extension
from syncer.server.folder import Key, ServedFolder
from syncer.wire import BASE, schema
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head, decode, encode

KEYS = {
    "all": Key(name="all"),
    "reader": Key(name="reader", read_only=True),
    "under": Key(name="under", under="sub"),
}


@dataclass(frozen=True)
class Reply:
    """A status and a body that was read whole; `broken`: it was cut off."""

    status: int
    body: bytes
    broken: bool = False

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def lines(self) -> list:
        """The lines, which must have their end."""
        found = [json.loads(line) for line in self.body.splitlines()]
        assert self.status == 200, (self.status, self.body)
        assert found[-1] == "end"
        return found[:-1]

    @property
    def frames(self) -> list[Frame]:
        assert self.status == 200, (self.status, self.body)
        return list(decode([self.body]))

    @property
    def outcomes(self) -> list[Outcome]:
        """By index, each exactly once."""
        found = {i: schema.outcome_in(told) for i, told in self.lines}
        assert len(found) == len(self.lines)
        assert sorted(found) == list(range(len(found)))
        return [found[i] for i in sorted(found)]


class Client:
    """One that asks a server at a port, as the key of that name."""

    def __init__(self, port: int, key: str = "all", root: str = "", headers: dict | None = None) -> None:
        self.port = port
        self.root = root
        self.headers = {"X-Key": key, **(headers or {})}

    def call(self, name: str, body: object = None, *, headers: dict | None = None, root: str | None = None):
        """`body`: an object, bytes, or an iterable of bytes (then it is sent in chunks)."""
        if body is None:
            body = {}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        where = self.root if root is None else root
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                "POST",
                f"/{BASE}{name}?root={quote(where, safe='', errors='surrogateescape')}",
                body,
                {**self.headers, **(headers or {})},
                encode_chunked=not isinstance(body, bytes),
            )
            return _read(connection.getresponse())
        finally:
            connection.close()

    def stream(self, name: str, question: dict) -> tuple[int, dict]:
        """The frames of an answer, not kept: how many bytes of data, and the last end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            connection.request("POST", f"/{BASE}{name}", json.dumps(question), self.headers)
            response = connection.getresponse()
            size, end = 0, None
            for frame in decode(iter(lambda: response.read1(1 << 20), b"")):
                size += len(frame.payload) if isinstance(frame, Data) else 0
                end = frame.fields if isinstance(frame, End) else end
        assert end is not None
        return size, end

    # -- words for what most tests do ------------------------------------------

    def entry(self, path: str) -> Entry:
        [told] = self.call("look", {"paths": [path]}).lines
        return schema.entry_in(told)

    def put(self, *files: tuple, **more: object) -> list[Outcome]:
        """`(path, content, expected)` each; sent whole."""
        return self.call("put", encode(put_frames(*files, **more))).outcomes

    def fetch(self, path: str, entry: Entry, **more: object) -> tuple[Head, bytes, End]:
        [found] = contents(self.call("fetch", {"wanted": [wanted(path, entry, **more)]}).frames)
        return found


def _read(response: http.client.HTTPResponse) -> Reply:
    data, broken = b"", False
    try:
        data = response.read()
    except http.client.IncompleteRead as error:
        data, broken = error.partial, True
    if response.getheader("content-encoding") == "zstd":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return Reply(response.status, data, broken)


def wanted(path: str, entry: Entry, *, start: int = 0, have: bytes | None = None) -> Json:
    return {
        "path": path,
        "entry": schema.entry_out(entry),
        "start": start,
        "have": have.hex() if have is not None else None,
    }


def contents(frames: Iterable[Frame]) -> Iterator[tuple[Head, bytes, End]]:
    """Each content of a fetch."""
    head, data = None, b""
    for frame in frames:
        if isinstance(frame, Head):
            head, data = frame, b""
        elif isinstance(frame, Data):
            data += frame.payload
        else:
            yield head, data, frame


def told(path: str, size: int, expected: Entry | None = None, *, token: bytes = b"", **more: object) -> Json:
    """An item of a put."""
    return {
        "path": path,
        "kind": 1,
        "size": size,
        "expected": schema.entry_out(expected) if expected is not None else None,
        "mtime_ns": 1_700_000_000_000_000_000,
        "executable": False,
        "target": None,
        "token": token.hex(),
        **more,
    }


def put_frames(*files: tuple, token: bytes = b"") -> Iterator[Frame]:
    """Files, each with its content whole."""
    full = [(path, data, *rest) for path, data, *rest in files]
    yield Head({"items": [told(p, len(d), *rest, token=token) for p, d, *rest in full]})
    for index, (_, data, *_) in enumerate(full):
        yield from whole(index, data)


def whole(index: int, data: bytes, *, start: int = 0, digest: bytes | None = None) -> Iterator[Frame]:
    yield Head({"index": index, "encoding": "whole", "start": start})
    yield Data(data[start:])
    yield End({"digest": (digest or blake3(data).digest()).hex()})


def delta_frames(
    path: str, expected: Entry, delta: bytes, size: int, digest: bytes, **more: object
) -> Iterator[Frame]:
    yield Head({"items": [told(path, size, expected, **more)]})
    yield Head({"index": 0, "encoding": "delta", "start": 0})
    yield Data(delta)
    yield End({"digest": digest.hex()})


class WithKey:
    """Stands in for the gate: the key that a header names."""

    def __init__(self, app: object) -> None:
        self._app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            name = dict(scope["headers"]).get(b"x-key", b"all").decode()
            scope.setdefault("state", {})["key"] = KEYS[name]
        await self._app(scope, receive, send)


@contextmanager
def listening(folder: Path, state: Path) -> Iterator[Client]:
    """A server over the folder, in a thread of its own."""
    served = ServedFolder(folder, state, clock=SystemClock())
    extension = Extension(served)
    app = WithKey(Starlette(routes=extension.routes()))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    client = Client(listener.getsockname()[1])
    client.served, client.sketches = served, extension.shared.indexer
    client.working = lambda: extension.calls.working
    try:
        yield client
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        extension.close()
        served.close()
