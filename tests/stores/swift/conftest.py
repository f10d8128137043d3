"""Rigs on the real Swift, through TempAuth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.swift_rig import SwiftRig, tempauth_door
from tests.swift.fixtures import cloud, make_swift, swift
from tests.swift.server import Swift

__all__ = ["cloud", "make_swift", "swift"]


@pytest.fixture
def rig(swift: Swift, tmp_path: Path) -> Iterator[SwiftRig]:
    built = SwiftRig(tmp_path, tempauth_door(swift), swift.fresh_name())
    yield built
    built.close()
