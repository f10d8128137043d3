"""What the threads of a folder store share, used from all of them at once: the root, readers, the trash."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from blake3 import blake3

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Done, Entry
from syncer.stores.local.filesystem import FileSystem
from tests.contract.rigs import FolderRig, in_order
from tests.contract.test_several_clients import at_once

THREADS = 8
PIECE = 50_000  # bytes


def threads(work: Callable[[int], None]) -> None:
    at_once([lambda n=number: work(n) for number in range(THREADS)])


def test_each_thread_reads_the_files_that_it_asked_for(rig: FolderRig) -> None:
    paths = [f"d{number % 7}/e{number % 3}/f{number}" for number in range(120)]
    for path in paths:
        rig.write(path, path.encode() * 50)
    entries = {path: rig.entry(path) for path in paths}

    def read(number: int) -> None:
        for path in paths[number:] + paths[:number]:
            content = b"".join(rig.store.open(path, entries[path]).chunks())
            assert content == path.encode() * 50, path

    threads(read)


def test_threads_that_ended_hold_no_descriptors(rig: FolderRig) -> None:
    """A server's pool ends and begins threads: each left its walk open for as long as the store was."""
    rig.write("a/b/c/f", b"content")
    entry = rig.entry("a/b/c/f")

    def read() -> None:
        assert b"".join(rig.store.open("a/b/c/f", entry).chunks()) == b"content"

    at_once([read])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        at_once([read])
    assert len(os.listdir("/proc/self/fd")) == before


def test_pieces_read_by_offset_do_not_depend_on_what_other_threads_read(tmp_path: Path) -> None:
    data = blake3(b"content").digest(4 << 20)
    (tmp_path / "f").write_bytes(data)
    fs = FileSystem()
    fd = os.open(tmp_path / "f", os.O_RDONLY)

    def read(number: int) -> None:
        for at in range(number, len(data) - PIECE, PIECE // 3):
            assert fs.read_at(fd, PIECE, at) == data[at : at + PIECE]

    try:
        threads(read)
    finally:
        os.close(fd)


def test_versions_of_one_path_that_go_to_the_trash_at_once_are_all_kept(rig: FolderRig) -> None:
    """Each thread makes a file of the same path, over what others made, and deletes what it then finds."""

    def churn(number: int) -> None:
        for step in range(10):
            rig.write(f"d/{number}", b"%d %d" % (number, step))
            os.rename(rig.root / f"d/{number}", rig.root / "d/f")
            found = rig.store.stat("d/f")
            if found is None:
                continue
            assert isinstance(found, Entry)
            [outcome] = in_order(rig.store.delete([DeleteRequest(path="d/f", expected=found)]), 1)
            done.append(isinstance(outcome, Done))

    done: list[bool] = []
    threads(churn)
    assert any(done)
    assert len(set(rig.kept())) >= sum(done), "each that was taken had a content of its own"


def test_digests_of_one_directory_are_right_for_every_thread(rig: FolderRig) -> None:
    names = [f"f{number}" for number in range(60)]
    for name in names:
        rig.write(name, name.encode())
    wanted: Sequence[tuple[str, Entry]] = [(name, rig.entry(name)) for name in names]

    def look(number: int) -> None:
        turned = [*wanted[number:], *wanted[:number]]
        found = list(rig.store.with_digests(turned))
        assert [e.digest for e in found if isinstance(e, Entry)] == [
            blake3(name.encode()).digest() for name, _ in turned
        ]

    threads(look)
