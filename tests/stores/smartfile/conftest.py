"""A store of its own for each test, with the double of the service that it talks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.smartfile_rig import SmartFileRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SmartFileRig]:
    built = SmartFileRig(tmp_path)
    yield built
    built.store.close()
