"""The contract's part for several clients at once, on a real Swift."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import test_several_clients as several
from tests.contract.swift_rig import SwiftRig
from tests.contract.test_several_clients import directory, stores  # noqa: F401 - fixtures
from tests.swift.doors import way_in

globals().update({name: test for name, test in vars(several).items() if name.startswith("test_")})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SwiftRig]:
    with way_in("v1") as way:
        built = SwiftRig(tmp_path, way.door, way.swift.fresh_name())
        yield built
        built.close()
