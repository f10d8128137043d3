"""A real sshd, and a session on it, for the tests of the SFTP client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncer.stores.sftp.client import SftpClient
from tests.real_servers.sshd import Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests of a session."""
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def client(sshd: Sshd) -> Iterator[SftpClient]:
    """A session of its own for each test."""
    with SftpClient.connect(sshd.destination, sshd.options()) as session:
        yield session
