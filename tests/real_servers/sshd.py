"""A real OpenSSH server on a free loopback port, with keys and configuration of its own, and clients for it.

    with Sshd(tmp_path) as sshd:
        SftpClient.connect(sshd.destination, sshd.options())

It runs as whoever runs the tests, and lets in that user only (root as well). Nothing of `~/.ssh` is read.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from syncer.stores.ssh.command import SshOptions
from syncer.stores.ssh.location import Destination

_PATIENCE = 20  # seconds for anything to start or to end
_SERVER = "/usr/sbin/sshd"  # it executes itself again, by its absolute path
_TRIES = 5  # ports: another process may take one between choosing it and listening on it


class Sshd:
    """One server below `folder`. `lines` stand before all others in its sshd_config, so they win."""

    def __init__(
        self, folder: Path, lines: Sequence[str] = (), *, authorized: str = "", user: str = ""
    ) -> None:
        """`authorized`: options of the key, as in `restrict,command="…"`. `user`: runs it, and may log in."""
        self._user = user
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = lines
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.key = keygen(folder / "id")
        host_key = keygen(folder / "hostkey")
        self._known = host_key.with_suffix(".pub").read_text().split()[:2]
        public = self.key.with_suffix(".pub").read_text()
        (folder / "authorized_keys").write_text(f"{authorized} {public}" if authorized else public)

    @property
    def destination(self) -> Destination:
        return Destination(host="127.0.0.1", user=self._user or getpass.getuser(), port=self.port)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def options(self, *extra: str, key: Path | None = None, known: Path | None = None) -> SshOptions:
        """What the tests' client needs; `extra` are further arguments."""
        config = self.folder / f"config-{len(list(self.folder.glob('config-*')))}"
        config.write_text(
            f"IdentityFile {key or self.key}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {known or self.known_hosts}\nGlobalKnownHostsFile none\n"
            "StrictHostKeyChecking yes\n"
        )
        return SshOptions(extra=("-F", str(config), *extra))

    @property
    def known_hosts(self) -> Path:
        path = self.folder / "known_hosts"
        path.write_text(f"[127.0.0.1]:{self.port} {' '.join(self._known)}\n")
        return path

    def __enter__(self) -> Self:
        if os.getuid() == 0 and not self._user:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # there where the package's service ever ran
        for _ in range(_TRIES):
            if self._started():
                return self
        raise RuntimeError(f"sshd did not start: {self.log}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the server, then the sessions that it started."""
        if self._process is None:
            return
        sessions = children(self._process.pid)
        self._process.terminate()
        self._process.wait(_PATIENCE)
        for pid in sessions:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    def sessions(self) -> list[int]:
        """Processes of the connections that are open now."""
        assert self._process is not None
        return children(self._process.pid)

    def _started(self) -> bool:
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.port = chosen.getsockname()[1]
        config = self.folder / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    *self._lines,
                    f"Port {self.port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {self.folder / 'hostkey'}",
                    "PidFile none",
                    f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
                    "StrictModes no",  # the folder lies below a world-writable one
                    "UsePAM no",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PermitRootLogin yes",
                    "MaxStartups 100",
                    "Subsystem sftp internal-sftp",
                ]
            )
            + "\n"
        )
        if self._user:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self._user)
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [_SERVER, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, user=self._user or None,
            )  # fmt: skip
        return listens(self.port, self._process)


def keygen(path: Path, *, passphrase: str = "") -> Path:
    """A fresh ed25519 key at `path`, its public half beside it."""
    if not path.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
        subprocess.run(command, check=True, timeout=_PATIENCE)
    return path


def listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Waits until something answers on the port; whether it does before the process ends."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    process.kill()
    process.wait(_PATIENCE)
    return False


def children(parent: int) -> list[int]:
    """Process ids below `parent`, at any depth."""
    below: dict[int, list[int]] = {}
    done = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True, timeout=60)
    for line in done.stdout.splitlines():
        pid, above = map(int, line.split())
        below.setdefault(above, []).append(pid)
    found, waiting = [], [parent]
    while waiting:
        born = below.get(waiting.pop(), [])
        found += born
        waiting += born
    return found


def scripted(folder: Path, script: str) -> SshOptions:
    """Options that run a shell script in the place of `ssh`: for what a real server cannot be made to do."""
    path = folder / "ssh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    assert shutil.which("sh")
    return SshOptions(program=(str(path),))
