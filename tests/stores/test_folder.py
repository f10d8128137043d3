"""A folder as a store: odd files, stamps, leftovers, the marker, directories that move while we look."""

from __future__ import annotations

import errno
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Done,
    Entry,
    Failed,
    Kind,
    Stale,
)
from syncer.errors import NotFound, PermanentError, StoreError, TransientError, Unmovable, Unreadable
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import Trash
from syncer.testing.scans import changed_directories
from tests.contract.doubles import HookedDisk, SteppingClock, failing, let_the_disk_tick, once_before
from tests.contract.rigs import FolderRig, in_order

OWN, OTHER = ".syncer-tmp-0123abcd00000000", ".syncer-tmp-ffffffff00000000"


def test_fifo_and_socket_are_obstacles_and_are_never_opened(rig: FolderRig) -> None:
    os.mkfifo(rig.root / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(rig.root)
        listening.bind("socket")
        os.chdir(here)
    found = rig.store.list("")
    assert found.fingerprint is None
    for name in ("fifo", "socket"):
        entry = found.entries[name]
        assert isinstance(entry, BlockedEntry) and entry.trouble is BlockReason.UNSUPPORTED
        assert isinstance(rig.store.stat(name), BlockedEntry)
        assert rig.store.read_file(name, 10) == b""


def test_a_file_that_became_a_fifo_is_not_waited_for(rig: FolderRig) -> None:
    rig.write("f", b"x")
    entry = rig.entry("f")
    rig.remove("f")
    os.mkfifo(rig.root / "f")
    with pytest.raises(Exception, match="changed"):
        list(rig.store.open("f", entry).chunks())
    assert isinstance(next(iter(rig.store.with_digests([("f", entry)]))), BlockedEntry)
    assert isinstance(rig.put("f", b"new", expected=entry), Stale)


def test_an_unreadable_directory_is_unreadable_and_not_empty(rig: FolderRig) -> None:
    rig.write("d/f", b"x")
    rig.disk.before = failing("open_directory", errno.EACCES)
    with pytest.raises(Unreadable):
        rig.store.list("d")
    assert changed_directories(rig.store, [("d", b"x")]) == ["d"]
    assert isinstance(rig.store.stat("d/f"), BlockedEntry)


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ENOMEM])
def test_a_listing_that_breaks_off_is_no_listing(rig: FolderRig, code: int) -> None:
    rig.write("d/f", b"x")
    rig.disk.before = failing("scan", code)
    with pytest.raises(TransientError):
        rig.store.list("d")


def test_an_unreadable_file_is_found_out_when_it_is_read(rig: FolderRig) -> None:
    rig.write("f", b"x")
    entry = rig.entry("f")
    rig.disk.before = failing("open_read", errno.EACCES)
    with pytest.raises(Unreadable):
        list(rig.store.open("f", entry).chunks())
    assert isinstance(next(iter(rig.store.with_digests([("f", entry)]))), BlockedEntry)


def test_a_file_that_never_rests_is_busy(rig: FolderRig) -> None:
    rig.write("f", b"x")
    entry = rig.entry("f")

    def grow(method: str, arguments: tuple[object, ...]) -> None:
        if method == "read":
            with open(rig.root / "f", "ab") as file:
                file.write(b"more")
            if os.stat(rig.root / "f").st_size > 100:
                os.truncate(rig.root / "f", 0)

    rig.disk.before = grow
    seen = next(iter(rig.store.with_digests([("f", entry)])))
    assert isinstance(seen, BlockedEntry) and seen.trouble is BlockReason.BUSY


def test_a_file_that_changed_once_is_read_again(rig: FolderRig) -> None:
    rig.write("f", b"x")
    entry = rig.entry("f")
    rig.disk.before = once_before("read", lambda: rig.write("f", b"edited"))
    seen = next(iter(rig.store.with_digests([("f", entry)])))
    assert isinstance(seen, Entry) and seen.size == 6


def test_a_fresh_stamp_is_not_trusted_and_an_older_one_is(rig: FolderRig) -> None:
    rig.write("f", b"x")
    assert not rig.entry("f").trusted and rig.store.list("").fingerprint is None
    rig.clock.sleep(0.06)
    assert rig.entry("f").trusted and rig.store.list("").fingerprint is not None


def test_a_stamp_from_the_future_is_not_trusted(rig: FolderRig) -> None:
    rig.write("f", b"x")
    rig.clock.sleep(-3600.0)
    assert not rig.entry("f").trusted


def test_same_size_and_time_with_other_content_is_another_version(rig: FolderRig) -> None:
    rig.write("f", b"one")
    os.utime(rig.root / "f", ns=(5, 5))
    before = rig.entry("f")
    let_the_disk_tick(rig.root)
    rig.write("f", b"two")
    os.utime(rig.root / "f", ns=(5, 5))
    assert rig.entry("f").version != before.version


def test_own_leftovers_are_reported_at_once_and_others_after_a_day(rig: FolderRig) -> None:
    rig.mkdir("d")
    for name in (OWN, OTHER):
        rig.write(f"d/{name}", b"staged")
    found = rig.store.list("d")
    assert found.leftovers == (f"d/{OWN}",) and found.entries == {}
    rig.clock.sleep(25 * 3600.0)
    assert sorted(rig.store.list("d").leftovers) == sorted([f"d/{OWN}", f"d/{OTHER}"])


def test_a_directory_with_leftovers_is_looked_at(rig: FolderRig) -> None:
    rig.mkdir("d")
    known = rig.store.list("d").fingerprint
    assert known is not None and changed_directories(rig.store, [("d", known)]) == []
    rig.write(f"d/{OWN}", b"staged")
    assert changed_directories(rig.store, [("d", known)]) == ["d"]


def test_leftovers_are_swept_into_the_trash(rig: FolderRig) -> None:
    rig.write(OWN, b"perhaps the last copy")
    os.symlink("target", rig.root / (OWN + "1"))
    os.mkdir(rig.root / (OWN + "2"))
    rig.store.clean_leftovers([*rig.store.list("").leftovers, "not/there"])
    assert rig.store.list("").leftovers == ()
    assert sorted(rig.kept()) == [b"perhaps the last copy", b"target"]


def test_leftovers_are_copied_where_the_trash_is_elsewhere(rig: FolderRig) -> None:
    rig.write(OWN, b"perhaps the last copy")
    here = rig.root.stat().st_ino

    def elsewhere(method: str, arguments: tuple[object, ...]) -> None:
        across = method in ("link", "rename_noreplace") and os.fstat(arguments[1]).st_ino == here
        if across and os.fstat(arguments[3]).st_ino != here:
            raise OSError(errno.EXDEV, "elsewhere")

    rig.disk.before = elsewhere
    rig.store.clean_leftovers(rig.store.list("").leftovers)
    assert rig.store.list("").leftovers == () and rig.kept() == [b"perhaps the last copy"]


def test_a_name_renamed_over_while_the_directory_is_read_is_not_missed(rig: FolderRig) -> None:
    for name in ("a", "b"):
        rig.write(name, b"x")
    real, scans = rig.disk.real.scan, []

    class Forgetful(type(rig.disk.real)):  # type: ignore[misc]
        def scan(self, fd: int) -> object:
            scans.append(fd)
            if len(scans) == 1:
                (rig.root / "c").write_bytes(b"")
                return list(real(fd))
            return [(name, st) for name, st in real(fd) if name != "a"]

    rig.disk.real = Forgetful()
    assert {"a", "b"} <= set(rig.store.list("").entries)


def test_a_name_left_out_while_the_directory_changes_is_found_by_a_second_look(rig: FolderRig) -> None:
    for name in ("a", "b"):
        rig.write(name, b"x")
    real, scans = rig.disk.real.scan, []

    class Forgetful(type(rig.disk.real)):  # type: ignore[misc]
        def scan(self, fd: int) -> object:
            scans.append(fd)
            if len(scans) > 1:
                return list(real(fd))
            (rig.root / "c").write_bytes(b"")
            return [(name, st) for name, st in real(fd) if name != "a"]

    rig.disk.real = Forgetful()
    assert set(rig.store.list("").entries) == {"a", "b", "c"}


def test_the_root_may_be_missing_a_file_or_unreadable(tmp_path: Path) -> None:
    disk = HookedDisk()
    missing = FolderStore(str(tmp_path / "no" / "root"), fs=disk, clock=SteppingClock(), tag="0" * 8)
    assert missing.root() is None
    with pytest.raises(NotFound):
        missing.create_root()
    with pytest.raises(NotFound):
        missing.list("")
    with pytest.raises(StoreError):
        list(missing.remove_directories(["d"]))
    assert changed_directories(missing, [("", b"")]) == [""] and missing.free_space() is None
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError):
        FolderStore(str(tmp_path / "file"), fs=disk, clock=SteppingClock(), tag="0" * 8).root()
    disk.before = failing("open_root", errno.EACCES)
    with pytest.raises(Unreadable):
        missing.root()


def test_a_root_replaced_by_another_shows_the_other_marker(rig: FolderRig) -> None:
    rig.store.list("")
    rig.root.rename(rig.root.parent / "away")
    rig.root.mkdir()
    state = rig.store.root()
    assert state is not None and state.marker == "" and state.empty


def test_a_symlink_in_place_of_our_own_directory_is_not_followed(rig: FolderRig) -> None:
    (rig.root / ".syncer").rename(rig.root.parent / "stolen")
    (rig.root / ".syncer").symlink_to(rig.root.parent / "stolen")
    with pytest.raises(StoreError):
        rig.store.root()
    with pytest.raises(StoreError):
        rig.store.write_root_id("cd" * 16)


def test_the_marker_is_durable_before_it_is_said_to_be(rig: FolderRig) -> None:
    rig.disk.calls.clear()
    rig.store.write_root_id("cd" * 16)
    steps = [name for name in rig.disk.names() if name in ("write", "sync", "rename")]
    probe, whole = ["sync", "rename"], ["write", "sync", "rename"]
    steps = steps[steps.index("sync") :]  # after what was tried
    assert steps[:10] == [*probe, *whole, *whole, "sync", "sync"]  # .gitignore, the marker, the names
    assert (rig.root / ".syncer" / "root-id").read_text() == "cd" * 16 + "\n"


def test_capabilities_are_looked_at_without_writing(rig: FolderRig) -> None:
    rig.disk.calls.clear()
    able = rig.store.capabilities
    assert (able.folds_case, able.folds_form, able.executable, able.local) == (False, False, True, True)
    assert able.mtime_granularity_ns <= 1000
    assert not {"create", "mkdir", "write", "rename"} & set(rig.disk.names())


def test_an_edit_right_before_a_delete_survives_it(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = once_before("rename", lambda: rig.write("f", b"edited"))
    outcome = in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)[0]
    assert isinstance(outcome, Stale) and rig.read("f") == b"edited"


def test_an_edit_survives_a_delete_even_if_its_name_is_taken_meanwhile(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "rename":
            (rig.root / "f").write_bytes(b"edited")
        if method == "rename_noreplace" and arguments[2] == "f" and not (rig.root / "f").exists():
            (rig.root / "f").write_bytes(b"third")

    rig.disk.before = before
    outcome = in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)[0]
    assert isinstance(outcome, Stale) and rig.read("f") == b"third" and b"edited" in rig.kept()


def test_a_delete_is_in_the_trash_durably_before_the_name_goes(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.calls.clear()
    in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)
    steps = [name for name in rig.disk.names() if name in ("link", "sync", "rename", "unlink")]
    assert "sync" in steps[steps.index("link") : steps.index("rename")]
    assert steps[steps.index("rename") :] == ["rename", "unlink", "sync"]


def test_an_edit_right_before_a_directory_takes_its_place_keeps_its_name(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = once_before("exchange", lambda: rig.write("f", b"edited"))
    assert isinstance(rig.make("f", planned), Stale)
    assert rig.read("f") == b"edited" and os.listdir(rig.root / ".syncer" / "trash")


def test_without_exchange_a_directory_still_takes_a_file_s_place(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = failing("exchange", errno.EINVAL)
    assert isinstance(rig.make("f", planned), Done)
    assert rig.entry("f").kind is Kind.DIRECTORY and rig.kept() == [b"old"]


def test_a_moved_file_has_its_new_name_durably_before_the_old_one_goes(rig: FolderRig) -> None:
    rig.write("a/f", b"x")
    rig.mkdir("b")
    planned = rig.entry("a/f")
    synced: list[int] = []

    def note(method: str, arguments: tuple[int, ...]) -> None:
        if method == "sync":
            synced.append(os.fstat(arguments[0]).st_ino)

    rig.disk.before = note
    in_order(rig.store.rename([RenameRequest(origin="a/f", path="b/f", expected=planned)]), 1)
    assert synced == [os.stat(rig.root / name).st_ino for name in ("b", "a")]


def test_a_file_edited_right_before_its_rename_keeps_its_name(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = once_before("rename_noreplace", lambda: rig.write("f", b"edited"))
    outcome = in_order(rig.store.rename([RenameRequest(origin="f", path="g", expected=planned)]), 1)[0]
    assert isinstance(outcome, Stale) and rig.read("f") == b"edited" and not (rig.root / "g").exists()


def test_an_amended_time_hides_no_edit(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = once_before("set_times", lambda: rig.write("f", b"new"))
    item = SetAttributesRequest(path="f", expected=planned, mtime_ns=5, executable=None)
    outcome = in_order(rig.store.set_attributes([item]), 1)[0]
    assert isinstance(outcome, Done) and outcome.entry is not None and not outcome.entry.trusted


def test_a_trash_elsewhere_keeps_what_is_taken(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "state").mkdir()
    disk, clock = HookedDisk(), SteppingClock()
    trash = Trash.at(str(tmp_path / "state"), fs=disk, clock=clock, run="12")
    store = FolderStore(str(tmp_path / "root"), fs=disk, clock=clock, tag="0" * 8, trash=trash)
    (tmp_path / "root" / "f").write_bytes(b"old")
    entry = store.stat("f")
    assert isinstance(entry, Entry)
    in_order(store.delete([DeleteRequest(path="f", expected=entry)]), 1)
    (batch,) = (tmp_path / "state" / "trash").iterdir()
    assert batch.name.endswith("-12") and (batch / "f").read_bytes() == b"old"
    assert (tmp_path / "state" / "trash").stat().st_mode & 0o777 == 0o700
    store.close()


def test_a_directory_replaced_since_the_last_read_is_walked_to_again(rig: FolderRig) -> None:
    rig.write("d/f", b"old")
    assert b"".join(rig.store.open("d/f", rig.entry("d/f")).chunks()) == b"old"
    (rig.root / "d").rename(rig.root / "away")
    rig.write("d/f", b"new")
    assert b"".join(rig.store.open("d/f", rig.entry("d/f")).chunks()) == b"new"


def test_reading_by_many_threads_gives_each_its_file(rig: FolderRig) -> None:
    paths = [f"{directory}/{n}" for n in range(50) for directory in "abc"]
    for path in paths:
        rig.write(path, path.encode())
    entries = {path: rig.entry(path) for path in paths}

    def read(path: str) -> bytes:
        return b"".join(rig.store.open(path, entries[path]).chunks())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, paths)) == [path.encode() for path in paths]


def test_a_real_refusal_of_the_system_is_reported_and_changes_nothing(rig: FolderRig) -> None:
    """Run by another user where the test runs as root, whom nothing is refused."""
    rig.write("closed/f", b"x")
    os.chmod(rig.root.parent, 0o755)
    os.chmod(rig.root / "closed", 0o555)
    os.chmod(rig.root / "closed" / "f", 0o000)
    entry = rig.entry("closed/f")
    child = os.fork()
    if child == 0:
        os._exit(_refusals(rig, entry))
    _, status = os.waitpid(child, 0)
    assert status == 0
    os.chmod(rig.root / "closed" / "f", 0o600)
    assert os.listdir(rig.root / "closed") == ["f"] and rig.read("closed/f") == b"x"


def _refusals(rig: FolderRig, entry: Entry) -> int:
    """How many of four things went otherwise than they should."""
    if os.geteuid() == 0:
        os.setuid(65534)
    outcomes = [rig.put("closed/new", b"y"), rig.put("closed/f", b"y", expected=entry), rig.make("closed/d")]
    wrong = sum(not isinstance(outcome, Failed) for outcome in outcomes)
    return wrong + (not isinstance(next(iter(rig.store.with_digests([("closed/f", entry)]))), BlockedEntry))


def test_a_users_own_file_that_only_begins_like_a_temporary_is_never_swept(rig: FolderRig) -> None:
    for name in (".syncer-tmp-notes", ".syncer-tmp-ffffffff0000000", ".syncer-tmp-ffffffff000000000"):
        rig.write(name, b"written by hand")
    rig.clock.sleep(25 * 3600.0)
    found = rig.store.list("")
    assert found.leftovers == () and found.entries == {}


def test_a_rename_to_another_file_system_within_the_root_says_that_it_never_works(rig: FolderRig) -> None:
    rig.write("f", b"x")
    rig.mkdir("mounted")
    entry = rig.entry("f")
    rig.disk.before = failing("rename_noreplace", errno.EXDEV)
    ((_, outcome),) = rig.store.rename([RenameRequest(origin="f", path="mounted/f", expected=entry)])
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unmovable)
    assert (rig.root / "f").read_bytes() == b"x" and not (rig.root / "mounted/f").exists()


def test_a_file_written_a_moment_ago_is_read_only_once_any_further_write_would_show(rig: FolderRig) -> None:
    rig.write("f", b"half of it, rewritten within the tick of its stamp")
    entry = rig.entry("f")
    waited = []
    rig.disk.before = lambda method, _: waited.append(sum(rig.clock.slept)) if method == "read" else None
    source = rig.store.open("f", entry)
    list(source.chunks())
    assert not entry.trusted and source.entry.trusted
    assert 0 < waited[0] <= 2.0


def test_a_stamp_from_the_future_is_not_waited_for(rig: FolderRig) -> None:
    rig.write("f", b"x")
    rig.clock.sleep(-3600.0)
    source = rig.store.open("f", rig.entry("f"))
    assert list(source.chunks()) == [b"x"] and not source.entry.trusted
    assert rig.clock.slept == [-3600.0]


def test_a_known_name_that_a_listing_left_out_is_found_by_a_look_of_its_own(rig: FolderRig) -> None:
    rig.write("d/f", b"x")
    file, directory, gone = rig.store.left_out(["d/f", "d", "d/gone"])
    assert isinstance(file, Entry) and file.version == rig.entry("d/f").version
    assert isinstance(directory, Entry) and directory.kind is Kind.DIRECTORY and gone is None
    rig.disk.before = failing("stat", errno.EIO)
    assert isinstance(rig.store.left_out(["d/f"])[0], BlockedEntry)
    rig.disk.before = failing("open_directory", errno.EIO)
    assert isinstance(rig.store.left_out(["d/f"])[0], BlockedEntry)
