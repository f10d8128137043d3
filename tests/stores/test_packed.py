"""A directory packed for a server says what its listing says, in a tenth of the memory."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from syncer.engine.fingerprint import fingerprint
from syncer.engine.model import Entry
from syncer.stores.local import packed_listing, stat
from syncer.stores.local import scan as scanning
from syncer.stores.local.filesystem import FileSystem

FS = FileSystem()
LATER = 3_000_000_000  # nanoseconds: everything is old enough


def both(folder: Path, *, now_ns: int, at_root: bool = False, fs: FileSystem = FS):
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        usual = scanning.listing(fs, fd, now_ns=now_ns, at_root=at_root, is_own=lambda name: False)
        told = packed_listing.listing(
            fs,
            fd,
            now_ns=now_ns,
            at_root=at_root,
            hides=lambda name: name == ".hidden",
            hold=lambda size: None,
        )
        return usual, told
    finally:
        os.close(fd)


def entries(told: packed_listing.Packed, now_ns: int) -> dict[str, object]:
    """As a client reads them."""
    found: dict[str, object] = {}
    for line in told.lines:
        name, _, version = line.partition(b"/")
        if (odd := told.odd.get(name)) is not None:
            found[os.fsdecode(name)] = odd
        elif not version:
            found[os.fsdecode(name)] = stat.DIRECTORY
        else:
            size, mtime, ctime, _, mode = stat.UNPACK(version)
            found[os.fsdecode(name)] = Entry(
                kind=stat.DIRECTORY.kind.__class__(1), size=size, version=version, mtime_ns=mtime,
                executable=bool(mode & 0o100), trusted=stat.ripe(ctime, now_ns),
            )  # fmt: skip
    return found


def fill(folder: Path) -> None:
    for name in ("b", "a", "a.b", "a b", "z/", "ä", os.fsdecode(b"n\xff"), "x/", "run"):
        path = folder / name.rstrip("/")
        path.mkdir() if name.endswith("/") else path.write_bytes(name.encode("utf-8", "surrogateescape"))
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("a")
    (folder / ".syncer-tmp-0123456789abcdef").write_bytes(b"")


@pytest.mark.parametrize("age", [LATER, 0], ids=["old", "young"])
def test_it_says_what_a_listing_says(tmp_path: Path, age: int) -> None:
    fill(tmp_path)
    now = max(p.lstat().st_ctime_ns for p in tmp_path.iterdir()) + age
    usual, told = both(tmp_path, now_ns=now)
    assert entries(told, now) == usual.entries
    assert told.fingerprint == usual.fingerprint
    assert (told.fingerprint is None) == (age == 0)
    assert {os.fsdecode(name) for name in told.directories()} == {"x", "z"}


def test_a_young_file_alone_takes_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    born = (tmp_path / "a").stat().st_ctime_ns
    assert both(tmp_path, now_ns=born + LATER)[1].fingerprint is not None
    assert both(tmp_path, now_ns=born)[1].fingerprint is None


def test_what_is_no_file_stands_beside_the_lines_and_takes_the_fingerprint(tmp_path: Path) -> None:
    fill(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
    now = os.stat(tmp_path).st_ctime_ns + LATER
    usual, told = both(tmp_path, now_ns=now)
    assert entries(told, now) == usual.entries
    assert told.fingerprint is None


def test_a_time_far_from_ours_is_told_as_a_listing_tells_it(tmp_path: Path) -> None:
    class Odd(FileSystem):
        def scan(self, fd: int):
            for name, st in super().scan(fd):
                yield (
                    name,
                    os.stat_result(tuple(st[:10]), {"st_mtime_ns": 1 << 70, "st_ctime_ns": st.st_ctime_ns}),
                )

    fill(tmp_path)
    now = os.stat(tmp_path).st_ctime_ns + LATER
    usual, told = both(tmp_path, now_ns=now, fs=Odd())
    assert entries(told, now) == usual.entries
    assert told.fingerprint is None, "the link is another one at a second look"


def test_what_is_hidden_takes_the_fingerprint_and_what_is_ours_does_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / ".syncer").mkdir()
    (tmp_path / ".syncer-tmp-0123456789abcdef").write_bytes(b"")
    now = os.stat(tmp_path).st_ctime_ns + LATER
    _, told = both(tmp_path, now_ns=now, at_root=True)
    version = stat.version((tmp_path / "a").stat())
    assert told.fingerprint == fingerprint([("a", version)])
    (tmp_path / ".hidden").write_bytes(b"")
    _, told = both(tmp_path, now_ns=now, at_root=True)
    assert told.fingerprint is None
    assert [line.partition(b"/")[0] for line in told.lines] == [b"a"]


def test_a_name_left_out_while_the_directory_changes_is_found_by_a_look_of_its_own(tmp_path: Path) -> None:
    class Missing(FileSystem):
        """The second time a directory is read, some of its names are left out; and it changes meanwhile."""

        passes = 0

        def scan(self, fd: int):
            self.passes += 1
            left_out = ("a", "x", "link", "gone") if self.passes > 1 else ()
            found = [pair for pair in super().scan(fd) if pair[0] not in left_out]
            if self.passes == 1:
                (tmp_path / "gone").unlink()
            return found

    fill(tmp_path)
    (tmp_path / "gone").write_bytes(b"")
    now = os.stat(tmp_path).st_ctime_ns + LATER
    fd = os.open(tmp_path, os.O_RDONLY)
    fs = Missing()
    told = packed_listing.listing(
        fs, fd, now_ns=now, at_root=False, hides=lambda name: False, hold=lambda size: None
    )
    whole = packed_listing.listing(
        FS, fd, now_ns=now, at_root=False, hides=lambda name: False, hold=lambda size: None
    )
    os.close(fd)
    assert fs.passes == 2
    assert told.lines == whole.lines and entries(told, now) == entries(whole, now)
    assert told.fingerprint == whole.fingerprint is not None


def test_memory_is_asked_for_before_it_is_used(tmp_path: Path) -> None:
    class Many(FileSystem):
        def scan(self, fd: int):
            st = os.fstat(fd)
            plain = os.stat_result((0o100644, *st[1:10]), {"st_mtime_ns": 0, "st_ctime_ns": 0})
            return ((f"name-{number}", plain) for number in range(100_000))

    asked: list[int] = []
    fd = os.open(tmp_path, os.O_RDONLY)
    told = packed_listing.listing(
        Many(), fd, now_ns=LATER, at_root=False, hides=lambda name: False, hold=asked.append
    )
    os.close(fd)
    assert len(told.lines) == 100_000
    assert len(asked) < 100 and asked == sorted(asked)
    used = sum(33 + len(line) + 8 for line in told.lines)
    assert used * 0.85 < asked[-1] < used * 1.5
    assert told.fingerprint == fingerprint(
        [(f"name-{n}", told.lines[0].partition(b"/")[2]) for n in range(100_000)]
    )


def test_the_digest_of_very_many_lines_is_that_of_all_at_once() -> None:
    lines = sorted(f"{number}/".encode() for number in range(20_000))
    assert scanning.joined(lines) == fingerprint([(line[:-1].decode(), b"") for line in lines])


def test_a_name_on_its_way_to_another_spelling_was_gone_from_the_packed_listing(tmp_path: Path) -> None:
    aside = tmp_path / ".syncer-tmp-0123456789abcdef"
    aside.mkdir()
    (aside / "Name").write_bytes(b"1")
    (tmp_path / "other").write_bytes(b"2")
    usual, told = both(tmp_path, now_ns=max(p.lstat().st_ctime_ns for p in tmp_path.iterdir()) + LATER)
    assert entries(told, 0)["Name"] == usual.entries["Name"] == scanning.RENAMING
    assert told.fingerprint is None
    (tmp_path / "Name").write_bytes(b"3")
    _, told = both(tmp_path, now_ns=max(p.lstat().st_ctime_ns for p in tmp_path.iterdir()) + LATER)
    assert isinstance(entries(told, 0)["Name"], Entry)


def test_a_snapshot_is_no_directory_in_the_packed_listing_either(tmp_path: Path) -> None:
    class Snapshots(FileSystem):
        def is_read_only(self, fd: int) -> bool:
            return os.fstat(fd).st_ino == (tmp_path / ".snapshots").stat().st_ino

    (tmp_path / ".snapshots").mkdir()
    usual, told = both(
        tmp_path, now_ns=max(p.lstat().st_ctime_ns for p in tmp_path.iterdir()) + LATER, fs=Snapshots()
    )
    assert entries(told, 0)[".snapshots"] == usual.entries[".snapshots"] != stat.DIRECTORY
    assert list(told.directories()) == []
