"""What only this store does: its trash, its settling, its book, its ids; and how it is put together."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from syncer.accounts.orange import application, connecting
from syncer.config.accounts import Orange
from syncer.config.secrets import Secret
from syncer.engine.interfaces import DeleteRequest, RenameRequest
from syncer.engine.model import Done, Kind, Stale
from syncer.errors import ConfigError, NotFound, PermanentError
from syncer.stores.context import StoreContext
from syncer.stores.orange.cache import FILE, GONE, NAME, CachedItem, ItemCache
from syncer.stores.orange.ids import Ids, decode, encode
from tests.contract.doubles import SteppingClock
from tests.contract.orange_rig import OrangeRig
from tests.contract.rigs import in_order
from tests.doubles.orange import Options

DAY = 86_400


def removed(rig: OrangeRig, path: str) -> object:
    return in_order(rig.store.delete([DeleteRequest(path=path, expected=rig.entry(path))]), 1)[0]


def test_what_is_kept_lies_by_run_and_path_and_never_in_each_other_s_way(rig: OrangeRig) -> None:
    for content in (b"1", b"2"):
        rig.write("a/f", content)
        removed(rig, "a/f")
    in_order(rig.store.remove_directories(["a"]), 1)
    rig.write("a", b"a file by now")
    removed(rig, "a")
    trash = rig.double.files(rig.at(".syncer/trash"))
    runs = {path.partition("/")[0]: None for path in trash}
    assert [run.partition("~")[2] for run in sorted(runs)] == ["", "2", "4"]  # the third had the folder
    assert sorted((path.partition("/")[2], data) for path, data in trash.items()) == [
        ("a", b"a file by now"),
        ("a/f", b"1"),
        ("a/f", b"2"),
    ]


def test_old_trash_goes_after_a_run_that_kept_something(rig: OrangeRig) -> None:
    old, young = (
        time.strftime("%Y%m%d-%H%M%S", time.gmtime(time.time() - 31 * DAY)),
        time.strftime("%Y%m%d-%H%M%S", time.gmtime(time.time() - 29 * DAY)),
    )
    for run in (f"{old}-0123abcd-aaaa", f"{old}-0123abcd-aaaa~2", f"{young}-0123abcd-bbbb", "not-a-run"):
        rig.write(f".syncer/trash/{run}/f", run.encode())
    looking = rig.opened("looking")
    looking.list("")
    looking.close()
    assert len(rig.kept()) == 4
    rig.write("f", b"x")
    removed(rig, "f")
    rig.orange.close()
    assert sorted(rig.kept()) == sorted([f"{young}-0123abcd-bbbb".encode(), b"not-a-run", b"x"])


def test_what_a_client_with_a_wrong_clock_keeps_is_not_old_for_that(rig: OrangeRig) -> None:
    """Its clock was sixty days behind, and the next run, by a right one, emptied the trash."""
    rig.clock.slept.append(-60.0 * DAY)
    for name in ("f", "g"):
        rig.write(name, name.encode())
        with closing(rig.another()) as run:
            in_order(run.delete([DeleteRequest(path=name, expected=rig.entry(name))]), 1)
        rig.clock.slept.append(60.0 * DAY)
    assert sorted(rig.kept()) == [b"f", b"g"]


def test_a_put_waits_until_a_later_write_would_show_another_date(rig: OrangeRig) -> None:
    """This service dates what it gets a little ahead, and its clock does not go with the client's sleep."""
    rig.double.set_clock(lambda: time.time() + 20)
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Done) and outcome.entry is not None
    assert sum(rig.clock.slept) == 0 and not outcome.entry.trusted  # a clock that runs wild is not waited for
    rig.double.set_clock(lambda: time.time() + 4)
    outcome = rig.put("g", b"x")
    assert isinstance(outcome, Done) and outcome.entry is not None
    assert 0 < sum(rig.clock.slept) <= 15 and not outcome.entry.trusted


def test_whether_renames_move_dates_is_tried_on_a_file_of_our_own(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path, Options(touches_date=True))
    rig.write("f", b"old")
    assert isinstance(rig.put("f", b"new", expected=rig.entry("f")), Done)
    assert rig.read("f") == b"new" and rig.kept() == [b"old"]
    assert [p for p in rig.double.files(rig.root) if "tmp" in p] == []
    rig.store.close()


def test_the_digest_goes_with_a_renamed_file_and_stays_of_an_untouched_one(rig: OrangeRig) -> None:
    done = rig.put("f", b"content")
    assert isinstance(done, Done) and done.entry is not None
    item = RenameRequest(origin="f", path="g", expected=done.entry)
    moved = in_order(rig.store.rename([item]), 1)[0]
    assert (
        isinstance(moved, Done) and moved.entry == rig.entry("g") and moved.entry.digest == done.entry.digest
    )


def test_a_folder_renamed_behind_our_back_leaves_no_stale_ids(tmp_path: Path) -> None:
    for options in (Options(), Options(opaque_ids=True)):
        rig = OrangeRig(tmp_path / str(options.opaque_ids), options)
        rig.write("a/b/f", b"1")
        rig.orange.list("a/b")
        expected = rig.entry("a/b/f")
        rig.double.rename(rig.at("a"), rig.at("z"))
        rig.write("a/other", b"2")
        assert rig.store.stat("a/b/f") is None and rig.entry("z/b/f").version == expected.version
        outcome = rig.put("a/b/f", b"new", expected=expected)
        assert isinstance(outcome, Stale) and rig.read("z/b/f") == b"1"
        with pytest.raises(NotFound):
            rig.orange.list("a/b")
        rig.store.close()


def test_a_root_needs_its_parent_and_is_no_file(rig: OrangeRig) -> None:
    rig.root = "base/none/root"
    with pytest.raises(NotFound):
        rig.opened("x").create_root()
    rig.double.write("base/file", b"x")
    rig.root = "base/file"
    for call in ("root", "create_root"):
        with pytest.raises(PermanentError):
            getattr(rig.opened("x"), call)()


def test_the_application_s_own_folder_comes_with_the_first_file(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path, Options(restricted=True), root="")
    assert isinstance(rig.put("é", b"x"), Done) and list(rig.orange.list("").entries) == ["é"]
    state = rig.store.root()
    assert state is not None and not state.empty
    rig.store.close()


def test_free_space_is_asked_for_once_in_a_while(rig: OrangeRig) -> None:
    rig.double.log.clear()
    assert rig.store.free_space() == rig.store.free_space() == (10 << 30) - rig.double.drive.used()
    assert len(rig.double.asked("GET", "freespace")) == 1
    rig.clock.sleep(60)
    rig.store.free_space()
    assert len(rig.double.asked("GET", "freespace")) == 2


# The book


def test_the_book_remembers_over_runs_and_drops_what_is_below(tmp_path: Path) -> None:
    note = CachedItem(kind=FILE, version=b"v", digest=b"d" * 32, wrote_ns=5)
    book = ItemCache(tmp_path / "new")
    for path in ("a/b", "a/c/d", "a-b/x", "a0"):
        book.put(path, note)
    book.close()
    again = ItemCache(tmp_path / "new")
    assert again.get("a/c/d") == note and again.of("a") == {"b": note}
    assert (again.digest("a/b", b"v"), again.digest("a/b", b"other"), again.digest("a/b", b"")) == (
        b"d" * 32,
        None,
        None,
    )
    again.drop("a")
    assert [again.get(p) for p in ("a/b", "a/c/d", "a-b/x", "a0")] == [None, None, note, note]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    again.close()


def test_a_damaged_book_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not a database" * 1000)
    book = ItemCache(tmp_path)
    assert book.get("f") is None
    book.put("f", CachedItem(kind=GONE))
    assert book.get("f") == CachedItem(kind=GONE)
    book.close()
    assert ItemCache(tmp_path).get("f") == CachedItem(kind=GONE)


def test_a_book_that_cannot_be_written_forgets_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    book = ItemCache(tmp_path / "file" / "below")
    book.put("f\udce9", CachedItem(kind=GONE))
    assert book.get("f\udce9") == CachedItem(kind=GONE)
    book.close()


# Ids


def test_ids_are_the_paths_of_the_samples() -> None:
    assert (encode("/"), encode("__upload/"), encode("__upload/photo 1.jpg")) == (
        "Lw",
        "X191cGxvYWQv",
        "X191cGxvYWQvcGhvdG8gMS5qcGc",
    )
    for path in ("é/ça’ \x01/日本", "a", "/"):
        assert decode(encode(path)) == path
    assert [decode(bad) for bad in ("é", "A", "_w", "Lx==", "L w")] == [None] * 5


def test_the_first_id_that_is_no_path_ends_the_guessing() -> None:
    ids = Ids()
    ids.rooted("Lw")
    ids.learn("a/b", encode("a/b"), folder=False)
    assert ids.are_paths and ids.file("never/seen") == encode("never/seen")
    ids.learn("c", "opaque", folder=False)
    assert not ids.are_paths and (ids.file("c"), ids.file("never/seen")) == ("opaque", None)
    ids.learn("c/d", "o2", folder=True)
    ids.forget("c")
    assert (ids.file("c"), ids.folder("c/d"), ids.folder("")) == (None, None, "Lw")


# How it is put together


def test_an_account_becomes_a_store(rig: OrangeRig, tmp_path: Path) -> None:
    login = rig.double.login
    account = Orange(
        name="cloud",
        client_id=login.client_id,
        client_secret=Secret("text", login.client_secret),
        redirect_uri=login.redirect_uri,
        api_url=rig.double.api_url,
        content_url=rig.double.content_url,
        auth_url=rig.double.auth_url,
    )
    context = StoreContext(
        account="cloud", identity="cloud", clock=SteppingClock(), cache=tmp_path / "c", tag="01234567"
    )
    store = connecting(account, "base/root", rig.tokens, context)
    rig.double.login.expire("api")
    rig.write("f", b"x")
    state = store.root()
    assert state is not None and state.marker == "ab" * 16 and list(store.list("").entries) == ["f"]
    assert store.identity.endswith("/base/root") and login.client_secret not in store.identity
    assert login.refreshes == 1 and application(account).again == "log in again: syncer login cloud"
    store.close()


def test_an_account_of_another_type_is_none_of_ours(tmp_path: Path) -> None:
    from syncer.config.accounts import SmartFile

    with pytest.raises(ConfigError):
        application(SmartFile(name="other"))


def test_the_tokens_and_the_factory_load_nothing_heavy() -> None:
    code = (
        "import sys, syncer.accounts.orange, syncer.stores.orange.token, syncer.stores.orange.oauth; "
        "print(sorted({'requests', 'oauthlib', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_kind_but_file_and_directory_is_shown(rig: OrangeRig) -> None:
    rig.write("photo.jpg", b"x")
    assert rig.entry("photo.jpg").kind is Kind.FILE
