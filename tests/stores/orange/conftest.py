"""A store of its own for each test, with the double of the service that it talks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.orange_rig import OrangeRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[OrangeRig]:
    built = OrangeRig(tmp_path)
    yield built
    built.store.close()
