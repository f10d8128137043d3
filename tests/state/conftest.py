"""A pair's directory, an open state in it, and a clock that tests set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.state import State, open_state


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "pairs" / "0123456789abcdef"


@pytest.fixture
def state(place: Path) -> Iterator[State]:
    with open_state(place) as opened:
        yield opened
