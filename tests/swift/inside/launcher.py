"""The whole of Swift in one process: proxy, account, container and object server, on sockets of their own.

    python launcher.py ROOT SETTINGS      (SETTINGS: JSON, see `tests/swift/server.py`)

Run with the Python of Swift's own environment. Prints one line of JSON with the ports once it answers, and
ends when its standard input does, so it never outlives the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import configs

SERVERS = (*configs.KINDS, "proxy")


def listen() -> socket.socket:
    """A bound, listening socket on a free port. Without NODELAY listings take 40 ms more."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.bind(("127.0.0.1", 0))
    bound.listen(256)
    return bound


def write_files(root: Path, settings: dict[str, Any], ports: dict[str, int]) -> None:
    """Config files and rings in `root`, the disk below it."""
    (root / "node" / "d1").mkdir(parents=True)
    (root / "cache").mkdir()
    (root / "swift.conf").write_text(configs.swift(settings))
    proxy = configs.proxy(settings, root=str(root), port=ports["proxy"])
    (root / "proxy-server.conf").write_text(proxy)
    for kind in configs.KINDS:
        text = configs.server(kind, root=str(root), port=ports[kind])
        (root / f"{kind}-server.conf").write_text(text)


def make_rings(root: Path, ports: dict[str, int]) -> None:
    """One replica on the one disk; needs Swift's settings to be in place."""
    from swift.common.ring import RingBuilder

    for kind in configs.KINDS:
        builder = RingBuilder(4, 1, 0)
        place = {"ip": "127.0.0.1", "port": ports[kind], "device": "d1"}
        more = {"replication_ip": "127.0.0.1", "replication_port": ports[kind], "meta": ""}
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, **place, **more})
        builder.rebalance()
        builder.get_ring().save(str(root / f"{kind}.ring.gz"))


def serve(bound: socket.socket, app: Any) -> None:
    """Serves an app from the hub of this process."""
    import eventlet
    import eventlet.wsgi
    from eventlet.green import socket as green
    from swift.common.http_protocol import SwiftHttpProtocol
    from swift.common.utils import NullLogger

    eventlet.spawn(
        eventlet.wsgi.server,
        green.socket(fileno=bound.detach()),
        app,
        NullLogger(),
        protocol=SwiftHttpProtocol,
        capitalize_response_headers=False,
        socket_timeout=60,
        url_length_limit=8192,
        custom_pool=eventlet.GreenPool(1024),
    )


def wait_for_the_end(root: Path) -> None:
    """Until whoever started this closes the pipe, or dies; takes the data along."""
    from eventlet.hubs import trampoline

    while True:
        trampoline(0, read=True)
        if not os.read(0, 4096):
            shutil.rmtree(root, ignore_errors=True)
            os._exit(0)


def main() -> None:
    """Starts everything, in the order that Swift's import-time settings ask for."""
    root, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.environ["TZ"] = "UTC+0"
    sockets = {name: listen() for name in (*SERVERS, "control")}
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
    write_files(root, settings, ports)

    from swift.common import utils

    utils.set_swift_dir(str(root))
    import eventlet.hubs

    eventlet.hubs.use_hub("poll")
    utils.monkey_patch()
    make_rings(root, ports)
    utils.disable_fallocate()
    if settings["verbose"]:
        utils.logs.get_swift_logger.console_handler4logger = {}

    from control import application
    from stale import UPDATES
    from swift.common.wsgi import loadapp

    for name in SERVERS:
        app = loadapp(str(root / f"{name}-server.conf"), global_conf={"log_name": f"{name}-server"})
        serve(sockets[name], UPDATES.around(app) if name == "container" else app)
    serve(sockets["control"], application)
    print(json.dumps(ports), flush=True)
    wait_for_the_end(root)


if __name__ == "__main__":
    main()
