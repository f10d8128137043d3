"""The official SmartFile client of the package index against `syncer serve`.

As it is, everything works but a download by delta: python-librsync 0.1.post5 makes its local signature
without naming its kind. With these two local calls mended, that works too.
"""

from __future__ import annotations

from tests.doubles.smartfile_client import drive
from tests.server.conftest import Serving

# Not shortcomings: our ping says more, and a stored JSON file is given as what it is, bytes.
OTHERWISE = {"ping", "a JSON file comes back parsed: the client's trap"}


def test_every_call_of_the_basic_client_does_what_it_says(server: Serving) -> None:
    report = drive("basic", server.url, key=server.key, password=server.password)
    assert set(report["failed"]) == OTHERWISE, report
    assert {"upload replaces", "download", "move into a directory", "remove"} <= set(report["done"])


def test_the_sync_client_as_published_uploads_deltas(server: Serving) -> None:
    report = drive("sync", server.url, key=server.key, password=server.password)
    assert {"upload sends a delta", "upload over an empty file"} <= set(report["done"]), report


def test_the_sync_client_with_right_prototypes_syncs_both_ways(server: Serving) -> None:
    report = drive("mended-sync", server.url, key=server.key, password=server.password)
    assert report["failed"] == {} and report["died"] is None, report
    assert "download receives a delta" in report["done"]
    posted = [line for line in server.log if "/path/sync/" in line]
    assert len(posted) == 5, "two signatures, two patches, one delta: content went by delta"
