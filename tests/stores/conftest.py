"""A folder store on a disk that can be hooked into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.rigs import FolderRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[FolderRig]:
    built = FolderRig(tmp_path)
    yield built
    built.store.close()
