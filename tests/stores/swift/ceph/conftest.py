"""Here `swift` is a real Ceph RGW: suites of the Swift store run on it as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.swift_rig import SwiftRig, tempauth_door
from tests.stores.swift.bench import Bench
from tests.swift.fixtures import rgw
from tests.swift.rgw import Rgw

__all__ = ["rgw"]


@pytest.fixture
def swift(rgw: Rgw) -> Rgw:
    return rgw


@pytest.fixture
def rig(rgw: Rgw, tmp_path: Path) -> Iterator[SwiftRig]:
    built = SwiftRig(tmp_path, tempauth_door(rgw), rgw.fresh_name())
    yield built
    built.close()


@pytest.fixture
def bench(rgw: Rgw, tmp_path: Path) -> Iterator[Bench]:
    built = Bench(rgw, tmp_path)
    yield built
    built.close()
