"""A real sshd for the tests of the ssh transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real_servers.sshd import Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests of a session."""
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server
