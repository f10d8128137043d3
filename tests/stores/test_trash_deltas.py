"""Old versions of large files in the trash: what a small edit keeps, and that every version comes back."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.errors import BadDelta
from syncer.stores.local import trash_deltas, trash_restore
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.trash import Kept, Trash
from syncer.stores.local.trash_deltas import CHAIN
from tests.contents import noise
from tests.contract.doubles import HookedDisk, SteppingClock, failing

SIZE = 300_000 + 123
SMALL = 64_000


class Bin:
    """A trash, and versions of one file that went there, a run for each."""

    def __init__(self, base: Path) -> None:
        self.base, self.disk, self.clock = base, HookedDisk(), SteppingClock()
        self.root = base / "root"
        self.root.mkdir()
        self.versions: dict[Kept, bytes] = {}
        self.runs = 0
        self.trash = self.next_run()

    def next_run(self) -> Trash:
        self.runs += 1
        self.clock.sleep(1)
        self.trash = Trash.at(str(self.base), fs=self.disk, clock=self.clock, run=str(self.runs))  # type: ignore[arg-type]
        return self.trash

    def throw(self, data: bytes, path: str = "d/large", *, compact: bool = True) -> Kept:
        """One more version; then what comes after a run."""
        trash = self.next_run()
        place = self.root / "large"
        place.write_bytes(data)
        os.utime(place, (1_700_000_000, 1_700_000_000 + self.runs))
        place.chmod(0o640)
        fd = os.open(self.root, os.O_RDONLY)
        try:
            with trash.session() as session:
                kept = session.take("large", fd, path)
                session.sync()
        finally:
            os.close(fd)
        self.versions[kept] = data
        if compact:
            assert trash_deltas.compact(trash, [kept], least=SMALL) == []
        return kept

    def edited(self, data: bytes) -> bytes:
        """The same but for 2,000 bytes somewhere, and a few more."""
        rng = random.Random(self.runs)
        at = rng.randrange(len(data))
        return data[:at] + rng.randbytes(2_003) + data[at + 2_000 :]

    def edits(self, count: int) -> list[Kept]:
        data = noise(7, SIZE)
        kept = []
        for _ in range(count):
            kept.append(self.throw(data))
            data = self.edited(data)
        return kept

    def bytes_kept(self) -> int:
        """Of every inode once."""
        found = {st.st_ino: st.st_size for st in map(os.lstat, self.files())}
        return sum(found.values())

    def files(self) -> list[Path]:
        return [p for p in (self.base / "trash").rglob("*") if p.is_file()]

    def read(self, kept: Kept) -> bytes:
        """A version, as it comes back; a copy of the trash is worked on."""
        from shutil import copytree, rmtree

        copy = self.base / "copy"
        copytree(self.base / "trash", copy / "trash", copy_function=_linked)
        try:
            other = Trash.at(str(copy), fs=FileSystem(), clock=self.clock)
            with trash_deltas.opened(other) as deltas:
                if deltas is not None:
                    deltas.make_whole(kept)
            return (copy / "trash" / kept.batch / kept.path).read_bytes()
        finally:
            rmtree(copy)

    def all_are_there(self) -> None:
        listed = {thing.kept: thing.size for thing in trash_restore.contents(self.trash)}
        assert listed == {kept: len(data) for kept, data in self.versions.items()}
        for kept, data in self.versions.items():
            assert self.read(kept) == data, kept


def _linked(source: str, target: str) -> None:
    os.link(source, target)


@pytest.fixture
def trash(tmp_path: Path) -> Bin:
    return Bin(tmp_path)


def test_twenty_small_edits_of_a_large_file_kept_it_twenty_times(trash: Bin) -> None:
    kept = trash.edits(20)
    assert trash.bytes_kept() < SIZE * 1.5
    trash.all_are_there()
    stat = (trash.base / "trash" / kept[3].batch / kept[3].path).stat()
    assert (stat.st_mode & 0o777, int(stat.st_mtime)) == (0o640, 1_700_000_000 + 5)


# -- what leaves, and what comes back -----------------------------------------------------


def test_a_version_that_others_are_made_from_leaves_and_they_stay(trash: Bin) -> None:
    kept = trash.edits(6)
    for gone in (kept[5], kept[2], kept[0]):
        trash_restore.drop_versions(trash.trash, [gone])
        del trash.versions[gone]
        trash.all_are_there()
    assert set(trash.trash.resized) >= {kept[4], kept[1]}, "what became whole takes more room"


def test_the_folder_of_a_run_leaves_and_what_is_made_from_it_stays(trash: Bin) -> None:
    kept = trash.edits(5)
    trash_restore.drop(trash.trash, [kept[1].batch, kept[2].batch])
    del trash.versions[kept[1]], trash.versions[kept[2]]
    trash.all_are_there()
    assert {p.name for p in (trash.base / "trash/.syncer").iterdir()} == {kept[3].batch}


def test_all_leave_and_nothing_is_left(trash: Bin) -> None:
    kept = trash.edits(5)
    trash_restore.drop(trash.trash, [one.batch for one in kept])
    assert trash.files() == [] and list((trash.base / "trash/.syncer").iterdir()) == []


def test_old_versions_leave_first_without_being_made_whole(trash: Bin) -> None:
    kept = trash.edits(5)
    trash.disk.calls.clear()
    trash_restore.drop_versions(trash.trash, kept[:2])
    assert "create" not in trash.disk.names()
    for gone in kept[:2]:
        del trash.versions[gone]
    trash.all_are_there()


def test_a_chain_of_versions_has_a_whole_one_now_and_then(trash: Bin) -> None:
    kept = trash.edits(CHAIN + 4)
    whole = [one for one in kept if (trash.base / "trash" / one.batch / one.path).stat().st_size >= SIZE]
    assert whole == [kept[CHAIN - 1], kept[-1]]
    trash.all_are_there()


# -- what is not touched -------------------------------------------------------------------


def test_a_program_that_still_has_the_old_file_open_writes_into_the_trash(trash: Bin) -> None:
    first = trash.throw(noise(1, SIZE))
    place = trash.base / "trash" / first.batch / first.path
    with place.open("r+b") as late:
        second = trash.throw(trash.edited(noise(1, SIZE)), compact=False)
        assert trash_deltas.compact(trash.trash, [second], least=SMALL) == [second], "to be tried again"
        late.write(b"late")
    trash.versions[first] = b"late" + trash.versions[first][4:]
    trash.all_are_there()
    assert trash_deltas.compact(trash.trash, [second], least=SMALL) == []
    trash.all_are_there()
    assert place.stat().st_size < SMALL


def test_a_newer_version_that_is_still_written_to_is_nothing_to_make_another_from(trash: Bin) -> None:
    first = trash.throw(noise(1, SIZE))
    second = trash.throw(trash.edited(noise(1, SIZE)), compact=False)
    with (trash.base / "trash" / second.batch / second.path).open("r+b") as late:
        assert trash_deltas.compact(trash.trash, [second], least=SMALL) == [second]
        late.write(b"late")
    trash.versions[second] = b"late" + trash.versions[second][4:]
    assert trash.read(first) == trash.versions[first]
    trash.all_are_there()


def test_a_file_with_a_second_name_stays_whole(trash: Bin) -> None:
    first = trash.throw(noise(1, SIZE))
    place = trash.base / "trash" / first.batch / first.path
    os.link(place, trash.base / "elsewhere")
    second = trash.throw(trash.edited(noise(1, SIZE)), compact=False)
    trash_deltas.compact(trash.trash, [second], least=SMALL)
    assert place.stat().st_size == SIZE


def test_versions_that_have_little_in_common_stay_whole(trash: Bin) -> None:
    trash.throw(noise(1, SIZE))
    trash.throw(noise(2, SIZE))
    assert trash.bytes_kept() == 2 * SIZE
    trash.all_are_there()


def test_a_file_that_looks_like_a_delta_is_a_file(trash: Bin) -> None:
    kept = trash.edits(2)
    look_alike = (trash.base / "trash" / kept[0].batch / kept[0].path).read_bytes()
    trash.throw(look_alike, "d/other")
    trash.all_are_there()


def test_a_full_disk_leaves_everything_as_it_is(trash: Bin) -> None:
    trash.throw(noise(1, SIZE))
    second = trash.throw(trash.edited(noise(1, SIZE)), compact=False)
    trash.disk.before = failing("write", errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        trash_deltas.compact(trash.trash, [second], least=SMALL)
    trash.disk.before = lambda method, arguments: None
    trash.all_are_there()
    assert not [p for p in trash.files() if p.name.startswith(".syncer-tmp-")]


def test_what_is_needed_does_not_leave_while_the_disk_is_full(trash: Bin) -> None:
    kept = trash.edits(3)
    trash.disk.before = failing("write", errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        trash_restore.drop_versions(trash.trash, [kept[2]])
    trash.disk.before = lambda method, arguments: None
    trash.all_are_there()


def test_a_damaged_delta_is_said_to_be_one_and_harms_no_other(trash: Bin) -> None:
    kept = trash.edits(4)
    place = trash.base / "trash" / kept[1].batch / kept[1].path
    data = bytearray(place.read_bytes())
    data[100] ^= 1  # a literal byte
    place.write_bytes(data)
    with trash_deltas.opened(trash.trash) as deltas:
        assert deltas is not None
        for broken in kept[:2]:
            with pytest.raises(BadDelta, match="damaged"):
                deltas.make_whole(broken)
    assert [trash.read(one) for one in kept[2:]] == [trash.versions[one] for one in kept[2:]]
    trash_restore.drop_versions(trash.trash, [kept[3]])
    assert trash.read(kept[2]) == trash.versions[kept[2]]


def test_two_that_work_on_one_trash_wait_for_each_other(trash: Bin) -> None:
    kept = trash.edits(2)
    with trash_deltas.opened(trash.trash), pytest.raises(BlockingIOError, match="another Syncer"):
        trash_restore.drop_versions(trash.trash, [kept[1]])
    trash.all_are_there()


# -- deaths ---------------------------------------------------------------------------------


class Death(BaseException):
    """The process is gone."""


CHANGES = frozenset(
    {"create", "write", "link", "rename", "unlink", "rmdir", "mkdir", "sync", "set_mode", "set_times"}
)


def deaths(trash: Bin, work: Callable[[], object]) -> int:
    """Lets it die before each change on the disk, and looks what is there; answers how often."""
    for number in range(1, 200):
        left = number

        def die(method: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if method in CHANGES:
                left -= 1
                if left <= 0:
                    raise Death

        trash.disk.before = die
        try:
            work()
        except Death:
            trash.disk.before = lambda method, arguments: None
            trash.all_are_there()
            continue
        finally:
            trash.disk.before = lambda method, arguments: None
        return number
    raise AssertionError("it never ends")


def test_a_death_while_a_version_is_made_smaller_loses_none(trash: Bin) -> None:
    trash.edits(3)
    newest = trash.throw(
        trash.edited(trash.versions[max(trash.versions, key=lambda k: k.batch)]), compact=False
    )
    assert deaths(trash, lambda: trash_deltas.compact(trash.trash, [newest], least=SMALL)) > 8
    trash.all_are_there()
    assert trash.bytes_kept() < SIZE * 1.3
    assert not [p for p in trash.files() if p.name.startswith(".syncer-tmp-")], "what the dead left is gone"


def test_a_death_while_a_version_is_made_whole_loses_none(trash: Bin) -> None:
    kept = trash.edits(4)

    def work() -> None:
        with trash_deltas.opened(trash.trash) as deltas:
            assert deltas is not None
            deltas.make_whole(kept[1])

    assert deaths(trash, work) > 6
    trash.all_are_there()


def test_a_death_while_what_others_need_leaves_loses_none(trash: Bin) -> None:
    kept = trash.edits(4)

    def work() -> None:
        with trash_deltas.opened(trash.trash) as deltas:
            assert deltas is not None
            deltas.release([kept[3]])

    assert deaths(trash, work) > 6
    trash.all_are_there()


def test_a_version_gives_way_only_when_its_delta_is_durable_and_was_read_back(trash: Bin) -> None:
    trash.edits(1)
    second = trash.throw(trash.edited(noise(7, SIZE)), compact=False)
    trash.disk.calls.clear()
    trash_deltas.compact(trash.trash, [second], least=SMALL)
    names, calls = trash.disk.names(), trash.disk.calls
    written, linked, renamed = (
        max(i for i, n in enumerate(names) if n == w) for w in ("write", "link", "rename")
    )
    delta = calls[written][1][0]
    assert "open_read" in names[written:linked], "it is read back"
    assert ("sync", (delta,)) in calls[written:linked], "it is durable"
    assert "sync" in names[linked:renamed], "its mark is durable"
    assert "sync" in names[renamed:]


def test_a_delta_that_makes_something_else_is_thrown_away(trash: Bin) -> None:
    """As a false match of the search would: what is read back is not what was there."""
    first = trash.throw(noise(1, SIZE))
    second = trash.throw(trash.edited(noise(1, SIZE)), compact=False)
    flipped = False

    def flip(method: str, arguments: tuple[object, ...]) -> None:
        nonlocal flipped
        if method == "open_read" and str(arguments[0]).startswith(".syncer-tmp-") and not flipped:
            flipped = True
            [passing] = (trash.base / "trash/.syncer").glob(".syncer-tmp-*")
            data = bytearray(passing.read_bytes())
            data[0] ^= 1
            passing.write_bytes(data)

    trash.disk.before = flip
    trash_deltas.compact(trash.trash, [second], least=SMALL)
    assert flipped
    trash.all_are_there()
    assert (trash.base / "trash" / first.batch / first.path).stat().st_size == SIZE
