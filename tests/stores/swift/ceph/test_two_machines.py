"""Two machines that edit on one container of Ceph: nothing is lost, and they converge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores.swift.test_two_machines import campaign
from tests.swift.rgw import Rgw


def test_nothing_is_lost_and_all_converges(rgw: Rgw, tmp_path: Path) -> None:
    campaign(rgw, tmp_path, 1, steps=40, lag=0)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_nothing_is_lost_in_a_long_story(rgw: Rgw, tmp_path: Path) -> None:
    campaign(rgw, tmp_path, 100, steps=2000, lag=0)
