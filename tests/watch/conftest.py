"""Fixtures for the tests of watching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.watch.manual_queue import Grown, Queue


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    return made


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.close()


@pytest.fixture
def grown(queue: Queue) -> Callable[[Path], Grown]:
    """Makes trees whose `read` never waits. All share one queue."""
    return lambda root: Grown(root, queue)
