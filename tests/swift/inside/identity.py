"""Keystone, the real one, on a free port of the loopback.

    python identity.py BAKED ROOT LIFE      (LIFE: seconds that tokens live)

Prints its port as a line of JSON, then reads Swift's port from a line of standard input (the
catalogue names it), says "ready", and ends when standard input does.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from bake import application, config


class Threaded(ThreadingMixIn, WSGIServer):
    """A thread for each request: Swift asks while a client waits."""

    daemon_threads = True
    request_queue_size = 64


class Silent(WSGIRequestHandler):
    """No log, and connections as quick as they can be."""

    def log_message(self, *_: object) -> None:
        pass


def name_in_catalogue(root: Path, placeholder: str, address: str) -> None:
    """Puts an address in the place of a placeholder; Keystone reads the catalogue for each token."""
    with sqlite3.connect(root / "keystone.db") as database:
        database.execute("UPDATE endpoint SET url = replace(url, ?, ?)", (placeholder, address))


def main() -> None:
    """Serves a copy of what was baked."""
    baked, root, life = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    shutil.copytree(baked, root, dirs_exist_ok=True)
    (root / "keystone.conf").write_text(config(root, life=life))
    server = make_server("127.0.0.1", 0, application(root), Threaded, Silent)
    port = server.server_port
    name_in_catalogue(root, "KEYSTONE", f"127.0.0.1:{port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": port}), flush=True)
    for line in sys.stdin:
        name_in_catalogue(root, "SWIFT", str(int(line)))
        print(json.dumps("ready"), flush=True)
    shutil.rmtree(root, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
