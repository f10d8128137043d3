"""Going on with a put that broke off: what is left, who may go on with it, how long it lies there."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Done, Failed, Kind, Outcome, Stale
from syncer.errors import ChangedUnderUs, Interrupted, NoSpace, StoreError
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.scan import PARTIAL_NS
from syncer.stores.local.store import FolderStore
from syncer.testing.scans import changed_directories
from tests.contract.doubles import FarSource, failing, let_the_disk_tick
from tests.contract.rigs import FolderRig, in_order
from tests.stores.partials import (
    DATA,
    HALF,
    NAME,
    OLD,
    TOKEN,
    broken_off,
    put,
    temporaries,
    whole,
)

# -- going on --------------------------------------------------------------------


def test_a_broken_off_put_is_gone_on_with_where_it_ended(rig: FolderRig) -> None:
    left = broken_off(rig)
    assert left.read_bytes() == DATA[:HALF] and rig.store.stat("f") is None
    source = FarSource(DATA)
    outcome = put(rig, source, mtime_ns=77)
    whole(rig, outcome)
    assert source.starts == [HALF] and source.sent == len(DATA) - HALF
    assert isinstance(outcome, Done) and outcome.sent == source.sent
    assert outcome.entry is not None and outcome.entry.mtime_ns == 77 and outcome.entry.trusted


def test_another_process_goes_on_with_it_too(rig: FolderRig) -> None:
    broken_off(rig)
    rig.store.close()
    rig.store = FolderStore(str(rig.root), fs=FileSystem(), clock=rig.clock, tag="0123abcd")
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert source.starts == [HALF]


def test_it_may_break_off_many_times(rig: FolderRig) -> None:
    starts = []
    for breaks in (20_000, 60_000, 110_000, 160_000):
        source = FarSource(DATA, breaks=breaks)
        assert isinstance(put(rig, source), Failed)
        starts += source.starts
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert [*starts, *source.starts] == [n * 16384 for n in (0, 2, 4, 7, 10)]


@pytest.mark.parametrize("stop", [Interrupted(15), KeyboardInterrupt()])
def test_a_stopped_run_leaves_what_arrived(rig: FolderRig, stop: BaseException) -> None:
    with pytest.raises(type(stop)):
        put(rig, FarSource(DATA, breaks=HALF, error=stop))
    assert temporaries(rig) == [NAME]
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert source.starts == [HALF]


@pytest.mark.parametrize("breaks", [0, HALF])
def test_without_a_token_nothing_is_left(rig: FolderRig, breaks: int) -> None:
    assert isinstance(put(rig, FarSource(DATA, breaks=breaks), token=b""), Failed)
    assert temporaries(rig) == []


def test_what_did_not_even_begin_leaves_nothing(rig: FolderRig) -> None:
    assert isinstance(put(rig, FarSource(DATA, breaks=0)), Failed)
    assert temporaries(rig) == []


@pytest.mark.parametrize("error", [ChangedUnderUs("edited"), StoreError("no"), NoSpace("full")])
def test_content_that_is_not_to_come_leaves_nothing(rig: FolderRig, error: Exception) -> None:
    assert isinstance(put(rig, FarSource(DATA, breaks=HALF, error=error)), Failed)
    assert temporaries(rig) == []


@pytest.mark.parametrize("method", ["write", "sync", "set_mode", "rename", "try_lock", "truncate", "link"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_says_no_leaves_no_partial_to_go_on_with(rig: FolderRig, method: str, code: int) -> None:
    rig.write("f", OLD)
    planned = rig.entry("f")
    broken_off(rig, expected=planned)
    rig.disk.before = failing(method, code)
    outcome = put(rig, FarSource(DATA), expected=planned)
    rig.disk.before = lambda method, arguments: None
    if isinstance(outcome, Done):
        assert method in ("try_lock", "truncate") and rig.read("f") == DATA
        return
    assert rig.read("f") == OLD and temporaries(rig) == []
    whole(rig, put(rig, FarSource(DATA), expected=planned))


def test_a_beginning_of_other_content_is_found_out_and_dropped(rig: FolderRig) -> None:
    left = broken_off(rig)
    left.write_bytes(b"x" * HALF)
    outcome = put(rig, FarSource(DATA))
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert rig.store.stat("f") is None and temporaries(rig) == []
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert source.starts == [0]


def test_a_source_that_ends_too_soon_or_too_late_is_not_believed(rig: FolderRig) -> None:
    for size in (len(DATA) - 1, len(DATA) + 1):
        broken_off(rig)
        source = FarSource(DATA)
        item = WriteRequest(path="f", kind=Kind.FILE, source=source, size=size, expected=None, token=TOKEN)
        assert isinstance(rig.put_all([item])[0], Failed)
        assert rig.store.stat("f") is None and temporaries(rig) == []


def test_a_token_of_larger_content_starts_anew_with_smaller(rig: FolderRig) -> None:
    broken_off(rig)
    source = FarSource(DATA[:50_000])
    whole(rig, put(rig, source), DATA[:50_000])
    assert source.starts == [0]


def test_of_a_whole_partial_the_last_byte_is_sent_again(rig: FolderRig) -> None:
    """A death while the content was made durable leaves all of it."""
    broken_off(rig).write_bytes(DATA)
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert source.starts == [len(DATA) - 1] and source.sent == 1


def test_a_partial_that_cannot_be_read_is_begun_anew(rig: FolderRig) -> None:
    broken_off(rig)
    rig.disk.before = failing("read_at", errno.EIO)
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert source.starts == [HALF, 0]


def test_where_files_cannot_be_locked_there_are_no_partials(rig: FolderRig) -> None:
    rig.disk.before = failing("try_lock", errno.ENOLCK)
    assert isinstance(put(rig, FarSource(DATA, breaks=HALF)), Failed)
    assert temporaries(rig) == []
    whole(rig, put(rig, FarSource(DATA)))


def test_a_batch_goes_on_with_each_of_its_own(rig: FolderRig) -> None:
    tokens = [bytes([n] * 8) for n in range(3)]
    for run in range(2):
        sources = [FarSource(DATA + bytes([n]), breaks=None if run else HALF) for n in range(3)]
        items = [
            rig.item(f"f{n}", source.data, source=source, token=tokens[n]) for n, source in enumerate(sources)
        ]
        outcomes = rig.put_all(items)
        assert [type(o) for o in outcomes] == [Done if run else Failed] * 3
        assert [s.starts for s in sources] == [[HALF if run else 0]] * 3
    assert [rig.read(f"f{n}") for n in range(3)] == [DATA + bytes([n]) for n in range(3)]


# -- who else may have a hand in it --------------------------------------------------


def test_two_puts_at_once_never_write_one_partial(rig: FolderRig) -> None:
    broken_off(rig)
    second: list[Outcome] = []
    other = FarSource(DATA)

    def meanwhile(place: int) -> None:
        if place == HALF:
            second.append(put(rig, other, path="g"))

    first = FarSource(DATA, during=meanwhile)
    assert isinstance(put(rig, first), Done)
    assert isinstance(second[0], Done) and (first.starts, other.starts) == ([HALF], [0])
    assert rig.read("f") == rig.read("g") == DATA and temporaries(rig) == []


def test_many_threads_putting_one_content_end_with_it_whole(rig: FolderRig) -> None:
    broken_off(rig)
    outcomes: list[Outcome] = []

    def one(number: int) -> None:
        source = FarSource(DATA, breaks=HALF + 16384 if number % 2 else None)
        outcomes.append(put(rig, source, path=f"f{number}"))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    for path in rig.root.glob("f*"):
        assert path.read_bytes() == DATA
    assert sum(isinstance(o, Done) for o in outcomes) == len(list(rig.root.glob("f*"))) >= 4


def test_a_partial_that_was_named_while_we_waited_for_its_lock_is_not_written_to(rig: FolderRig) -> None:
    left = broken_off(rig)

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "try_lock" and left.exists():
            os.rename(left, rig.root / "g")  # as the put does that held the lock

    rig.disk.before = before
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert rig.read("g") == DATA[:HALF] and source.starts == [0]


def _symlink(rig: FolderRig, left: Path) -> None:
    left.symlink_to(rig.root / "precious")


def _hard_link(rig: FolderRig, left: Path) -> None:
    os.link(rig.root / "precious", left)


def _fifo(rig: FolderRig, left: Path) -> None:
    os.mkfifo(left)


def _directory(rig: FolderRig, left: Path) -> None:
    left.mkdir()


def _somebody_s(rig: FolderRig, left: Path) -> None:
    left.write_bytes(b"theirs")
    os.chown(left, 12345, 12345)


STRANGERS = [_symlink, _hard_link, _fifo, _directory, _somebody_s]


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("moment", ["", "open_append", "try_lock", "fstat"])
def test_what_is_no_partial_of_ours_is_never_written_to(
    rig: FolderRig, stranger: Callable[[FolderRig, Path], None], moment: str
) -> None:
    """Whenever it takes the name: before the put, or between any two of the looks at it."""
    rig.write("precious", b"precious")
    left = broken_off(rig)

    def take_its_place() -> None:
        os.rename(left, rig.root / "away")
        stranger(rig, left)

    acts = [take_its_place]

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == moment and acts:
            acts.pop()()

    if not moment:
        acts.pop()()
    rig.disk.before = before
    source = FarSource(DATA)
    outcome = put(rig, source)
    rig.disk.before = lambda method, arguments: None
    assert isinstance(outcome, Done) and rig.read("f") == DATA and not acts
    assert source.starts == [0] and rig.read("precious") == b"precious"
    assert rig.read("away") == DATA[:HALF] and temporaries(rig) == [NAME]
    assert moment or "open_append" not in rig.disk.names()
    assert rig.store.partial("f", TOKEN) == 0


def test_what_takes_a_partial_s_place_while_it_is_written_is_not_named(rig: FolderRig) -> None:
    left = broken_off(rig)

    def meanwhile(place: int) -> None:
        if place == HALF:
            os.rename(left, rig.root / "away")
            left.write_bytes(b"not what was sent")

    assert isinstance(put(rig, FarSource(DATA, during=meanwhile)), Stale)
    assert rig.store.stat("f") is None
    rig.store.clean_leftovers(rig.store.list("").leftovers)
    assert b"not what was sent" in rig.kept()


def test_what_is_exchanged_out_never_stands_under_a_partial_s_name(rig: FolderRig) -> None:
    """It may be the last copy of an edit: a death there, and the next put would write into it."""
    rig.write("f", OLD)
    planned = rig.entry("f")
    broken_off(rig, expected=planned)

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "exchange":
            assert NAME not in arguments
            rig.write("f", b"a late edit")

    rig.disk.before = before
    assert isinstance(put(rig, FarSource(DATA), expected=planned), Stale)
    assert rig.read("f") == b"a late edit" and temporaries(rig) == []


# -- how long it lies there ------------------------------------------------------------


def test_a_partial_is_neither_seen_nor_swept_while_it_is_young(rig: FolderRig) -> None:
    broken_off(rig)
    seen = rig.store.list("")
    assert (dict(seen.entries), seen.leftovers) == ({}, ())
    rig.clock.sleep((PARTIAL_NS - 60 * 10**9) / 1e9)
    assert rig.store.list("").leftovers == () and seen.fingerprint is not None
    source = FarSource(DATA)
    whole(rig, put(rig, source))
    assert source.starts == [HALF]


def test_an_old_partial_is_swept_like_any_leftover(rig: FolderRig) -> None:
    broken_off(rig)
    rig.clock.sleep((PARTIAL_NS + 60 * 10**9) / 1e9)
    assert rig.store.list("").leftovers == (NAME,)
    rig.store.clean_leftovers(rig.store.list("").leftovers)
    assert temporaries(rig) == [] and rig.kept() == [DATA[:HALF]]


def test_a_partial_of_old_content_is_as_young_as_its_arrival(rig: FolderRig) -> None:
    """A whole one may have got the mtime of its content before the process died."""
    os.utime(broken_off(rig), ns=(5, 5))
    assert rig.store.list("").leftovers == ()


def test_a_partial_of_another_pair_is_left_to_it_for_as_long(rig: FolderRig) -> None:
    theirs = rig.root / (".syncer-tmp-" + "f" * 24)
    theirs.write_bytes(b"half")
    rig.clock.sleep(2 * 24 * 3600)
    assert rig.store.list("").leftovers == ()
    rig.clock.sleep(6 * 24 * 3600)
    assert rig.store.list("").leftovers == (theirs.name,)


def test_a_directory_with_a_partial_is_listed_each_time(rig: FolderRig) -> None:
    let_the_disk_tick(rig.root)
    rig.clock.sleep(10)
    known = rig.store.list("").fingerprint
    assert known is not None and changed_directories(rig.store, [("", known)]) == []
    broken_off(rig)
    rig.clock.sleep(10)
    assert rig.store.list("").fingerprint == known and changed_directories(rig.store, [("", known)]) == [""]


# -- how much of it is here --------------------------------------------------------------


def test_the_store_tells_how_much_is_here(rig: FolderRig) -> None:
    rig.mkdir("d")
    assert rig.store.partial("d/f", TOKEN) == 0
    broken_off(rig, "d/f")
    assert rig.store.partial("d/f", TOKEN) == HALF
    assert rig.store.partial("d/any other name", TOKEN) == HALF
    assert rig.store.partial("f", TOKEN) == rig.store.partial("d/f", bytes(8)) == 0


@pytest.mark.parametrize("path", ["gone/f", "", "..", "../f", ".syncer/x", "d/../f", "nul\0"])
def test_of_what_is_no_place_nothing_is_here(rig: FolderRig, path: str) -> None:
    assert rig.store.partial(path, TOKEN) == 0


@pytest.mark.parametrize("token", [b"", b"short", b"longer than it"])
def test_of_what_is_no_token_nothing_is_here_and_nothing_stays(rig: FolderRig, token: bytes) -> None:
    assert isinstance(put(rig, FarSource(DATA, breaks=HALF), token=token), Failed)
    assert rig.store.partial("f", token) == 0 and temporaries(rig) == []


def test_of_what_somebody_is_writing_nothing_is_here(rig: FolderRig) -> None:
    broken_off(rig)
    told: list[int] = []
    source = FarSource(DATA, during=lambda place: told.append(rig.store.partial("f", TOKEN)))
    whole(rig, put(rig, source))
    assert set(told) == {0}


# -- directories that go ------------------------------------------------------------------


def remove(rig: FolderRig, *paths: str) -> list[type]:
    return [type(outcome) for outcome in in_order(rig.store.remove_directories(paths), len(paths))]


def test_a_partial_does_not_keep_its_directory_from_going(rig: FolderRig) -> None:
    rig.mkdir("d/below")
    rig.mkdir("e")
    broken_off(rig, "d/below/f")
    broken_off(rig, "d/f")
    assert remove(rig, "e", "d/below", "d") == [Done, Done, Done]
    assert sorted(os.listdir(rig.root)) == [".syncer"]


def test_a_partial_stays_in_a_directory_that_has_to_stay(rig: FolderRig) -> None:
    rig.write("d/kept", b"x")
    left = broken_off(rig, "d/f")
    assert remove(rig, "d") == [Stale] and left.exists()


def test_a_directory_into_which_somebody_puts_stays(rig: FolderRig) -> None:
    rig.mkdir("d")
    ended: list[type] = []

    def meanwhile(place: int) -> None:
        if place == HALF:
            ended.extend(remove(rig, "d"))

    assert isinstance(put(rig, FarSource(DATA, during=meanwhile), path="d/f"), Done)
    assert ended == [Stale] and rig.read("d/f") == DATA


@pytest.mark.parametrize("stranger", STRANGERS[:-1])
def test_what_is_no_partial_keeps_its_directory(
    rig: FolderRig, stranger: Callable[[FolderRig, Path], None]
) -> None:
    rig.write("precious", b"precious")
    rig.mkdir("d")
    stranger(rig, rig.root / "d" / NAME)
    assert remove(rig, "d") == [Stale] and os.path.lexists(rig.root / "d" / NAME)


def test_a_file_that_comes_while_a_directory_goes_keeps_it(rig: FolderRig) -> None:
    rig.mkdir("d")
    broken_off(rig, "d/f")
    acts = [lambda: rig.write("d/late", b"late")]

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "unlink" and acts:
            acts.pop()()

    rig.disk.before = before
    assert remove(rig, "d") == [Stale] and rig.read("d/late") == b"late"
