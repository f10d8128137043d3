"""Putting files into a folder: races at the last moment, order of durability, a disk that says no."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest

from syncer.engine.model import Done, Failed, Stale
from syncer.errors import NoSpace, PermanentError, TransientError
from syncer.testing.scans import changed_directories
from tests.contract.doubles import failing, let_the_disk_tick, once_before
from tests.contract.rigs import FolderRig

UNSUPPORTED = {"rename_noreplace", "exchange"}


def names(rig: FolderRig) -> list[str]:
    return sorted(name for name in os.listdir(rig.root) if name != ".syncer")


def without(*methods: str, then: Callable[..., None] = lambda method, arguments: None) -> Callable[..., None]:
    """A disk that lacks these calls, as network mounts do."""

    def before(called: str, arguments: tuple[object, ...]) -> None:
        if called in methods:
            raise OSError(errno.EINVAL, "unsupported")
        then(called, arguments)

    return before


def replace_by_rename(rig: FolderRig, path: str, data: bytes) -> Callable[[], None]:
    """How an editor saves: a new file renamed over the old one."""

    def act() -> None:
        beside = rig.root / "editor~"
        beside.write_bytes(data)
        os.replace(beside, rig.root / path)

    return act


@pytest.mark.parametrize("save", ["in place", "by rename"])
def test_an_edit_right_before_the_exchange_keeps_its_name(rig: FolderRig, save: str) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    by_rename = replace_by_rename(rig, "f", b"edited")
    rig.disk.before = once_before(
        "exchange", by_rename if save == "by rename" else lambda: rig.write("f", b"edited")
    )
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert rig.read("f") == b"edited" and names(rig) == ["f"]


def test_an_edit_between_both_exchanges_is_kept_too(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    edits = [b"first edit", b"second edit"]

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "exchange" and edits:
            replace_by_rename(rig, "f", edits.pop(0))()

    rig.disk.before = before
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    found = {rig.read("f"), *rig.kept()}
    assert {b"first edit", b"second edit"} <= found and names(rig) == ["f"]


def test_a_delete_right_before_the_exchange_stands(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = once_before("exchange", lambda: rig.remove("f"))
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert names(rig) == []


def test_a_delete_between_both_exchanges_gives_the_name_to_the_edit(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    acts = [replace_by_rename(rig, "f", b"edited"), lambda: rig.remove("f")]

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "exchange" and acts:
            acts.pop(0)()

    rig.disk.before = before
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert rig.read("f") == b"edited" and names(rig) == ["f"]


def test_a_file_that_appears_right_before_the_rename_keeps_its_name(rig: FolderRig) -> None:
    rig.disk.before = once_before("rename_noreplace", lambda: rig.write("f", b"theirs"))
    assert isinstance(rig.put("f", b"ours"), Stale)
    assert rig.read("f") == b"theirs" and names(rig) == ["f"]


def test_a_parent_that_becomes_a_symlink_is_not_followed(rig: FolderRig, tmp_path: object) -> None:
    rig.mkdir("d")
    outside = rig.root.parent / "outside"
    outside.mkdir()

    def swap() -> None:
        (rig.root / "d").rename(rig.root / "was-d")
        (rig.root / "d").symlink_to(outside)

    rig.disk.before = once_before("open_directory", swap)
    assert isinstance(rig.put("d/f", b"x"), Stale)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("taken", [False, True])
def test_a_disk_without_noreplace_and_exchange_still_works(rig: FolderRig, taken: bool) -> None:
    if taken:
        rig.write("f", b"old")
    rig.disk.before = without(*UNSUPPORTED)
    assert isinstance(rig.put("f", b"new", expected=rig.entry("f") if taken else None), Done)
    assert rig.read("f") == b"new" and names(rig) == ["f"]
    assert rig.kept() == ([b"old"] if taken else [])


def test_without_exchange_an_edit_at_the_last_moment_keeps_its_name(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    edit = once_before("rename", replace_by_rename(rig, "f", b"edited"))
    rig.disk.before = without(*UNSUPPORTED, then=edit)
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert rig.read("f") == b"edited" and names(rig) == ["f"]


def test_without_exchange_a_file_made_in_the_gap_keeps_its_name(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    count = [0]

    def second_link(method: str, arguments: tuple[object, ...]) -> None:
        count[0] += method == "link"
        if method == "link" and count[0] == 2:
            rig.write("f", b"theirs")

    rig.disk.before = without(*UNSUPPORTED, then=second_link)
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert rig.read("f") == b"theirs" and names(rig) == ["f"] and rig.kept() == [b"old"]


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_a_file_cannot_be_linked_into_the_trash_it_is_copied(rig: FolderRig, code: int) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = failing("link", code)
    assert isinstance(rig.put("f", b"new", expected=planned), Done)
    assert rig.read("f") == b"new" and rig.kept() == [b"old"]


def test_a_copy_into_the_trash_that_is_refused_leaves_no_part_there(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "link":
            raise OSError(errno.EXDEV, "elsewhere")
        if method == "read" and "link" in rig.disk.names():
            rig.write("f", b"edited meanwhile")

    rig.disk.before = before
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert rig.read("f") == b"edited meanwhile"
    assert list(rig.root.parent.rglob(".syncer-tmp-*")) == [] and rig.kept() == []


def order(rig: FolderRig, *methods: str) -> list[str]:
    return [name for name in rig.disk.names() if name in methods]


def test_a_small_batch_is_durable_step_by_step(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.calls.clear()
    rig.put("f", b"new", expected=planned)
    steps = order(rig, "create", "write", "sync", "link", "exchange", "unlink")
    assert steps[:4] == ["create", "write", "write", "sync"]
    assert steps.index("link") < steps.index("exchange") < steps.index("unlink")
    assert "sync" in steps[steps.index("link") : steps.index("exchange")]
    assert steps[-1] == "sync"


def test_a_large_batch_is_synced_at_once_before_anything_is_named(rig: FolderRig) -> None:
    rig.disk.calls.clear()
    outcomes = rig.put_all([rig.item(f"f{n}", b"x") for n in range(40)])
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    steps = order(rig, "write", "sync", "sync_file_system", "rename_noreplace")
    assert steps == ["write"] * 40 + ["sync_file_system"] + ["rename_noreplace"] * 40 + ["sync"]


def test_a_large_batch_without_syncfs_syncs_each_file(rig: FolderRig) -> None:
    rig.disk.before = failing("sync_file_system", errno.ENOSYS)
    rig.disk.calls.clear()
    rig.put_all([rig.item(f"f{n}", b"x") for n in range(40)])
    steps = order(rig, "sync", "rename_noreplace")
    assert steps == ["sync"] * 40 + ["rename_noreplace"] * 40 + ["sync"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EACCES, PermanentError),
        (errno.EROFS, PermanentError),
        (errno.EIO, TransientError),
    ],
)
@pytest.mark.parametrize("method", ["create", "write", "set_mode", "sync", "link", "exchange"])
def test_a_disk_that_says_no_leaves_the_old_file_and_no_temporary(
    rig: FolderRig, method: str, code: int, error: type[Exception]
) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = failing(method, code)
    outcome = rig.put("f", b"new", expected=planned)
    if (method, code) == ("link", errno.EACCES):
        assert isinstance(outcome, Done)  # not ours to link: copied into the trash
        return
    assert isinstance(outcome, Failed) and isinstance(outcome.error, error), outcome
    assert rig.read("f") == b"old" and names(rig) == ["f"]


def test_after_a_failed_sync_nothing_is_synced_again(rig: FolderRig) -> None:
    rig.disk.before = failing("sync", errno.EIO)
    rig.disk.calls.clear()
    assert isinstance(rig.put("f", b"new"), Failed)
    assert order(rig, "sync", "rename_noreplace") == ["sync"] and names(rig) == []


def test_after_a_failed_syncfs_nothing_of_the_batch_is_named(rig: FolderRig) -> None:
    rig.disk.before = failing("sync_file_system", errno.EIO)
    outcomes = rig.put_all([rig.item(f"f{n}", b"x") for n in range(40)])
    assert all(isinstance(outcome, Failed) for outcome in outcomes) and names(rig) == []


def test_names_that_are_not_durable_are_not_done(rig: FolderRig) -> None:
    root = (rig.root).stat().st_ino
    rig.disk.before = failing("sync", errno.EIO, when=lambda a: os.fstat(a[0]).st_ino == root)
    assert isinstance(rig.put("f", b"new"), Failed)


def test_one_full_disk_does_not_stop_the_other_items(rig: FolderRig) -> None:
    rig.disk.before = failing("write", errno.ENOSPC, when=lambda a: a[1] == b"bb")
    first, second, third = rig.put_all([rig.item("a", b"a"), rig.item("b", b"bbbb"), rig.item("c", b"c")])
    assert isinstance(first, Done) and isinstance(second, Failed) and isinstance(third, Done)


def test_a_replaced_file_keeps_its_permission_bits(rig: FolderRig) -> None:
    rig.write("f", b"old")
    os.chmod(rig.root / "f", 0o640)
    rig.put("f", b"new", expected=rig.entry("f"), executable=True)
    assert stat.S_IMODE((rig.root / "f").stat().st_mode) == 0o750


def test_a_new_file_gets_the_usual_permission_bits(rig: FolderRig) -> None:
    rig.put("f", b"new")
    rig.put("x", b"new", executable=True)
    mask = rig.disk.real.umask()
    assert stat.S_IMODE((rig.root / "f").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((rig.root / "x").stat().st_mode) == 0o777 & ~mask


def test_setuid_is_never_carried_over(rig: FolderRig) -> None:
    rig.write("f", b"old")
    os.chmod(rig.root / "f", 0o4755)
    rig.put("f", b"new", expected=rig.entry("f"), executable=True)
    assert stat.S_IMODE((rig.root / "f").stat().st_mode) == 0o755


def test_a_hard_link_s_other_name_keeps_the_old_content(rig: FolderRig) -> None:
    rig.write("f", b"old")
    os.link(rig.root / "f", rig.root / "g")
    rig.put("f", b"new", expected=rig.entry("f"))
    assert (rig.read("f"), rig.read("g")) == (b"new", b"old")


def test_bytes_of_a_late_writer_land_in_the_trash(rig: FolderRig) -> None:
    rig.write("f", b"old")
    with open(rig.root / "f", "ab") as late:
        rig.put("f", b"new", expected=rig.entry("f"))
        late.write(b" and late")
    assert rig.read("f") == b"new" and rig.kept() == [b"old and late"]


def test_an_edit_right_after_the_rename_is_not_taken_for_ours(rig: FolderRig) -> None:
    acts = [lambda: rig.write("f", b"edited")]

    def before(method: str, arguments: tuple[object, ...]) -> None:
        placed = "rename_noreplace" in rig.disk.names()
        if method == "stat" and placed and acts:
            acts.pop()()

    rig.disk.before = before
    outcome = rig.put("f", b"ours", mtime_ns=5)
    assert isinstance(outcome, Done) and outcome.entry is not None
    assert outcome.entry.version != rig.entry("f").version and rig.read("f") == b"edited"


def test_an_edit_that_hides_behind_size_and_mtime_is_not_trusted(rig: FolderRig) -> None:
    looks: list[str] = []

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "stat" and "rename_noreplace" in rig.disk.names():
            looks.append(method)
            if len(looks) == 2:  # the first look is taken at the name's birth, the second is the late one
                let_the_disk_tick(rig.root)
                rig.write("f", b"mine")
                os.utime(rig.root / "f", ns=(5, 5))

    rig.disk.before = before
    outcome = rig.put("f", b"ours", mtime_ns=5)
    assert len(looks) == 2 and rig.read("f") == b"mine"
    assert isinstance(outcome, Done) and outcome.entry is not None and not outcome.entry.trusted


def test_an_installed_file_s_stamp_is_old_enough_to_be_trusted(rig: FolderRig) -> None:
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Done) and outcome.entry is not None and outcome.entry.trusted
    assert rig.clock.slept and sum(rig.clock.slept) < 1


def test_a_time_no_disk_can_hold_is_refused_or_held_within_64_bits(rig: FolderRig) -> None:
    for time_ns in (10**19, 10**30):
        outcome = rig.put("f", b"x", mtime_ns=time_ns)
        assert isinstance(outcome, Failed | Done)
        seen = rig.store.list("").entries
        assert all(abs(entry.mtime_ns or 0) <= 2**63 for entry in seen.values())
        if isinstance(outcome, Done):
            fingerprint = rig.store.list("").fingerprint
            assert fingerprint is None or changed_directories(rig.store, [("", fingerprint)]) == []
            rig.remove("f")
