"""A real Ceph RGW behind the filter that misbehaves by rule: what `launcher` is for Swift.

    python gateway.py ROOT SETTINGS      (SETTINGS: JSON, see `tests/swift/rgw.py`)

Run with the Python of Swift's own environment, which has the WSGI server. Every request passes through a
plain forwarder, so that the gateway is told of the port that it is reached by, and rules can hit.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ceph import Ceph
from launcher import listen, serve

PIECE = 1 << 16
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "expect"}


class Forwarder:
    """A WSGI app: the request goes on to the gateway, its answer comes back, both piece by piece.

    Tokens of RGW carry their end in themselves; so that a test can let one die, those that were handed out
    are remembered, and others are refused as an expired one is: 401.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self, env: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        from tokens import TOKENS

        token = env.get("HTTP_X_AUTH_TOKEN")
        if token is not None and not TOKENS.get(f"rgw/token/{token}"):
            env["wsgi.input"].read()
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return iter([b""])
        upstream = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            answer = self._sent(upstream, env)
        except BaseException:
            upstream.close()
            raise
        headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP]
        if given := answer.headers.get("X-Auth-Token"):
            TOKENS.set(f"rgw/token/{given}", True)
        start_response(f"{answer.status} {answer.reason}", headers)
        return _pieces(upstream, answer)

    @staticmethod
    def _sent(upstream: http.client.HTTPConnection, env: dict[str, Any]) -> http.client.HTTPResponse:
        query = env.get("QUERY_STRING", "")
        target = env["RAW_PATH_INFO"] + (f"?{query}" if query else "")
        upstream.putrequest(env["REQUEST_METHOD"], target, skip_host=True, skip_accept_encoding=True)
        chunked = env.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        for name, value in env["headers_raw"]:
            if name.lower() not in HOP_BY_HOP:
                upstream.putheader(name, value.encode("latin1") if isinstance(value, str) else value)
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        left = None if chunked else int(env.get("CONTENT_LENGTH") or 0)
        while left is None or left:
            piece = env["wsgi.input"].read(PIECE if left is None else min(PIECE, left))
            if not piece:
                break
            upstream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            left = None if left is None else left - len(piece)
        if left:
            raise OSError("the request's body broke off")
        if chunked:
            upstream.send(b"0\r\n\r\n")
        return upstream.getresponse()


def _pieces(upstream: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := answer.read(PIECE):
            yield piece
        yield b""
    finally:
        upstream.close()


def wait_for_the_end(ceph: Ceph, root: Path) -> None:
    """Until the process that started this closes the pipe, or dies; takes daemons and data along."""
    from eventlet.hubs import trampoline

    while True:
        trampoline(0, read=True)
        if not os.read(0, 4096):
            _end(ceph, root)


def _end(ceph: Ceph, root: Path) -> None:
    ceph.stop()
    shutil.rmtree(root, ignore_errors=True)
    os._exit(0)


def main() -> None:
    """The cluster first, before anything is patched; then the server in front of it."""
    root, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    ceph = Ceph(root, Path(settings["programs"]), more=settings["options"])
    signal.signal(signal.SIGTERM, lambda *_: _end(ceph, root))
    ceph.start()
    for uid, key in settings["users"].items():
        ceph.user(uid, key)
    for uid, key in settings["readers"].items():
        ceph.user(uid, key, access="read")
    sockets = {name: listen() for name in ("proxy", "control")}
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}

    import eventlet
    import eventlet.hubs

    eventlet.hubs.use_hub("poll")
    eventlet.monkey_patch()

    from control import application
    from mischief import MISCHIEF

    MISCHIEF.app = Forwarder(ceph.port)
    serve(sockets["proxy"], MISCHIEF)
    serve(sockets["control"], application)
    print(json.dumps({**ports, "rgw": ceph.port}), flush=True)
    wait_for_the_end(ceph, root)


if __name__ == "__main__":
    main()
