"""Here `swift` is a real Ceph RGW: suites of the Swift store run on it as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.stores.swift.slo.layout import LayoutLimits
from tests.contract.swift_rig import SwiftRig, tempauth_door
from tests.stores.swift.bench import Bench
from tests.stores.swift.large import SMALL, Machine
from tests.swift.fixtures import rgw
from tests.swift.rgw import Rgw

__all__ = ["rgw"]
COARSE = replace(SMALL, segment=8 * SMALL.segment, shortest=8 * SMALL.shortest)


@pytest.fixture
def swift(rgw: Rgw) -> Rgw:
    return rgw


@pytest.fixture
def rig(rgw: Rgw, tmp_path: Path) -> Iterator[SwiftRig]:
    built = SwiftRig(tmp_path, tempauth_door(rgw), rgw.fresh_name())
    yield built
    built.close()


class CephBench(Bench):
    """Here a file of 4 MiB has 64 segments: some requests for each of 512 would take seconds."""

    def machine(self, name: str = "a", thresholds: LayoutLimits | None = COARSE) -> Machine:
        return super().machine(name, thresholds)


@pytest.fixture
def bench(rgw: Rgw, tmp_path: Path) -> Iterator[Bench]:
    built = CephBench(rgw, tmp_path)
    yield built
    built.close()
