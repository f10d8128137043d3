"""Real rclone programs, a configuration of the test's own, and rclone's servers on free loopback ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from syncer.stores.rclone.process import RcloneOptions
from tests.real_servers.sshd import Sshd, listens

_PATIENCE = 30
_RECENT = Path(__file__).parents[2] / ".venv-rclone" / "bin" / "rclone"
USER, PASSWORD = "u", "secret-of-the-test"


def programs() -> list[str]:
    """The system's rclone, and a recent one (`make test` installs it)."""
    found = [shutil.which("rclone"), str(_RECENT) if _RECENT.exists() else None]
    return [program for program in found if program]


def version_of(program: str) -> str:
    """For the names of tests."""
    return "recent" if program == str(_RECENT) else "system"


def environment() -> dict[str, str]:
    """Nothing of whoever runs the tests reaches rclone."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("RCLONE_", "AWS_"))}


class RcloneConfig:
    """A configuration file with remotes in it, made by `rclone config create`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rclone.conf"
        self.path.touch(mode=0o600)

    def options(self, program: str) -> RcloneOptions:
        return RcloneOptions(program=program, config=str(self.path))

    def add(self, name: str, kind: str, values: Mapping[str, str]) -> None:
        """A remote; values of passwords are given as they are, rclone obscures them."""
        pairs = [f"{key}={value}" for key, value in values.items()]
        command = [programs()[0], "config", "create", name, kind, *pairs, "--obscure", "--non-interactive"]
        subprocess.run(
            [*command, "--config", str(self.path)], check=True, stdout=subprocess.DEVNULL,
            env=environment(), timeout=_PATIENCE,
        )  # fmt: skip

    def add_sftp(self, name: str, sshd: Sshd) -> None:
        """A remote on a test's sshd."""
        at = sshd.destination
        self.add(
            name,
            "sftp",
            {
                "host": at.host, "user": at.user, "port": str(at.port), "key_file": str(sshd.key),
                "known_hosts_file": str(sshd.known_hosts),
            },
        )  # fmt: skip


@contextmanager
def served(kind: str, folder: Path, program: str) -> Iterator[int]:
    """`rclone serve KIND` of a folder; answers the port. `s3` needs the recent program."""
    login = (
        ["--auth-key", f"{USER * 16},{PASSWORD * 2}"]
        if kind == "s3"
        else ["--user", USER, "--pass", PASSWORD]
    )
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = int(chosen.getsockname()[1])
    process = subprocess.Popen(
        [program, "serve", kind, str(folder), "--addr", f"127.0.0.1:{port}", *login, "--config", os.devnull],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment(), start_new_session=True,
    )  # fmt: skip
    try:
        assert listens(port, process), f"rclone serve {kind} did not start"
        yield port
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_PATIENCE)


def s3_values(port: int) -> dict[str, str]:
    """The settings of a remote for `served("s3", …)`."""
    return {
        "provider": "Rclone", "endpoint": f"http://127.0.0.1:{port}", "access_key_id": USER * 16,
        "secret_access_key": PASSWORD * 2, "force_path_style": "true", "use_multipart_uploads": "false",
    }  # fmt: skip


def webdav_values(port: int) -> dict[str, str]:
    """The settings of a remote for `served("webdav", …)`."""
    return {"url": f"http://127.0.0.1:{port}", "vendor": "other", "user": USER, "pass": PASSWORD}
