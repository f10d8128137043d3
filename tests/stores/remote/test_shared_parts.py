"""Each part that stores on services share: outcomes, root, trash, effects, uploads, downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from blake3 import blake3

from syncer.engine.interfaces import Capabilities, RenameRequest, WriteRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Outcome, RelPath, Stale
from syncer.errors import (
    AuthError,
    ChangedUnderUs,
    NotFound,
    PermanentError,
    PreconditionFailed,
    TransientError,
    Unholdable,
)
from syncer.stores.remote import effects
from syncer.stores.remote.download import hold_last, resumed
from syncer.stores.remote.outcomes import grouped, put_staged, run_each
from syncer.stores.remote.root import RemoteRoot
from syncer.stores.remote.trash import RemoteTrash
from syncer.stores.remote.upload import HashedUpload
from syncer.stores.retry_policy import Attempts
from syncer.stores.stale import StaleError
from tests.contract.doubles import BytesSource

FILE = Entry(kind=Kind.FILE, size=3, version=b"1")
DIRECTORY = Entry(kind=Kind.DIRECTORY, size=0, version=b"")


def write(path: str, data: bytes, size: int | None = None) -> WriteRequest:
    return WriteRequest(
        path=path,
        kind=Kind.FILE,
        source=BytesSource(data),
        size=len(data) if size is None else size,
        expected=None,
    )


class Root(RemoteRoot[Entry]):
    """A root in memory."""

    def __init__(self, **items: Entry) -> None:
        self.capabilities = Capabilities()
        self.items: dict[str, Entry] = {"": DIRECTORY, **items}

    def stat(self, path: RelPath) -> Entry | None:
        return self.items.get(path)

    def entry_of(self, item: Entry) -> Entry:
        return item


class Trash(RemoteTrash[Entry]):
    """Moves within the dictionary; `meanwhile` runs right before each move."""

    def __init__(self, root: Root, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(root, "tag")
        self.root = root
        self.meanwhile = meanwhile

    def _move(self, item: Entry, origin: RelPath, target: RelPath) -> Entry | None:
        self.meanwhile()
        if origin not in self.root.items:
            raise NotFound(origin)
        assert target not in self.root.items, "a move must find the name free"
        self.root.items[target] = self.root.items.pop(origin)
        return self.root.items[target]

    def _make_directories(self, path: RelPath) -> None:
        self.root.items.setdefault(path, DIRECTORY)

    def _service_now_ns(self) -> int:
        return 1_795_000_000 * 10**9

    def is_same(self, before: Entry, after: Entry) -> bool:
        return before == after


# -- outcomes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (StaleError("s"), Stale),
        (PreconditionFailed("p"), Stale),
        (NotFound("n"), Stale),
        (TransientError("t"), Failed),
        (PermanentError("p"), Failed),
        (ChangedUnderUs("c"), Failed),
    ],
)
def test_the_error_of_one_item_is_its_outcome_and_the_next_item_runs(
    error: Exception, outcome: type[Outcome]
) -> None:
    def change(item: str) -> Done:
        if item == "a":
            raise error
        return Done()

    results = list(run_each(["a", "b"], lambda item: item, change))
    assert [index for index, _ in results] == [0, 1]
    assert isinstance(results[0][1], outcome) and isinstance(results[1][1], Done)


def test_a_refused_login_ends_the_batch() -> None:
    def change(item: str) -> Done:
        raise AuthError("no")

    with pytest.raises(AuthError):
        list(run_each(["a"], lambda item: item, change))


def test_groups_are_bounded_in_items_and_bytes_and_never_empty() -> None:
    items = [write("f", b"x" * size) for size in (1, 1, 9, 1, 1, 1)]
    groups = [list(group) for group in grouped(items, files=3, size=5)]
    assert groups == [[0, 1], [2], [3, 4, 5]]


def test_what_is_staged_and_not_committed_is_discarded_when_the_caller_stops() -> None:
    discarded: list[str] = []
    results = put_staged(
        [write("a", b""), write("b", b"")],
        files=9,
        size=9,
        stage=lambda item: item.path,
        settle=lambda staged: None,
        commit=lambda staged: Done(),
        discard=discarded.append,
    )
    assert next(iter(results))[0] == 0
    results.close()  # type: ignore[attr-defined]
    assert discarded == ["b"]


# -- the root ------------------------------------------------------------------------


def test_an_expectation_holds_for_the_same_version_only() -> None:
    root = Root(f=FILE, d=DIRECTORY)
    assert root.expect("f", FILE) == FILE and root.expect("d", DIRECTORY, directories=True) == DIRECTORY
    for path, expected in (
        ("gone", FILE),
        ("d", DIRECTORY),
        ("f", DIRECTORY),
        ("f", Entry(kind=Kind.FILE, size=3, version=b"2")),
    ):
        with pytest.raises(StaleError):
            root.expect(path, expected)
    with pytest.raises(StaleError):
        root.expect_planned("f", None)


@pytest.mark.parametrize("path", ["", "..", "a/../b", ".syncer", ".syncer/trash/x", "a\0"])
def test_a_path_that_is_no_users_is_refused(path: str) -> None:
    with pytest.raises(Unholdable):
        Root().check_holdable(path, Kind.FILE)


# -- the trash -----------------------------------------------------------------------


def test_a_path_that_is_taken_again_by_one_run_gets_another_generation() -> None:
    root = Root()
    trash, kept = Trash(root), []
    for _ in range(3):
        root.items["d/f"] = FILE
        kept.append(trash.keep("d/f", FILE))
    root.items["d"] = FILE  # a file where the trash has a directory by now
    kept.append(trash.keep("d", FILE))
    assert len(set(kept)) == 4
    assert [path.partition("~")[2].partition("/")[0] for path in kept] == ["", "2", "3", "4"]


def test_what_changed_between_look_and_move_goes_back_to_its_name() -> None:
    root = Root(f=FILE)
    other = Entry(kind=Kind.FILE, size=9, version=b"2")

    def edit() -> None:
        if "f" in root.items:
            root.items["f"] = other

    with pytest.raises(StaleError, match="changed meanwhile"):
        Trash(root, edit).keep("f", FILE)
    assert root.items["f"] == other


def test_an_item_that_is_gone_at_the_move_is_stale() -> None:
    root = Root(f=FILE)
    with pytest.raises(StaleError, match="gone"):
        Trash(root, lambda: root.items.pop("f", None) and None).keep("f", FILE)


# -- effects -------------------------------------------------------------------------


def test_a_move_whose_reply_was_lost_is_not_sent_again() -> None:
    sent: list[int] = []

    def move() -> None:
        sent.append(1)
        raise TransientError("lost")

    assert effects.move_once(move, origin=lambda: None, target=lambda: FILE) is None
    assert sent == [1]


def test_a_move_that_did_not_take_effect_is_sent_again() -> None:
    replies = iter([TransientError("reset"), None])

    def move() -> str:
        if (error := next(replies)) is not None:
            raise error
        return "moved"

    assert effects.move_once(move, origin=lambda: FILE, target=lambda: None) == "moved"


def test_a_rename_took_effect_only_if_the_origin_is_gone() -> None:
    item = RenameRequest(origin="a", path="b", expected=FILE)
    assert isinstance(effects.was_renamed(item, origin=None, target=FILE), Done)
    assert effects.was_renamed(item, origin=FILE, target=FILE) is None
    assert effects.was_renamed(item, origin=None, target=DIRECTORY) is None


# -- content -------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "size"), [(b"abcd", 3), (b"ab", 3)])
def test_an_upload_of_another_length_than_planned_breaks_off(data: bytes, size: int) -> None:
    sent: list[bytes] = []
    with pytest.raises(ChangedUnderUs):
        sent.extend(HashedUpload(write("f", data, size)).chunks())
    assert len(b"".join(sent)) < max(size, len(data))


def test_an_upload_is_hashed_anew_each_time_it_is_sent() -> None:
    upload = HashedUpload(write("f", b"abc"), md5=True, sha256=True)
    for _ in range(2):
        assert b"".join(upload.chunks()) == b"abc"
        assert upload.digest == blake3(b"abc").digest()
        assert upload.md5 == "900150983cd24fb0d6963f7d28e17f72"


def test_the_last_piece_is_handed_out_only_after_the_content_was_verified() -> None:
    def wrong() -> None:
        raise ChangedUnderUs("other content")

    seen: list[bytes] = []
    with pytest.raises(ChangedUnderUs):
        seen.extend(hold_last(iter([b"a", b"b", b"c"]), wrong))
    for_sure = list(hold_last(iter([b"a", b"b"]), lambda: None))
    assert b"c" not in seen and for_sure == [b"a", b"b"]


def test_a_download_goes_on_at_the_byte_where_it_broke_off() -> None:
    content, asked, slept = b"0123456789", [], []

    def fetch(position: int, attempts: Attempts) -> Iterator[bytes]:
        asked.append(position)
        yield content[position : position + 4]
        raise TransientError("reset")

    pieces = resumed(fetch, 2, len(content), path="f", sleep=slept.append)
    assert next(pieces) + next(pieces) == content[2:]
    assert asked == [2, 6]


def test_a_download_without_progress_is_given_up() -> None:
    def fetch(position: int, attempts: Attempts) -> Iterator[bytes]:
        raise TransientError("reset")
        yield b""

    slept: list[float] = []
    with pytest.raises(TransientError):
        list(resumed(fetch, 0, 1, path="f", sleep=slept.append))
    assert 1 <= len(slept) < 10
