"""The calls that change names: each only if the name still holds what was expected."""

from __future__ import annotations

import os
import threading

from syncer.engine.model import Done, Failed, Kind, Stale
from syncer.errors import Unholdable
from syncer.wire import schema
from tests.server.extension.speaking import Client


def change(client, call, *items):
    return client.call(call, {"items": list(items)}).outcomes


def out(entry):
    return schema.entry_out(entry)


def test_a_delete_takes_what_was_expected_and_keeps_it_in_the_trash(client, folder, tmp_path):
    (folder / "f").write_bytes(b"1")
    [done] = change(client, "delete", {"path": "f", "expected": out(client.entry("f"))})
    assert done == Done()
    assert not (folder / "f").exists()
    kept = [p.read_bytes() for top in (tmp_path / "state", folder) for p in top.rglob("f") if p.is_file()]
    assert kept == [b"1"]


def test_a_delete_of_something_else_is_stale_and_changes_nothing(client, folder):
    (folder / "f").write_bytes(b"1")
    before = client.entry("f")
    (folder / "f").write_bytes(b"22")
    [stale] = change(client, "delete", {"path": "f", "expected": out(before)})
    assert isinstance(stale, Stale)
    assert (folder / "f").read_bytes() == b"22"


def test_directories_are_made_and_removed(client, folder):
    made = change(client, "make-directories", {"path": "d"}, {"path": "d/e", "replaces": None})
    assert [type(o) for o in made] == [Done, Done]
    assert (folder / "d" / "e").is_dir()
    removed = change(client, "remove-directories", "d/e", "d", "gone")
    assert [type(o) for o in removed] == [Done, Done, Done]
    assert not (folder / "d").exists()


def test_a_directory_with_something_in_it_stays(client, folder):
    (folder / "d").mkdir()
    (folder / "d" / "f").write_bytes(b"1")
    [stale] = change(client, "remove-directories", "d")
    assert isinstance(stale, Stale)
    assert (folder / "d" / "f").read_bytes() == b"1"


def test_a_rename_is_one_and_never_over_something(client, folder):
    (folder / "a").write_bytes(b"a")
    (folder / "taken").write_bytes(b"t")
    entry = out(client.entry("a"))
    [stale] = change(client, "rename", {"origin": "a", "path": "taken", "expected": entry})
    assert isinstance(stale, Stale)
    inode = (folder / "a").stat().st_ino
    [done] = change(client, "rename", {"origin": "a", "path": "b", "expected": entry})
    assert isinstance(done, Done)
    assert (folder / "b").stat().st_ino == inode
    assert (folder / "taken").read_bytes() == b"t"


def test_an_amendment_gives_time_and_bit(client, folder):
    (folder / "f").write_bytes(b"1")
    [done] = change(
        client,
        "amend",
        {"path": "f", "expected": out(client.entry("f")), "mtime_ns": 10**18, "executable": True},
    )
    assert done.entry.mtime_ns == 10**18
    assert (folder / "f").stat().st_mtime_ns == 10**18
    assert os.access(folder / "f", os.X_OK)


def test_our_own_names_and_the_root_are_refused_one_by_one(client, folder):
    refused = change(
        client,
        "make-directories",
        {"path": ".syncer"},
        {"path": "d"},
        {"path": "d/.SYNCER"},
        {"path": "d/.syncer-tmp-1"},
        {"path": ""},
    )
    assert [type(o) for o in refused] == [Failed, Done, Failed, Failed, Failed]
    assert all(isinstance(o.error, Unholdable) for o in refused if isinstance(o, Failed))
    assert list((folder / "d").iterdir()) == []


def test_a_read_only_key_changes_nothing(client, folder):
    reader = Client(client.port, "reader")
    (folder / "f").write_bytes(b"1")
    entry = out(reader.entry("f"))
    for call, items in {
        "delete": [{"path": "f", "expected": entry}],
        "make-directories": [{"path": "d"}],
        "remove-directories": ["d"],
        "rename": [{"origin": "f", "path": "g", "expected": entry}],
        "amend": [{"path": "f", "expected": entry, "mtime_ns": 1, "executable": None}],
    }.items():
        assert reader.call(call, {"items": items}).status == 403
    assert reader.call("put", b"").status == 403
    assert reader.call("mark", {"marker": "ab"}).status == 403
    assert reader.call("create-root", root="new").status == 403
    assert [p.name for p in folder.iterdir()] == ["f"]


def test_a_root_is_made_marked_and_told(client, folder):
    assert client.call("root", root="new").json == {"root": None}
    made = client.call("create-root", root="new").json["outcome"]
    assert isinstance(schema.outcome_in(made), Done)
    assert schema.root_in(client.call("root", root="new").json["root"]).marker == ""
    client.call("mark", {"marker": "ab" * 16}, root="new")
    state = schema.root_in(client.call("root", root="new").json["root"])
    assert (state.marker, state.empty) == ("ab" * 16, True)
    assert client.call("create-root", root="none/new").status == 409
    assert client.call("create-root", root="new/.syncer").status == 403
    assert client.call("mark", {"marker": "ab"}, root="none").status == 409


def test_a_file_in_the_place_of_a_root_is_no_root(client, folder):
    (folder / "f").write_bytes(b"1")
    assert client.call("root", root="f").json == {"root": None}
    assert client.call("create-root", root="f").json["outcome"][0] in ("stale", "failed")
    assert (folder / "f").read_bytes() == b"1"


def test_of_many_writers_of_one_name_exactly_one_wins(client, folder):
    """Compare and swap: whoever comes second finds something else than expected."""
    (folder / "f").write_bytes(b"old")
    (folder / "d").mkdir()
    for round_ in range(5):
        before, found = client.entry("f"), []
        start = threading.Barrier(6)

        def write(number, before=before, found=found, start=start, round_=round_):
            start.wait()
            content = b"%d-%d" % (round_, number)
            if number == 5:
                [outcome] = change(client, "delete", {"path": "f", "expected": out(before)})
            else:
                [outcome] = client.put(("f", content, before))
            found.append((outcome, content))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [(o, content) for o, content in found if isinstance(o, Done)]
        assert len(found) == 6
        assert len(won) == 1, found
        assert all(isinstance(o, Stale) for o, _ in found if not isinstance(o, Done))
        if won[0][0].entry is None:
            assert not (folder / "f").exists()
            client.put(("f", b"again", None))
        else:
            assert (folder / "f").read_bytes() == won[0][1]


def test_of_many_that_make_one_new_name_exactly_one_wins(client, folder):
    start, found = threading.Barrier(4), []

    def write(number):
        start.wait()
        found.extend(client.put(("new", b"%d" % number, None)))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(o).__name__ for o in found) == ["Done", "Stale", "Stale", "Stale"]
    assert client.entry("new").kind is Kind.FILE


def test_what_is_kept_of_a_name_goes_with_it(client, folder):
    """Rows of digests and attributes stayed for ever where names were taken away by the extension."""
    told = []
    served = client.served
    served.on_gone = told.extend
    names = ("gone", "stays", "d/below", "moved", "tree/deep/f")
    (folder / "d").mkdir()
    (folder / "tree/deep").mkdir(parents=True)
    for name in ("gone", "moved"):
        (folder / name).write_bytes(b"1")
    served.digests.keep((name, b"v", bytes(32)) for name in names)

    def known():
        return {name for name in names if served.digests.find(name, b"v")}

    entries = {name: out(client.entry(name)) for name in ("gone", "moved", "tree")}
    [stale] = change(client, "delete", {"path": "gone", "expected": entries["moved"]})
    assert isinstance(stale, Stale) and known() == set(names) and told == []
    change(client, "delete", {"path": "gone", "expected": entries["gone"]})
    assert known() == set(names) - {"gone"}
    change(client, "remove-directories", "d")
    assert known() == {"stays", "moved", "tree/deep/f"}
    change(client, "rename", {"origin": "moved", "path": "new", "expected": entries["moved"]})
    change(client, "rename", {"origin": "tree", "path": "other", "expected": entries["tree"]})
    assert known() == {"stays"}
    assert told == ["gone", "d", "moved", "tree"]
