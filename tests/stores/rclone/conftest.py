"""Remotes of several kinds behind each rclone that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from syncer.stores.rclone.client import RcloneClient
from syncer.stores.rclone.process import RcloneDaemon, RcloneVersion, rclone_version
from syncer.stores.rclone.remote import RcloneRemote
from tests.real_servers.rclone import (
    RcloneConfig,
    environment,
    programs,
    s3_values,
    served,
    version_of,
    webdav_values,
)
from tests.real_servers.sshd import Sshd

KINDS = ("local", "crypt", "webdav", "sftp", "s3", "memory")


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No setting of rclone or of S3 from whoever runs the tests."""
    import os

    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environment()):
            patch.delenv(name)
        yield


class Rig:
    """One running rclone with a remote of each kind; `folders` is what lies below them."""

    def __init__(self, folder: Path, program: str, stack: ExitStack) -> None:
        self.program = program
        self.config = RcloneConfig(folder)
        self.folders = {kind: folder / kind for kind in KINDS}
        for path in self.folders.values():
            path.mkdir()
        (self.folders["s3"] / "bucket").mkdir()
        add = self.config.add
        add("local", "alias", {"remote": str(self.folders["local"])})
        add("crypt", "crypt", {"remote": str(self.folders["crypt"]), "password": "secret"})
        add("memory", "memory", {})
        recent = programs()[-1]
        self.config.add_sftp("sftp", stack.enter_context(Sshd(folder / "sshd")))
        add(
            "webdav",
            "webdav",
            webdav_values(stack.enter_context(served("webdav", self.folders["webdav"], recent))),
        )
        if len(programs()) > 1:
            add("s3", "s3", s3_values(stack.enter_context(served("s3", self.folders["s3"], recent))))
        self.daemon = RcloneDaemon(self.config.options(program))
        stack.callback(self.daemon.close)
        self.client = RcloneClient(self.daemon)
        stack.callback(self.client.close)

    def remote(self, kind: str, path: str) -> RcloneRemote:
        """A remote of this kind, at a path of the test's own."""
        base = {"s3": "bucket/", "memory": "bucket/", "sftp": f"{self.folders['sftp']}/"}.get(kind, "")
        return RcloneRemote(self.client, f"{kind}:{base}{path}")


@pytest.fixture(scope="session", params=programs(), ids=version_of)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One for each installed rclone."""
    with ExitStack() as stack:
        yield Rig(tmp_path_factory.mktemp("rclone"), request.param, stack)


@pytest.fixture(params=KINDS)
def remote(request: pytest.FixtureRequest, rig: Rig) -> RcloneRemote:
    """A fresh place on a remote of each kind."""
    kind = request.param
    if kind == "s3" and len(programs()) < 2:
        pytest.skip("the server for s3 needs a recent rclone: make test installs it")
    if kind == "memory" and rclone_version(rig.config.options(rig.program)) < RcloneVersion(1, 61):
        pytest.skip("the memory backend of 1.60 does not list directories below a folder")
    found = rig.remote(kind, f"t{abs(hash(request.node.name)) % 10**9}")
    if not found.backend.bucket_based:
        found.mkdir("")
    return found
