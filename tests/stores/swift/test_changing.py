"""Races that Swift's missing conditions leave, the trash, and what many at once do."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Outcome, Stale
from syncer.stores.swift.capabilities import ClusterInfo
from syncer.stores.swift.client import Call, Connection
from syncer.stores.swift.objects import Objects
from syncer.stores.swift.trash import KEPT_DAYS, SwiftTrash
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import in_order
from tests.contract.swift_rig import SwiftRig
from tests.swift.server import Rule, Swift

DAY = 86_400


def meanwhile(rule: Rule, act: Callable[[], Outcome], other: Callable[[], None]) -> Outcome:
    """What comes of an act while somebody else does something, once the rule holds a request."""
    results: list[Outcome] = []
    worker = threading.Thread(target=lambda: results.append(act()))
    worker.start()
    rule.hits(at_least=1)
    other()
    rule.remove()
    worker.join()
    return results[0]


def delete(rig: SwiftRig, *paths: str) -> list[Outcome]:
    items = [DeleteRequest(path=path, expected=rig.entry(path)) for path in paths]
    return in_order(rig.store.delete(items), len(items))


# -- races ------------------------------------------------------------------------------


def test_an_edit_right_before_the_copy_into_the_trash_stays(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rule = swift.rule("hold", method="COPY")
    outcome = meanwhile(
        rule, lambda: rig.put("f", b"ours", expected=planned), lambda: rig.write("f", b"edit")
    )
    assert isinstance(outcome, Stale) and rig.read("f") == b"edit" and rig.kept() == []


def test_an_edit_right_before_the_copy_into_the_trash_is_not_deleted(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"old")
    rule = swift.rule("hold", method="COPY")
    outcome = meanwhile(rule, lambda: delete(rig, "f")[0], lambda: rig.write("f", b"edit"))
    assert isinstance(outcome, Stale) and rig.read("f") == b"edit"


def versioned(rig: SwiftRig) -> None:
    rig.hands.ask("POST", headers={"X-Versions-Enabled": "true"})


def test_where_versions_are_kept_an_overtaken_edit_becomes_a_conflict_copy(
    swift: Swift, rig: SwiftRig
) -> None:
    versioned(rig)
    rig.write("d/f.txt", b"old")
    planned = rig.entry("d/f.txt")
    rule = swift.rule("hold", method="PUT", path="*/f.txt")
    outcome = meanwhile(
        rule, lambda: rig.put("d/f.txt", b"ours", expected=planned), lambda: rig.write("d/f.txt", b"edit")
    )
    # The proxy names the time of a write before our rule holds it, or after: one of the two is overtaken.
    contents = {name: rig.read(f"d/{name}") for name in rig.store.list("d").entries}
    assert b"edit" in contents.values() and contents["f.txt"] in (b"ours", b"edit")
    if isinstance(outcome, Done):
        (copy,) = set(contents) - {"f.txt"}
        assert ".sync-conflict-" in copy and copy.endswith(".txt")


def test_where_versions_are_kept_an_edit_right_before_a_delete_becomes_a_copy(
    swift: Swift, rig: SwiftRig
) -> None:
    versioned(rig)
    rig.write("f", b"old")
    rule = swift.rule("hold", method="DELETE")
    outcome = meanwhile(rule, lambda: delete(rig, "f")[0], lambda: rig.write("f", b"edit"))
    assert isinstance(outcome, Done)
    assert [rig.read(name) for name in rig.store.list("").entries] == [b"edit"]


def test_ordinary_changes_in_a_versioned_container_make_no_copies(rig: SwiftRig) -> None:
    versioned(rig)
    entry = rig.put("f", b"1")
    for content in (b"2", b"3"):
        assert isinstance(entry, Done) and entry.entry is not None
        entry = rig.put("f", content, expected=entry.entry)
    assert delete(rig, "f") == [Done()]
    assert isinstance(rig.put("f", b"4"), Done)
    assert list(rig.store.list("").entries) == ["f"] and sorted(rig.kept()) == [b"1", b"2", b"3"]


def test_a_rename_whose_origin_is_edited_meanwhile_leaves_both_names_as_they_were(
    swift: Swift, rig: SwiftRig
) -> None:
    rig.write("f", b"old")
    item = RenameRequest(origin="f", path="g", expected=rig.entry("f"))
    rule = swift.rule("hold-answer", method="COPY")
    outcome = meanwhile(
        rule, lambda: in_order(rig.store.rename([item]), 1)[0], lambda: rig.write("f", b"edit")
    )
    assert isinstance(outcome, Stale) and rig.read("f") == b"edit" and rig.store.stat("g") is None


def test_a_rename_keeps_time_bit_and_digest(rig: SwiftRig) -> None:
    made = rig.put("f", b"x", mtime_ns=1_500_000_000, executable=True)
    assert isinstance(made, Done) and made.entry is not None
    outcome = in_order(rig.store.rename([RenameRequest(origin="f", path="g", expected=made.entry)]), 1)[0]
    entry = rig.entry("g")
    assert isinstance(outcome, Done) and outcome.entry == entry and entry.version != made.entry.version
    assert (entry.mtime_ns, entry.executable, entry.digest) == (1_500_000_000, True, made.entry.digest)


def test_on_a_cluster_that_does_not_heed_conditions_a_taken_name_is_looked_for(
    swift: Swift, rig: SwiftRig
) -> None:
    """As Ceph: `If-None-Match: *` on a PUT does nothing."""

    def unheeded(call: Call) -> Call:
        headers = {k: v for k, v in call.headers.items() if k != "If-None-Match"}
        return Call(**{f: getattr(call, f) for f in call.__slots__} | {"headers": headers})

    rig.connection.changed = unheeded
    rig.write("f", b"theirs")
    swift.clear()
    assert isinstance(rig.put("f", b"ours"), Stale) and isinstance(rig.make("f"), Stale)
    assert isinstance(rig.put("g", b"ours"), Done) and isinstance(rig.make("d"), Done)
    assert rig.read("f") == b"theirs" and rig.entry("d").kind is Kind.DIRECTORY
    state = rig.store.root()
    assert state is not None and state.marker == "ab" * 16


def test_a_deleted_file_keeps_its_directory(rig: SwiftRig) -> None:
    rig.write("d/f", b"x")
    rig.write("e/g", b"x")
    delete(rig, "d/f")
    in_order(rig.store.rename([RenameRequest(origin="e/g", path="h", expected=rig.entry("e/g"))]), 1)
    kinds = {n: e.kind for n, e in rig.store.list("").entries.items() if isinstance(e, Entry)}
    assert kinds == {"d": Kind.DIRECTORY, "e": Kind.DIRECTORY, "h": Kind.FILE}


def test_many_directories_are_made_level_by_level(rig: SwiftRig) -> None:
    paths = [f"a{n}/b/c"[: 2 + 2 * depth] for depth in range(3) for n in range(6)]
    outcomes = in_order(rig.store.make_directories([MkdirRequest(path=path) for path in paths]), len(paths))
    assert all(isinstance(o, Done) for o in outcomes)
    assert list(rig.store.list("a3/b").entries) == ["c"]


# -- many at once -----------------------------------------------------------------------


def test_many_deletes_go_by_bulk_and_each_is_kept(swift: Swift, rig: SwiftRig) -> None:
    paths = [f"d/ä {n}%+?#" for n in range(60)]
    for n, path in enumerate(paths):
        rig.write(path, b"%d" % n)
    items = [DeleteRequest(path=p, expected=rig.entry(p)) for p in paths]
    rig.write(paths[7], b"edited")
    rig.remove(paths[8])
    swift.clear()
    outcomes = in_order(rig.store.delete(items), 60)
    kinds = [type(o) for o in outcomes]
    assert kinds[7] is kinds[8] is Stale and kinds.count(Done) == 58
    assert rig.read(paths[7]) == b"edited" and len(rig.kept()) == 58
    assert len(swift.requests(method="POST", kind="account")) == 2
    assert swift.requests(method="DELETE") == []


@pytest.mark.parametrize(
    "body", ["", "{}", '{"Number Deleted": 3, "Response Status": "502 Bad Gateway"}', "[]"]
)
def test_a_bulk_delete_without_a_sound_answer_is_not_believed(swift: Swift, rig: SwiftRig, body: str) -> None:
    paths = [f"f{n}" for n in range(10)]
    for path in paths:
        rig.write(path, b"x")
    swift.rule("status", method="POST", kind="account", status=200, body=body)
    assert [type(o) for o in delete(rig, *paths)] == [Failed] * 10
    assert all(rig.read(path) == b"x" for path in paths)


def test_what_a_bulk_delete_could_not_delete_has_failed(swift: Swift, rig: SwiftRig) -> None:
    paths = [f"f{n}" for n in range(10)]
    for path in paths:
        rig.write(path, b"x")
    name = f"/{rig.place.url(rig.place.name('f3'))}"
    told = f'{{"Number Deleted": 9, "Errors": [["{name}", "409 Conflict"]], "Response Status": "400 Bad"}}'
    swift.rule("answer", method="POST", kind="account", body="  \r\n " + told)
    kinds = [type(o) for o in delete(rig, *paths)]
    assert kinds[3] is Failed and kinds.count(Done) == 9


def test_many_small_files_are_fetched_ahead_and_read_in_order(rig: SwiftRig) -> None:
    outcomes = rig.put_all([rig.item(f"f{n:03}", b"%d" % n * n) for n in range(100)])
    wanted = [(f"f{n:03}", o.entry) for n, o in enumerate(outcomes) if isinstance(o, Done) and o.entry]
    rig.write("f050", b"changed")
    sources = rig.store.open_many(wanted)
    for n, source in enumerate(sources):
        if n == 50:
            with pytest.raises(Exception, match="changed"):
                list(source.chunks())
        elif n % 7:  # some are not read at all
            assert b"".join(source.chunks()) == b"%d" % n * n
    assert b"".join(sources[3].chunks()) == b"333"


# -- the trash --------------------------------------------------------------------------


def test_the_trash_keeps_metadata_and_never_expires_by_itself(rig: SwiftRig) -> None:
    rig.hands.put(rig.place.name("f"), b"x", X_Object_Meta_Mtime="5", X_Delete_At="4000000000")
    delete(rig, "f")
    (kept,) = rig.hands.names(f"{rig.place.private}trash/")
    headers = rig.hands.ask("HEAD", kept).headers
    assert headers["X-Object-Meta-Mtime"] == "5" and "X-Delete-At" not in headers
    assert kept.endswith("/f")


def test_a_clock_that_runs_ahead_prunes_nothing(rig: SwiftRig) -> None:
    rig.write("f", b"x")
    delete(rig, "f")
    rig.store.close()
    rig.clock.slept.append((KEPT_DAYS + 1) * DAY)
    later = rig.opened(Connection(rig.door, clock=rig.clock))
    rig.write("h", b"y")
    (outcome,) = in_order(later.delete([DeleteRequest(path="h", expected=later.stat("h"))]), 1)
    assert isinstance(outcome, Done)
    later.close()
    assert sorted(rig.kept()) == [b"x", b"y"]


def test_the_trash_is_pruned_by_age_alone(rig: SwiftRig) -> None:
    rig.write("f", b"x")
    delete(rig, "f")
    rig.hands.put(f"{rig.place.private}trash/unknown/g", b"nobody's")
    assert len(rig.hands.names(f"{rig.place.private}trash/")) == 2
    rig.clock.slept.append(2.0)
    later = trash_of_a_run(rig, rig.clock, kept_days=0)
    rig.write("h", b"y")
    keep(rig, later, "h")
    later.prune()
    left = [rig.hands.ask("GET", name).content for name in rig.hands.names(f"{rig.place.private}trash/")]
    assert sorted(left) == [b"nobody's", b"y"]


class StoppedClock(SteppingClock):
    def now_ns(self) -> int:
        return 1_800_000_000 * 10**9


def trash_of_a_run(rig: SwiftRig, clock: SteppingClock, *, kept_days: int = KEPT_DAYS) -> SwiftTrash:
    connection = Connection(rig.door, clock=rig.clock)
    return SwiftTrash(
        Objects(connection, rig.place),
        ClusterInfo(connection, rig.place),
        clock,
        "0123abcd",
        kept_days=kept_days,
    )


def keep(rig: SwiftRig, trash: SwiftTrash, path: str) -> None:
    head = Objects(Connection(rig.door, clock=rig.clock), rig.place).head(rig.place.name(path))
    assert head is not None
    trash.keep(path, head)


def test_two_runs_of_one_second_keep_both_versions(rig: SwiftRig) -> None:
    for content in (b"1", b"2", b"3"):
        rig.write("f", content)
        keep(rig, trash_of_a_run(rig, StoppedClock()), "f")
    assert sorted(rig.kept()) == [b"1", b"2", b"3"]


def test_a_name_too_long_for_the_trash_is_kept_under_a_short_one(rig: SwiftRig) -> None:
    room = 1024 - len(rig.place.prefix.encode())
    path = "/".join(["x" * 200] * 4) + "/" + "y" * (room - 4 * 201)
    rig.write(path, b"long")
    assert delete(rig, path) == [Done()] and rig.kept() == [b"long"]


def test_a_copy_into_the_trash_that_fails_deletes_nothing(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    swift.rule("status", method="COPY", status=413, times=None)
    (outcome,) = delete(rig, "f")
    assert isinstance(outcome, Failed) and rig.read("f") == b"x"


def test_a_garbled_copy_deletes_nothing(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    swift.rule("answer", method="COPY", headers={"Etag": "0" * 32})
    (outcome,) = delete(rig, "f")
    assert isinstance(outcome, Failed) and rig.read("f") == b"x"
