"""Puts many objects into a Swift of the tests at once, behind its back: as files and rows, without requests.

    PYTHON -P swift_fill.py ROOT CONTAINER OBJECTS     (-P: beside it stands another `swift`)

Run with the Python of Swift's own environment. OBJECTS has a JSON list a line: the object's name, the file
that holds its content, its ETag, its metadata; the same lines with the time of each object are printed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ACCOUNT, DEVICE, TYPE = "AUTH_test", "d1", "application/octet-stream"


def filled(root: Path, container: str, lines: Iterator[str]) -> Iterator[str]:
    """Object by object; all rows of the listing are there at the end."""
    from swift.common import utils

    utils.set_swift_dir(str(root))
    utils.disable_fallocate()
    from swift.common.ring import Ring
    from swift.common.storage_policy import POLICIES
    from swift.common.utils import Timestamp
    from swift.container.backend import ContainerBroker
    from swift.obj.diskfile import DiskFileRouter

    router = DiskFileRouter({"devices": str(root / "node"), "mount_check": "false"}, utils.NullLogger())
    manager, ring, rows = router[POLICIES[0]], Ring(str(root), ring_name="object"), list[dict[str, Any]]()
    began = time.time() - 3600
    for number, line in enumerate(lines):
        name, file, etag, meta = json.loads(line)
        content, stamp = Path(file).read_bytes(), Timestamp(began + number / 1000)
        part = ring.get_part(ACCOUNT, container, name)
        disk = manager.get_diskfile(DEVICE, part, ACCOUNT, container, name, POLICIES[0])
        system = {"Content-Length": str(len(content)), "ETag": etag, "Content-Type": TYPE}
        with disk.create(size=len(content)) as writer:
            writer.write(content)
            writer.put({**system, **meta, "X-Timestamp": stamp.internal})
            writer.commit(stamp)
        rows.append(
            {
                "name": name,
                "created_at": stamp.internal,
                "size": len(content),
                "content_type": TYPE,
                "etag": etag,
                "deleted": 0,
                "storage_policy_index": 0,
            }
        )
        yield json.dumps([name, len(content), etag, meta, stamp.normal])
    ring = Ring(str(root), ring_name="container")
    key = utils.hash_path(ACCOUNT, container)
    part = ring.get_part(ACCOUNT, container)
    folder = root / "node" / DEVICE / utils.storage_directory("containers", part, key)
    broker = ContainerBroker(str(folder / f"{key}.db"), account=ACCOUNT, container=container)
    for start in range(0, len(rows), 1000):
        broker.merge_items(rows[start : start + 1000])


if __name__ == "__main__":
    with open(sys.argv[3]) as given:
        for told in filled(Path(sys.argv[1]), sys.argv[2], given):
            print(told)
