"""What the tests over two real folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two empty folders and a job between them."""
    return World(tmp_path)
