"""Exchanges of released clients and servers, written down once and played to today's.

A recording is a list of steps: a call with its answer, or what a hand did in a folder in between. Bodies are
noted down unpacked. `Recorder` stands between a client and a server; `Answers` is a server that answers as
the recorded one did; `ask` asks a server as the recorded client did.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
import zstandard
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.compat import story

_PATIENCE = 60  # seconds
_APART = 0.1  # seconds between two runs: what was written in the last 50 ms is not trusted
_TOKEN = re.compile(rb'"([0-9a-f]{16,})"')  # versions, fingerprints and digests, as they stand in JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A call and its answer; `kind` and `answer_kind` are the content types."""

    method: str
    target: str
    kind: str
    body: bytes
    status: int
    answer_kind: str
    answer: bytes

    @property
    def call(self) -> str:
        """The name of the call, without its base and its root."""
        return self.target.partition("?")[0].rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """A file that got this content in between; None: it was deleted."""

    path: str
    content: bytes | None


Step = Exchange | Hand


def save(steps: Sequence[Step], place: Path) -> None:
    """The same steps give the same file."""
    told = [{"step": type(step).__name__, **{k: _out(v) for k, v in asdict(step).items()}} for step in steps]
    text = json.dumps(told, indent=1).encode("ascii")
    with place.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text)


def load(place: Path) -> list[Step]:
    """What `save` wrote."""
    kinds: dict[str, Any] = {"Exchange": Exchange, "Hand": Hand}
    told = json.loads(gzip.decompress(place.read_bytes()))
    return [kinds[one.pop("step")](**{k: _in(v) for k, v in one.items()}) for one in told]


def _out(value: object) -> object:
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _in(value: Any) -> Any:
    return base64.b64decode(value["bytes"]) if isinstance(value, dict) else value


class Recorder:
    """An ASGI app that passes everything on to a server, and notes it down."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self.steps: list[Step] = []

    def hand(self, folder: Path, path: str, content: bytes | None) -> None:
        """Changes a file, and notes it down."""
        self.steps.append(Hand(path=path, content=content))
        write(folder, self.steps[-1])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        exchange = await run_in_threadpool(self._passed_on, request, body)
        headers = {"content-type": exchange.answer_kind}
        await Response(exchange.answer, exchange.status, headers)(scope, receive, send)

    def _passed_on(self, request: Request, body: bytes) -> Exchange:
        if request.headers.get("content-encoding") == "zstd":
            body = _unpacked(body)
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        kind = request.headers.get("content-type", "")
        headers = {"Authorization": request.headers["authorization"], "Accept-Encoding": "identity"}
        answer = self._session.request(
            request.method, self._url + target, data=body, timeout=_PATIENCE,
            headers={**headers, **({"Content-Type": kind} if kind else {})},
        )  # fmt: skip
        exchange = Exchange(
            method=request.method, target=target, kind=kind, body=body, status=answer.status_code,
            answer_kind=answer.headers.get("content-type", ""), answer=answer.content,
        )  # fmt: skip
        self.steps.append(exchange)
        return exchange


def write(folder: Path, step: Step) -> None:
    """What a hand did."""
    assert isinstance(step, Hand)
    story.write(folder, step.path, step.content)


class Answers:
    """An ASGI app that gives the recorded answers, each kind of call its own in their order.

    `asked` are the calls that came; one that was never recorded, or more often than it was, is a 404.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._left: dict[str, deque[Exchange]] = defaultdict(deque)
        for step in steps:
            if isinstance(step, Exchange):
                self._left[step.call].append(step)
        self.asked: list[str] = []

    @property
    def unasked(self) -> list[str]:
        """Calls whose answers nobody wanted."""
        return sorted(name for name, left in self._left.items() if left)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        call = request.url.path.rstrip("/").rpartition("/")[2]
        self.asked.append(call)
        left = self._left[call]
        if not left:
            return await Response(b'{"error": {}}', 404)(scope, receive, send)
        found = left.popleft()
        headers = {"content-type": found.answer_kind}
        await Response(found.answer, found.status, headers)(scope, receive, send)


def ask(url: str, login: tuple[str, str], steps: Sequence[Step], folder: Path) -> Iterator[Played]:
    """Asks a server as the recorded client did; `folder` is where the hand works.

    What the recorded server called a version or a fingerprint this one calls by another name: what its
    answers say in the place of the recorded ones is put into the calls that follow.
    """
    names: dict[bytes, bytes] = {}
    for step in steps:
        if isinstance(step, Hand):
            write(folder, step)
            continue
        if step.call == "ping":
            time.sleep(_APART)
        body = _renamed(step.body, names)
        if step.call == "changed":
            body = _with_its_name(body)
        answer = requests.request(
            step.method, url.rstrip("/") + step.target, data=body, auth=login, timeout=_PATIENCE,
            headers={"Accept-Encoding": "identity", **({"Content-Type": step.kind} if step.kind else {})},
        )  # fmt: skip
        names.update(_pairs(said(step.answer), said(answer.content)))
        yield Played(
            recorded=step,
            status=answer.status_code,
            expected=_renamed(step.answer, names),
            answer=answer.content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A recorded call, and what came this time; `expected`: the recorded answer, with the names of now."""

    recorded: Exchange
    status: int
    expected: bytes
    answer: bytes


def said(answer: bytes) -> list[Any]:
    """The lines of an answer; one that is no JSON (frames) as it is."""
    try:
        return [json.loads(line) for line in answer.splitlines()]
    except ValueError:
        return [answer]


def _pairs(before: Any, now: Any) -> Iterator[tuple[bytes, bytes]]:
    """The names at the same places of two answers."""
    match before, now:
        case dict(), dict():
            for key in before.keys() & now.keys():
                yield from _pairs(before[key], now[key])
        case list(), list():
            for old, new in zip(before, now, strict=False):
                yield from _pairs(old, new)
        case bytes(), bytes():
            yield from zip(_TOKEN.findall(before), _TOKEN.findall(now), strict=False)
        case str(), str():
            yield from _pairs(f'"{before}"'.encode(), f'"{now}"'.encode())


def _renamed(data: bytes, names: dict[bytes, bytes]) -> bytes:
    return _TOKEN.sub(lambda found: b'"' + names.get(found[1], found[1]) + b'"', data)


def _with_its_name(body: bytes) -> bytes:
    """A list of known directories is named after its content."""
    told = json.loads(body)
    if "known" in told:
        text = json.dumps(told["known"], separators=(",", ":")).encode("ascii")
        told["name"] = blake2b(text, digest_size=32).hexdigest()
    return json.dumps(told).encode("ascii")


def _unpacked(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(BytesIO(body), read_across_frames=True).read()
