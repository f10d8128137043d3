"""What the file system of a root does: found out once by trying, kept, and used by every protocol."""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.engine.interfaces import (
    Capabilities,
    DeleteRequest,
    RenameRequest,
    SetAttributesRequest,
    WriteRequest,
)
from syncer.engine.model import Done, Entry, Failed, Kind, Stale
from syncer.engine.paths import unholdable
from syncer.errors import Unholdable
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.traits import USUAL
from tests.contract.doubles import failing, let_the_disk_tick
from tests.contract.rigs import FolderRig, in_order
from tests.simulation.manners import (
    APFS,
    BTRFS,
    CASEFOLD,
    CRYFS,
    ECRYPTFS,
    ENCFS,
    EXFAT,
    HFS,
    MERGERFS,
    NO_X,
    NTFS,
    POOR,
    RCLONE,
    SSHFS,
    VFAT,
    Manner,
    OddDisk,
)

KEPT = ".syncer/traits"
BAD = '"*:<>?|'
FAT = '"*:<>?\\|\x01\n\x1f'


@pytest.fixture
def on(tmp_path: Path) -> Callable[[Manner], FolderRig]:
    return lambda manner: FolderRig(tmp_path, OddDisk(manner))


def names(rig: FolderRig) -> list[str]:
    return sorted(name for name in os.listdir(rig.root) if name != ".syncer")


FOUND = {
    "sshfs": (SSHFS, {"links": False, "link_times": False}),
    "mergerfs": (MERGERFS, {"links": False, "inodes": False}),
    "rclone": (RCLONE, {"executable": False, "links": False, "link_error": errno.EIO, "inodes": False}),
    "cryfs": (CRYFS, {"links": False, "link_error": errno.ERANGE}),
    "ntfs": (NTFS, {"executable": False}),
    "no x": (NO_X, {"executable": False, "modes": False, "links": False, "link_error": errno.EPERM}),
    "encfs": (ENCFS, {"max_name_bytes": 189}),
    "btrfs": (BTRFS, {}),
    "exfat": (
        EXFAT,
        {
            "executable": False, "links": False, "link_error": errno.EPERM, "symlinks": False,
            "link_times": False, "forbidden": FAT, "mtime_granularity_ns": 1_000_000_000, "any_bytes": False,
            "folds_case": True,
        },
    ),
    "vfat": (
        VFAT,
        {
            "executable": False, "links": False, "link_error": errno.EPERM, "symlinks": False,
            "link_times": False, "forbidden": FAT, "forbidden_ends": ". ", "any_bytes": False,
            "mtime_granularity_ns": 2_000_000_000, "folds_case": True, "largest_file": 2**32 - 1,
        },
    ),
    "poor": (
        POOR,
        {
            "executable": False, "modes": False, "links": False, "link_error": errno.ENOSYS, "inodes": False,
            "symlinks": False, "link_times": False, "forbidden": BAD, "forbidden_ends": ". ",
            "mtime_granularity_ns": 2_000_000_000, "folds_case": True,
        },
    ),
    "ecryptfs": (ECRYPTFS, {"max_name_bytes": 143}),
    "apfs": (APFS, {"folds_case": True, "folds_form": True}),
    "casefold": (CASEFOLD, {"folds_case": True, "folds_form": True}),
    "hfs": (HFS, {"folds_case": True, "folds_form": True, "keeps_form": False}),
}  # fmt: skip


@pytest.mark.parametrize(("manner", "different"), FOUND.values(), ids=FOUND)
def test_the_traits_are_those_of_the_file_system(
    on: Callable[[Manner], FolderRig], manner: Manner, different: dict[str, object]
) -> None:
    rig = on(manner)
    assert rig.store.traits == replace(USUAL, **different)
    made = sorted(unicodedata.normalize("NFC", name) for name in os.listdir(rig.root / ".syncer"))
    assert made == [".gitignore", "probé", "root-id", "traits"]


def test_an_ordinary_disk_is_used_as_it_is(rig: FolderRig) -> None:
    assert rig.store.traits == USUAL
    assert rig.store._ground.fs is rig.disk


@pytest.mark.parametrize("manner", [RCLONE, CRYFS, NO_X, EXFAT, POOR], ids=str)
def test_a_root_whose_file_system_fails_at_links_could_not_be_marked(
    on: Callable[[Manner], FolderRig], manner: Manner
) -> None:
    """A first marker is named so that it replaces none: by a link, where that works."""
    rig = on(manner)
    (rig.root / ".syncer/root-id").unlink()
    again_at(rig).store.write_root_id("ef" * 16, only_first=True)
    assert (rig.root / ".syncer/root-id").read_text() == "ef" * 16 + "\n"


def test_what_was_found_out_is_not_tried_again(on: Callable[[Manner], FolderRig]) -> None:
    rig = on(VFAT)
    rig.disk.calls.clear()
    again = again_at(rig)
    assert again.store.traits == rig.store.traits
    assert not {"create", "mkdir", "rename", "link"} & set(rig.disk.names())


def again_at(rig: FolderRig) -> FolderRig:
    """The same root opened by another run."""
    other = FolderRig.__new__(FolderRig)
    other.root, other.disk, other.clock = rig.root, rig.disk, rig.clock
    other.store = type(rig.store)(str(rig.root), fs=rig.disk, clock=rig.clock, tag="89abcdef")
    return other


def test_a_root_marked_by_an_older_syncer_is_tried_when_it_is_opened(
    on: Callable[[Manner], FolderRig],
) -> None:
    rig = on(EXFAT)
    (rig.root / KEPT).unlink()
    assert again_at(rig).store.traits == rig.store.traits and (rig.root / KEPT).exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"format": 1}', b'{"format": 99}', b"\xff" * 9000])
def test_a_damaged_file_of_traits_is_made_anew(on: Callable[[Manner], FolderRig], content: bytes) -> None:
    rig = on(MERGERFS)
    (rig.root / KEPT).write_bytes(content)
    assert again_at(rig).store.traits == rig.store.traits
    assert json.loads((rig.root / KEPT).read_bytes())["links"] is False


def test_a_mount_with_other_modes_is_tried_again(on: Callable[[Manner], FolderRig]) -> None:
    """NTFS mounted with fmask=133 yesterday and without it today, or a root on which chmod -R was called."""
    rig = on(NTFS)
    rig.disk.real.manner = Manner()
    assert again_at(rig).store.traits == USUAL
    for file in (rig.root / ".syncer").iterdir():
        file.chmod(0o755)
    assert again_at(rig).store.traits == USUAL
    rig.disk.calls.clear()
    assert again_at(rig).store.traits == USUAL and "create" not in rig.disk.names()


def test_a_disk_that_cannot_be_tried_is_taken_for_an_ordinary_one(on: Callable[[Manner], FolderRig]) -> None:
    rig = on(SSHFS)
    (rig.root / KEPT).unlink()
    rig.disk.before = failing("mkdir", errno.EROFS)
    assert again_at(rig).store.traits == USUAL


def test_what_a_death_left_while_trying_is_cleared(on: Callable[[Manner], FolderRig]) -> None:
    rig = on(SSHFS)
    left = rig.root / ".syncer" / ".syncer-tmp-0123abcd00000000"
    left.mkdir()
    (left / "x").write_bytes(b"")
    rig.store.write_root_id("cd" * 16)
    assert not left.exists()


class MadeByAnother(FileSystem):
    """A disk on which one directory belongs to a user who is not this one."""

    def __init__(self, place: str) -> None:
        self.inode = os.stat(place).st_ino

    def fstat(self, fd: int) -> os.stat_result:
        found = super().fstat(fd)
        owner = 4_000_000_000 if found.st_ino == self.inode else found.st_uid
        return os.stat_result((*found[:4], owner, *found[5:10]))


def test_the_word_of_another_user_about_the_disk_counts_for_nothing(rig: FolderRig) -> None:
    """Where others may write to the root, one of them may have made `.syncer`."""
    kept = rig.root / KEPT
    told = json.loads(kept.read_bytes())
    kept.write_text(json.dumps({**told, "largest_file": 1}))
    assert again_at(rig).store.traits.largest_file == 1
    rig.disk.real = MadeByAnother(str(rig.root / ".syncer"))
    assert again_at(rig).store.traits == USUAL


# Numbers of inodes that are made up


def test_after_each_mount_every_file_was_read_again(on: Callable[[Manner], FolderRig]) -> None:
    """On sshfs that is a download of everything at each login. The first other mount is noticed, once."""
    rig = on(SSHFS)
    rig.write("f", b"x")
    rig.disk.real.remount()
    first = again_at(rig)
    assert not first.store.traits.lasting_inodes
    seen = first.entry("f")
    rig.disk.real.remount()
    second = again_at(rig)
    assert not second.store.traits.lasting_inodes
    assert second.entry("f").version == seen.version
    first.clock.sleep(1.0)
    assert second.store.list("").fingerprint == again_at(rig).store.list("").fingerprint is not None


def test_a_root_that_was_copied_on_an_ordinary_disk_keeps_its_numbers(rig: FolderRig) -> None:
    marker = rig.root / ".syncer/root-id"
    content = marker.read_bytes()
    marker.rename(rig.root / ".syncer/old")
    marker.write_bytes(content)
    marker.chmod(0o600)
    assert again_at(rig).store.traits == USUAL


@pytest.mark.parametrize("manner", [SSHFS, MERGERFS, RCLONE, CRYFS, NO_X], ids=str)
def test_a_rename_on_made_up_numbers_was_changed_at_the_last_moment_for_ever(
    on: Callable[[Manner], FolderRig], manner: Manner
) -> None:
    rig = on(manner)
    rig.write("f", b"x")
    item = RenameRequest(origin="f", path="g", expected=rig.entry("f"))
    assert isinstance(in_order(rig.store.rename([item]), 1)[0], Done)
    assert names(rig) == ["g"]


def test_a_rename_still_finds_an_edit_without_numbers(on: Callable[[Manner], FolderRig]) -> None:
    rig = on(MERGERFS)
    rig.write("f", b"x")
    item = RenameRequest(origin="f", path="g", expected=rig.entry("f"))
    rig.disk.before = once(rig, "rename", lambda: rig.write("f", b"an edit"))
    assert isinstance(in_order(rig.store.rename([item]), 1)[0], Stale)
    assert names(rig) == ["f"] and rig.read("f") == b"an edit"


def once(rig: FolderRig, method: str, act: Callable[[], None]) -> Callable[[str, tuple[object, ...]], None]:
    left = [act]

    def before(called: str, arguments: tuple[object, ...]) -> None:
        if called == method and left:
            left.pop()()

    return before


# The trash without hard links


@pytest.mark.parametrize("manner", [SSHFS, RCLONE, CRYFS, NO_X, EXFAT, POOR], ids=str)
def test_without_links_what_goes_is_moved_into_the_trash_and_not_copied(
    on: Callable[[Manner], FolderRig], manner: Manner
) -> None:
    """A full disk could not be emptied: each deletion needed room for a copy."""
    rig = on(manner)
    rig.write("gone", b"deleted")
    rig.write("old", b"replaced")
    gone, old = rig.entry("gone"), rig.entry("old")
    rig.disk.calls.clear()
    assert isinstance(in_order(rig.store.delete([DeleteRequest(path="gone", expected=gone)]), 1)[0], Done)
    assert "create" not in rig.disk.names() and "write" not in rig.disk.names()
    assert isinstance(rig.put("old", b"new", expected=old), Done)
    assert sorted(rig.kept()) == [b"deleted", b"replaced"]
    assert names(rig) == ["old"] and rig.read("old") == b"new"


@pytest.mark.parametrize("what", ["delete", "put"])
def test_an_edit_right_before_it_is_moved_into_the_trash_has_its_name_again(
    on: Callable[[Manner], FolderRig], what: str
) -> None:
    rig = on(CRYFS)
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = once(rig, "rename", lambda: rig.write("f", b"an edit"))
    if what == "delete":
        outcome = in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)[0]
    else:
        outcome = rig.put("f", b"new", expected=planned)
    assert isinstance(outcome, Stale)
    assert rig.read("f") == b"an edit" and names(rig) == ["f"]


def test_a_replaced_file_has_its_name_again_if_the_new_one_cannot_be_named(
    on: Callable[[Manner], FolderRig],
) -> None:
    rig = on(CRYFS)
    rig.write("f", b"old")
    planned = rig.entry("f")

    def before(called: str, arguments: tuple[object, ...]) -> None:
        if called == "rename" and str(arguments[0]).startswith(".syncer-tmp-"):
            raise OSError(errno.EIO, "broken")

    rig.disk.before = before
    assert isinstance(rig.put("f", b"new", expected=planned), Failed)
    rig.disk.before = lambda method, arguments: None
    assert rig.read("f") == b"old" and names(rig) == ["f"]


def test_an_edit_within_one_tick_of_a_coarse_clock_was_dropped_with_what_it_replaced(
    on: Callable[[Manner], FolderRig],
) -> None:
    """By its stamp it is what was to be deleted: it is taken for that, and is in the trash."""
    rig = on(replace(EXFAT, numbers="name"))
    rig.write("f", b"old")
    os.utime(rig.root / "f", ns=(10**9, 10**9))
    planned = rig.entry("f")

    def edit() -> None:
        rig.write("f", b"new")
        os.utime(rig.root / "f", ns=(10**9, 10**9))

    rig.disk.before = once(rig, "rename", edit)
    in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)
    assert b"new" in rig.kept()


# The executable bit


@pytest.mark.parametrize("manner", [NTFS, NO_X, RCLONE, VFAT, EXFAT, POOR], ids=str)
def test_a_bit_that_means_nothing_was_handed_to_the_other_side(
    on: Callable[[Manner], FolderRig], manner: Manner
) -> None:
    rig = on(manner)
    rig.write("f", b"x")
    entry = rig.entry("f")
    assert entry.executable is None and not rig.store.capabilities.executable
    shown = rig.store.list("").entries["f"]
    assert isinstance(shown, Entry) and shown.executable is None
    for wanted in (True, False):
        item = SetAttributesRequest(path="f", expected=rig.entry("f"), mtime_ns=5 * 10**9, executable=wanted)
        assert isinstance(in_order(rig.store.set_attributes([item]), 1)[0], Done)
        assert isinstance(rig.put(f"g{wanted}", b"y", executable=wanted), Done)


# Symlinks


def test_the_time_of_a_symlink_was_given_to_its_target_outside_the_root(
    on: Callable[[Manner], FolderRig], tmp_path: Path
) -> None:
    rig = on(SSHFS)
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    os.utime(outside, ns=(7, 7))
    rig.write("target", b"")
    before = os.stat(rig.root / "target").st_mtime_ns
    assert isinstance(rig.put_link("dangling", "nowhere"), Done)
    for name, target in (("l", "../outside"), ("m", "target"), ("n", "nowhere")):
        item = replace(link_item(name, target), mtime_ns=10**18)
        assert isinstance(rig.put_all([item])[0], Done)
        change = SetAttributesRequest(
            path=name, expected=rig.entry(name), mtime_ns=2 * 10**18, executable=None
        )
        assert isinstance(in_order(rig.store.set_attributes([change]), 1)[0], Done)
    assert os.stat(outside).st_mtime_ns == 7 and os.stat(rig.root / "target").st_mtime_ns == before


def link_item(path: str, target: str) -> WriteRequest:
    return WriteRequest(
        path=path, kind=Kind.SYMLINK, source=None, size=len(target), expected=None, target=target
    )


# What cannot be held


def test_what_the_file_system_cannot_hold_is_known_before_it_is_tried(
    on: Callable[[Manner], FolderRig],
) -> None:
    able = on(VFAT).store.capabilities
    assert not able.symlinks
    refused = [n for n in ("a:b", "what?", "dots...", "fine.txt", "a.b.c") if unholdable(n, able)]
    assert refused == ["a:b", "what?", "dots..."]


@pytest.mark.parametrize("name", ["con", "NUL", "Aux.txt", "com1", "lpt9.tar.gz", "prn .x"])
def test_names_of_devices_are_refused_where_the_file_system_refuses_them(name: str) -> None:
    assert unholdable(name, Capabilities(reserved_names=True)) and not unholdable(name, Capabilities())
    assert not unholdable(f"x{name}", Capabilities(reserved_names=True))


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EINVAL])
def test_a_name_that_is_refused_left_its_content_to_be_swept_into_the_trash(
    on: Callable[[Manner], FolderRig], code: int
) -> None:
    """exFAT by FUSE answers ENOENT: 20 MB more in the trash after every run."""
    rig = on(EXFAT)
    rig.disk.before = lambda method, arguments: fail_naming(method, arguments, code)
    outcome = rig.put("f\u2028", b"x" * 1000)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)
    assert names(rig) == []


def fail_naming(method: str, arguments: tuple[object, ...], code: int) -> None:
    if method == "rename" and str(arguments[2]).startswith("f"):
        raise OSError(code, os.strerror(code))


def test_the_largest_file_is_learnt_from_the_first_that_is_too_large(
    on: Callable[[Manner], FolderRig],
) -> None:
    rig = on(VFAT)
    outcome = rig.put("big", b"x" * 150_000)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)
    assert names(rig) == [] and rig.store.capabilities.max_file_bytes == 100_000
    assert again_at(rig).store.capabilities.max_file_bytes == 100_000
    assert isinstance(rig.put("fits", b"x" * 100_000), Done)


def test_a_file_system_that_says_nothing_of_its_room_was_taken_for_full(
    on: Callable[[Manner], FolderRig],
) -> None:
    assert on(SSHFS).store.free_space() is None


# What comes after a transfer


@pytest.mark.parametrize("manner", [SSHFS, MERGERFS, CRYFS, NTFS], ids=str)
def test_what_was_put_has_the_stamp_that_a_later_look_shows(
    on: Callable[[Manner], FolderRig], manner: Manner
) -> None:
    """Else the next run reads it all again."""
    rig = on(manner)
    outcomes = rig.put_all([rig.item(f"f{n}", b"%d" % n) for n in range(5)])
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, Done) and outcome.entry is not None and outcome.entry.trusted
        assert again_at(rig).entry(f"f{number}").version == outcome.entry.version


@pytest.mark.parametrize("manner", [SSHFS, BTRFS], ids=["sshfs", "btrfs"])
def test_a_second_look_at_a_directory_shows_what_came_since_the_first(
    on: Callable[[Manner], FolderRig], manner: Manner
) -> None:
    rig = on(manner)
    rig.write("a", b"")
    assert set(rig.store.list("").entries) == {"a"}
    rig.write("b", b"")
    let_the_disk_tick(rig.root)
    assert set(rig.store.list("").entries) == {"a", "b"}
    state = rig.store.root()
    assert state is not None and not state.empty
