"""A WSGI filter at the head of the real proxy's pipeline that misbehaves by rule, and logs each request.

A rule says which requests (method, path, kind, query), how many to let pass first, how many
to hit (`every` so many, in turn), and what to do to them. Rules come and go while the server runs (see
`control`); a request with `X-Spared` is never hit: so a test may look while everything else suffers.
Paths are decoded and relative to the account (`container/a/b`); others begin with a slash (`/info`).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import eventlet
from eventlet.event import Event
from tokens import TOKENS

App = Callable[[dict[str, Any], Callable[..., Any]], Any]
CEPH = "/swift/v1"


class Cut(Exception):
    """Ends a request whose connection is dead already."""


@dataclass
class Rule:
    """One misbehaviour; `how` holds what `do` needs beyond its name."""

    number: int
    do: str
    method: str = "*"
    path: str = "*"
    kind: str = "*"
    query: str = ""
    after: int = 0
    every: Sequence[int] = (1,)
    times: int | None = 1
    how: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    hits: int = 0
    met: Event = field(default_factory=Event)
    gate: Event = field(default_factory=Event)

    def takes(self, request: Noted) -> bool:
        """Whether this request is one to hit; counts it."""
        if not self._fits(request):
            return False
        self.seen += 1
        due = self.after + 1 + sum(self.every[n % len(self.every)] for n in range(self.hits))
        if self.seen < due or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        met, self.met = self.met, Event()
        met.send()
        return True

    def _fits(self, request: Noted) -> bool:
        return (
            fnmatchcase(request.method, self.method)
            and fnmatchcase(request.path, self.path)
            and fnmatchcase(request.kind, self.kind)
            and self.query in request.query
        )


@dataclass
class Noted:
    """One request as it came, and what became of it; sizes are those of bodies, in bytes."""

    method: str
    path: str
    kind: str
    query: str
    began: float
    status: int = 0
    received: int = 0
    sent: int = 0
    seconds: float = 0
    rule: int | None = None


class Mischief:
    """The filter. One for the process: paste makes it, the control endpoint changes it."""

    def __init__(self) -> None:
        self.app: App = _nothing
        self.rules: list[Rule] = []
        self.log: list[Noted] = []
        self._numbers = iter(range(1, 1 << 62))

    def add(self, **words: Any) -> Rule:
        """A new rule; unknown words go to `how`."""
        known = {k: words.pop(k) for k in list(words) if k in Rule.__dataclass_fields__ and k != "how"}
        rule = Rule(number=next(self._numbers), how=words, **known)
        if rule.do not in DEEDS:
            raise ValueError(f"no such deed: {rule.do}; one of {', '.join(DEEDS)}")
        self.rules.append(rule)
        return rule

    def remove(self, number: int | None) -> None:
        """Takes a rule (None: all) away, and lets go whom it holds."""
        for rule in [r for r in self.rules if number in (None, r.number)]:
            self.rules.remove(rule)
            release(rule)

    def __call__(self, env: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        request = note(env)
        self.log.append(request)
        env["wsgi.input"] = Counted(env["wsgi.input"], request)
        answer = Answer(self.app, env, request)
        spared = "HTTP_X_SPARED" in env
        rule = None if spared else next((r for r in self.rules if r.takes(request)), None)
        try:
            if rule is not None:
                request.rule = rule.number
                DEEDS[rule.do](answer, rule)
            return answer.give(start_response)
        except BaseException:
            answer.close()
            raise


class Counted:
    """A request's body, counted as it is read, and cut off where a rule says so."""

    def __init__(self, inner: Any, request: Noted) -> None:
        self._inner = inner
        self._request = request
        self.limit: int | None = None

    def read(self, size: int | None = None) -> bytes:
        return self._count(self._inner.read(size))

    def readline(self, size: int | None = None) -> bytes:
        return self._count(self._inner.readline(size))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.read, b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _count(self, piece: bytes) -> bytes:
        self._request.received += len(piece)
        if self.limit is not None and self._request.received >= self.limit:
            reset(self._inner)
            raise Cut
        return piece


class Answer:
    """What the real proxy answers, asked for at most once, and what is made of it on its way out."""

    def __init__(self, app: App, env: dict[str, Any], request: Noted) -> None:
        self.env = env
        self.request = request
        self._app = app
        self._body: Any = None
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self.changes: list[Callable[[Iterator[bytes]], Iterator[bytes]]] = []
        self.write: Callable[[bytes], None] = _nothing_written

    def ask(self) -> None:
        """Lets the request take effect; its answer waits."""
        if self._body is not None:
            return

        def start(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> None:
            self._head = (status, headers)

        self._body = self._app(self.env, start)

    def finish(self) -> None:
        """Reads the answer to its end, so that all of the effect has happened."""
        self.ask()
        self._body = list(self._drain())

    def say(self, status: str, headers: dict[str, str | None], body: bytes | None) -> None:
        """Another status, other headers (None takes one away), another body (None: the same)."""
        old = self._head[1] if self._head else []
        kept = [(k, v) for k, v in old if k.lower() not in {n.lower() for n in headers}]
        if body is not None:
            self.close()
            self._body = [body]
            kept = [(k, v) for k, v in kept if k.lower() not in ("content-length", "transfer-encoding")]
            kept.append(("Content-Length", str(len(body))))
        self._head = (status, kept + [(k, v) for k, v in headers.items() if v is not None])

    def give(self, start_response: Callable[..., Any]) -> Iterator[bytes]:
        """The answer, for the server."""
        self.ask()
        first, rest = self._first()
        status, headers = self._head or ("500 Internal Error", [])
        self.request.status = int(status.split()[0])
        self.write = start_response(status, headers)
        pieces: Iterator[bytes] = self._chain(first, rest)
        for change in self.changes:
            pieces = change(pieces)
        return self._counted(pieces)

    def close(self) -> None:
        if hasattr(self._body, "close"):
            self._body.close()

    def _first(self) -> tuple[bytes | None, Iterator[bytes]]:
        # A lazy app calls start_response only when its first piece is asked for.
        rest = iter(self._body)
        return next(rest, None), rest

    @staticmethod
    def _chain(first: bytes | None, rest: Iterator[bytes]) -> Iterator[bytes]:
        if first is not None:
            yield first
            yield from rest

    def _drain(self) -> Iterator[bytes]:
        try:
            yield from self._body
        finally:
            self.close()

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                self.request.sent += len(piece)
                yield piece
        finally:
            self.request.seconds = time.monotonic() - self.request.began
            self.close()


def note(env: dict[str, Any]) -> Noted:
    """A request in the words that rules use."""
    full = env["PATH_INFO"].encode("latin1").decode("utf-8", "surrogateescape")
    if full == CEPH or full.startswith(f"{CEPH}/"):  # it has all below `/swift`, and no account in its paths
        below, path = True, full[len(CEPH) :].removeprefix("/")
    else:
        parts = full.split("/", 3)
        below = len(parts) >= 3 and parts[1] == "v1"
        path = (parts[3] if len(parts) > 3 else "") if below else full
    kind = "other" if not below else "account" if not path else "object" if "/" in path else "container"
    return Noted(
        method=env["REQUEST_METHOD"], path=path, kind=kind, query=env.get("QUERY_STRING", ""),
        began=time.monotonic(),
    )  # fmt: skip


def reset(body: Any) -> None:
    """The connection dies at once, for both sides."""
    connection = body.get_socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)


def release(rule: Rule) -> None:
    """Lets go whom a holding rule holds, now and later."""
    if not rule.gate.ready():
        rule.gate.send()


def _head_of(rule: Rule) -> tuple[str, dict[str, str | None]]:
    status = str(rule.how.get("status", 503))
    headers: dict[str, str | None] = dict(rule.how.get("headers") or {})
    if rule.how.get("retry_after") is not None:
        headers["Retry-After"] = str(rule.how["retry_after"])
    return (status if " " in status else f"{status} Mischief"), headers


def _status(answer: Answer, rule: Rule) -> None:
    """The status instead of any effect."""
    status, headers = _head_of(rule)
    answer._head = (status, [])
    answer.say(status, headers, str(rule.how.get("body", "")).encode())


def _answer(answer: Answer, rule: Rule) -> None:
    """The effect, then another status, or other headers."""
    answer.finish()
    status, headers = _head_of(rule)
    if "status" not in rule.how and answer._head:
        status = answer._head[0]
    body = rule.how.get("body")
    answer.say(status, headers, None if body is None else str(body).encode())


def _lose(answer: Answer, _rule: Rule) -> None:
    """The effect, and no answer: the connection dies."""
    answer.finish()
    _drop(answer, _rule)


def _drop(answer: Answer, _rule: Rule) -> None:
    """No effect and no answer."""
    reset(answer.env["eventlet.input"])
    raise Cut


def _cut(answer: Answer, rule: Rule) -> None:
    """`bytes` of the answer's body, then the connection dies."""
    left = int(rule.how.get("bytes", 0))
    answer.env["eventlet.minimum_write_chunk_size"] = 1

    def cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
        rest = left
        for piece in pieces:
            if len(piece) >= rest:
                answer.write(piece[:rest])
                answer.env["eventlet.input"].get_socket().shutdown(socket.SHUT_WR)
                raise Cut
            rest -= len(piece)
            yield piece

    answer.changes.append(cut)


def _cut_upload(answer: Answer, rule: Rule) -> None:
    """`bytes` of the request's body are read, then the connection dies: nothing is stored."""
    answer.env["wsgi.input"].limit = int(rule.how.get("bytes", 1))


def _corrupt(answer: Answer, rule: Rule) -> None:
    """One bit of the answer's body, in byte `at`, is another."""
    at = int(rule.how.get("at", 0))

    def corrupt(pieces: Iterator[bytes]) -> Iterator[bytes]:
        position = 0
        for piece in pieces:
            if position <= at < position + len(piece):
                changed = bytearray(piece)
                changed[at - position] ^= 1
                piece = bytes(changed)
            position += len(piece)
            yield piece

    answer.changes.append(corrupt)


def _delay(_answer: Answer, rule: Rule) -> None:
    """`seconds` before the effect."""
    eventlet.sleep(float(rule.how.get("seconds", 0.03)))


def _delay_answer(answer: Answer, rule: Rule) -> None:
    """`seconds` after the effect."""
    answer.finish()
    eventlet.sleep(float(rule.how.get("seconds", 0.03)))


def _hold(_answer: Answer, rule: Rule) -> None:
    """Waits before the effect until the rule is released or removed."""
    rule.gate.wait()


def _hold_answer(answer: Answer, rule: Rule) -> None:
    """Waits after the effect until the rule is released or removed."""
    answer.finish()
    rule.gate.wait()


def _unconditional(answer: Answer, _rule: Rule) -> None:
    """The effect without its conditions, as of a service that does not know them."""
    for header in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"):
        answer.env.pop(header, None)


def _expire_token(answer: Answer, _rule: Rule) -> None:
    """The request's own token dies right before it is looked at."""
    TOKENS.expire(answer.env.get("HTTP_X_AUTH_TOKEN", "no token"))


def _expire_tokens(_answer: Answer, _rule: Rule) -> None:
    """All tokens die right before this request's is looked at."""
    TOKENS.expire()


def _nothing(_env: dict[str, Any], _start: Callable[..., Any]) -> Any:
    raise AssertionError("no proxy behind the filter")


def _nothing_written(_piece: bytes) -> None:
    raise AssertionError("the answer has not begun")


DEEDS: dict[str, Callable[[Answer, Rule], None]] = {
    "status": _status,
    "answer": _answer,
    "lose-answer": _lose,
    "drop": _drop,
    "cut": _cut,
    "cut-upload": _cut_upload,
    "corrupt": _corrupt,
    "delay": _delay,
    "delay-answer": _delay_answer,
    "hold": _hold,
    "hold-answer": _hold_answer,
    "unconditional": _unconditional,
    "expire-token": _expire_token,
    "expire-tokens": _expire_tokens,
}
MISCHIEF = Mischief()


def filter_factory(_global_conf: dict[str, str], **_conf: str) -> Any:
    """For paste: the one filter of this process, around the rest of the pipeline."""

    def made(app: App) -> Mischief:
        MISCHIEF.app = app
        return MISCHIEF

    return made
