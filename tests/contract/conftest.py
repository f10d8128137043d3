"""Every test of the contract runs on every store, bare and in each decorator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.rigs import EVERY, Rig, build


@pytest.fixture(params=EVERY)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    built = build(request.param, tmp_path)
    yield built
    built.store.close()
