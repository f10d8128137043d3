"""The contract's part for several clients at once, on the double of Orange Cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import test_several_clients as several
from tests.contract.orange_rig import OrangeRig
from tests.contract.test_several_clients import directory, stores  # noqa: F401 - fixtures

globals().update({name: test for name, test in vars(several).items() if name.startswith("test_")})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[OrangeRig]:
    built = OrangeRig(tmp_path)
    yield built
    built.store.close()
