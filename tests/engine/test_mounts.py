"""What is believed of a directory on a mount: only what was read from what the run began with."""

from __future__ import annotations

from typing import cast

import pytest

from syncer.engine.interfaces import BaseStore, Capabilities, Reporter, Store
from syncer.engine.model import BlockedEntry, BlockReason, Listing, Side
from syncer.engine.mounts import NONE, Mounts
from syncer.engine.scan import SnapshotReader
from tests.jobs.runners import Ears


class Shown:
    """A store whose directories are all empty, and on one mount."""

    capabilities = Capabilities()

    def __init__(self, mount: str) -> None:
        self.mount = mount

    def list(self, path: str) -> Listing:
        return Listing(entries={}, mount=self.mount)


class Blank:
    """A base that remembers nothing."""

    def get_setting(self, key: str) -> str:
        return ""


def seen(mount: str, mounts: Mounts, directory: str) -> Listing | BlockedEntry:
    stores = {side: cast(Store, Shown(mount)) for side in Side}
    eyes = SnapshotReader(
        stores, cast(BaseStore, Blank()), cast(Reporter, Ears()), {Side.LOCAL: mounts, Side.REMOTE: NONE}
    )
    return eyes.list(Side.LOCAL, directory)


@pytest.mark.parametrize(
    ("mount", "directory", "believed"),
    [
        ("disk", "photos", True),
        ("disk", "photos/2024", True),
        ("", "other", True),
        ("", "photos", False),  # unmounted since
        ("", "photos/2024", False),
        ("another", "photos", False),
        ("?", "photos", False),
        ("disk", "other", False),  # mounted since
    ],
)
def test_a_listing_from_another_disk_than_the_run_began_with_concludes_nothing(
    mount: str, directory: str, believed: bool
) -> None:
    answer = seen(mount, Mounts(now={"photos": "disk"}, told=True), directory)
    assert isinstance(answer, Listing) is believed
    if isinstance(answer, BlockedEntry):
        assert answer.trouble is BlockReason.BUSY


def test_where_the_store_cannot_tell_every_listing_is_believed() -> None:
    assert isinstance(seen("", NONE, "photos"), Listing)


def test_nothing_at_or_below_an_absent_mount_point_is_even_listed() -> None:
    mounts = Mounts(now={}, absent={"photos": "gone"}, told=True)
    for directory in ("photos", "photos/2024/may"):
        assert seen("", mounts, directory) == BlockedEntry(BlockReason.UNMOUNTED, "gone")
    assert isinstance(seen("", mounts, "photos-beside"), Listing)


def test_the_listing_above_shows_an_absent_mount_point_as_something_that_waits() -> None:
    """Also where its directory is gone, and the directory above it."""
    mounts = Mounts(now={}, absent={"media/usb": "gone"}, told=True)
    for directory, name in (("media", "usb"), ("", "media")):
        listing = seen("", mounts, directory)
        assert isinstance(listing, Listing)
        assert listing.fingerprint is None
        waits = listing.entries[name]
        assert isinstance(waits, BlockedEntry) and waits.trouble is BlockReason.UNMOUNTED
