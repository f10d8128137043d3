"""A served folder and a client of it."""

from __future__ import annotations

import pytest

from tests.server.extension.speaking import listening


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "served"
    found.mkdir()
    return found


@pytest.fixture
def client(folder, tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with listening(folder, state) as found:
        yield found
