"""Another S3 server (SeaweedFS or moto) behind the filter that misbehaves by rule, as `gateway` for RGW.

    python upstream.py ROOT SETTINGS      (SETTINGS: JSON, see `tests/s3/servers.py`)

Run with the Python of Swift's own environment, which has the WSGI server. The server listens on free ports
of the loopback, and its data is below ROOT.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from ceph import _die_with_parent, _waitpid
from gateway import Forwarder
from launcher import listen, serve

SECONDS = 60
GRPC = 10_000  # SeaweedFS's volume server listens at its port plus this as well


def weed(
    program: Path, root: Path, settings: Mapping[str, Any], ports: Iterator[int]
) -> tuple[int, list[str]]:
    """Port and command of a SeaweedFS: master, volume server, filer and S3 gateway in one process."""
    (root / "data").mkdir()
    identity = {
        "name": "syncer",
        "credentials": [{"accessKey": settings["access_key"], "secretKey": settings["secret_key"]}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    (root / "s3.json").write_text(json.dumps({"identities": [identity]}))
    port = next(ports)
    numbers = (
        "master.port",
        "master.port.grpc",
        "volume.port",
        "filer.port",
        "filer.port.grpc",
        "s3.port.grpc",
    )
    words = [f"-{name}={next(ports)}" for name in numbers]
    command = [
        str(program / "weed"), "-logtostderr=true", "-v=0", "server", f"-dir={root}/data", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.port={port}", f"-s3.config={root}/s3.json",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-volume.max=0", "-volume.minFreeSpace=0",
        "-master.volumeSizeLimitMB=512", "-master.volumePreallocate=false", "-master.telemetry=false", *words,
    ]  # fmt: skip
    return port, command


def moto(
    program: Path, _root: Path, _settings: Mapping[str, Any], ports: Iterator[int]
) -> tuple[int, list[str]]:
    """Port and command of a moto server; it takes any keys."""
    port = next(ports)
    return port, [str(program / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]


KINDS = {"seaweedfs": weed, "moto": moto}


def free_ports() -> Iterator[int]:
    """Ports that are free now, and so are those that SeaweedFS derives from them."""
    held: list[socket.socket] = []
    while True:
        one, other = socket.socket(), socket.socket()
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        held.append(one)
        try:
            other.bind(("127.0.0.1", port + GRPC))
        except (OSError, OverflowError):
            continue
        finally:
            other.close()
        one.close()
        yield port


def wait(daemon: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the server answers. Raises OSError with its last words where it ends instead."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and daemon.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return
        except HTTPError:
            return  # any answer is one
        except OSError:
            time.sleep(0.05)
    raise OSError(f"{daemon.args!r} did not answer: {log.read_text(errors='replace')[-2000:]}")


def end(daemon: subprocess.Popen[bytes], root: Path) -> None:
    """Kills the server and removes its data, and this process."""
    if daemon.poll() is None:
        daemon.kill()
        _waitpid(daemon.pid, 0)
    for option in daemon.args if isinstance(daemon.args, list) else ():
        port = str(option).rpartition("=")[2]
        for number in (int(port), int(port) + GRPC) if port.isdigit() else ():
            for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                left.unlink(missing_ok=True)  # SeaweedFS puts its sockets there, named by its ports
    shutil.rmtree(root, ignore_errors=True)
    os._exit(0)


def main() -> None:
    """The server first, before anything is patched; then the filter in front of it."""
    root, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    port, words = KINDS[settings["kind"]](Path(settings["programs"]), root, settings, free_ports())
    log = root / "upstream.log"
    environment = {**os.environ, "MOTO_S3_CUSTOM_ENDPOINTS": "", "HOME": str(root)}
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=root, env=environment,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - there are no threads yet
        )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: end(daemon, root))
    wait(daemon, port, log)
    sockets = {name: listen() for name in ("proxy", "control")}
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}

    import eventlet
    import eventlet.hubs

    eventlet.hubs.use_hub("poll")
    eventlet.monkey_patch()

    from control import application
    from mischief import MISCHIEF

    MISCHIEF.app = Forwarder(port)
    serve(sockets["proxy"], MISCHIEF)
    serve(sockets["control"], application)
    print(json.dumps({**ports, "direct": port}), flush=True)

    from eventlet.hubs import trampoline

    while True:  # until the process that started this closes the pipe, or dies
        trampoline(0, read=True)
        if not os.read(0, 4096):
            end(daemon, root)


if __name__ == "__main__":
    main()
