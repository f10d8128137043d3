"""What other tools write is read right, and what Syncer writes is read right by them: `swift`, and rclone.

Both run as programs against the real Swift. rclone is a package of every distribution; without it these tests
fail, since nothing else tells whether the two agree.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from syncer.engine.model import Done, Entry, Kind
from tests.contract.swift_rig import SwiftRig
from tests.swift.server import Swift

SWIFT = (sys.executable, "-m", "swiftclient.shell")
TIME_NS = 1_234_567_890_123_456_000  # `swift` and rclone keep microseconds and more
CONTENT = bytes(range(256)) * 4096


def run(words: tuple[str, ...], environ: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Tool:
    """Uploads and downloads a folder by a program; paths in the container begin with the rig's prefix."""

    def __init__(self, name: str, swift: Swift, rig: SwiftRig) -> None:
        self.name = name
        self.where = f"{rig.place.container}/{rig.place.prefix}".rstrip("/")
        self.container, self.prefix = rig.place.container, rig.place.prefix
        keys = {"AUTH": swift.auth_url, "USER": swift.user, "KEY": swift.key}
        self.environ = {f"ST_{k}": v for k, v in keys.items()}
        self.environ |= {f"RCLONE_CONFIG_S_{k}": v for k, v in keys.items()}
        self.environ |= {"RCLONE_CONFIG_S_TYPE": "swift", "RCLONE_CONFIG": "/dev/null"}

    def upload(self, folder: Path, *, segments: int | None = None) -> None:
        if self.name == "rclone":
            chunk = ("--swift-chunk-size", f"{segments}B") if segments else ()
            run(("rclone", "copy", *chunk, str(folder), f"S:{self.where}"), self.environ, folder)
            return
        large = ("--use-slo", "-S", str(segments)) if segments else ()
        words = ("upload", *large, "--object-name", self.prefix.rstrip("/"), self.container, ".")
        run((*SWIFT, *words), self.environ, folder)

    def download(self, folder: Path) -> None:
        folder.mkdir()
        if self.name == "rclone":
            run(("rclone", "copy", f"S:{self.where}", str(folder)), self.environ, folder)
        else:
            words = ("download", "-p", self.prefix, "-r", "-D", ".", self.container)
            run((*SWIFT, *words), self.environ, folder)


@pytest.fixture(params=["swift", "rclone"])
def tool(request: pytest.FixtureRequest, swift: Swift, rig: SwiftRig) -> Tool:
    return Tool(request.param, swift, rig)


def test_what_we_write_they_read_with_its_time(rig: SwiftRig, tool: Tool, tmp_path: Path) -> None:
    rig.make("d")
    rig.make("empty")
    for path, data in (("d/small é", b"small"), ("d/none", b""), ("file", CONTENT), ("large", CONTENT * 10)):
        assert isinstance(rig.put(path, data, mtime_ns=TIME_NS, executable=True), Done)
    tool.download(tmp_path / "down")
    for path, data in (("d/small é", b"small"), ("d/none", b""), ("file", CONTENT), ("large", CONTENT * 10)):
        file = tmp_path / "down" / path
        assert file.read_bytes() == data
        assert abs(file.stat().st_mtime_ns - TIME_NS) < 1000, path


def test_what_they_write_we_read_with_its_time(rig: SwiftRig, tool: Tool, tmp_path: Path) -> None:
    up = tmp_path / "up"
    (up / "d").mkdir(parents=True)
    for path, data in (("d/small é", b"small"), ("d/none", b""), ("file", CONTENT)):
        (up / path).write_bytes(data)
        os.utime(up / path, ns=(TIME_NS, TIME_NS))
    tool.upload(up)
    listing = rig.store.list("")
    assert set(listing.entries) == {"d", "file"} and set(rig.store.list("d").entries) == {"small é", "none"}
    for path, data in (("d/small é", b"small"), ("d/none", b""), ("file", CONTENT)):
        entry = rig.entry(path)
        assert b"".join(rig.store.open(path, entry).chunks()) == data
        assert entry.mtime_ns is not None and abs(entry.mtime_ns - TIME_NS) < 1000


def test_large_objects_of_theirs_are_read_and_replaced(rig: SwiftRig, tool: Tool, tmp_path: Path) -> None:
    up = tmp_path / "up"
    up.mkdir()
    (up / "large").write_bytes(CONTENT * 3)
    os.utime(up / "large", ns=(TIME_NS, TIME_NS))
    tool.upload(up, segments=1 << 20)
    entry = rig.store.list("").entries["large"]
    assert isinstance(entry, Entry) and (entry.kind, entry.size) == (Kind.FILE, 3 << 20)
    assert b"".join(rig.store.open("large", entry).chunks()) == CONTENT * 3
    assert entry.version == rig.entry("large").version
    assert isinstance(rig.put("large", b"replaced", expected=entry), Done)
    assert rig.read("large") == b"replaced" and rig.kept() == [CONTENT * 3]


def test_their_copy_back_changes_nothing_for_us(rig: SwiftRig, tool: Tool, tmp_path: Path) -> None:
    assert isinstance(rig.put("f", CONTENT, mtime_ns=TIME_NS), Done)
    before = rig.entry("f")
    tool.download(tmp_path / "down")
    (tmp_path / "down" / "f").write_bytes(CONTENT[::-1])
    os.utime(tmp_path / "down" / "f", ns=(TIME_NS, TIME_NS + 10**9))
    tool.upload(tmp_path / "down")
    after = rig.entry("f")
    assert after.version != before.version and after.digest is None, "our digest went with our content"
    assert b"".join(rig.store.open("f", after).chunks()) == CONTENT[::-1]
