"""The contract suite on the Orange store, in each way in which the service may turn out to behave.

Tests that need what this service cannot hold (symlinks, mtimes, permissions, names that are not UTF-8) are
left out by name; what the store does there instead is tested below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.engine.interfaces import DeleteRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Stale
from syncer.errors import Unholdable
from syncer.testing import contract_changes, contract_queries
from tests.contract.orange_rig import OrangeRig
from tests.contract.rigs import DECORATORS, Rig, in_order
from tests.doubles.orange import Options

UNHELD = {
    "test_a_listing_shows_files_directories_and_symlinks_of_one_directory",
    "test_a_listing_says_what_a_look_says",
    "test_sizes_are_bytes_of_content_or_of_the_target",
    "test_a_symlink_shows_its_target_and_that_targets_digest",
    "test_a_name_that_is_not_utf8_is_listed_with_its_bytes",
    "test_listing_what_is_no_directory_raises_not_found",
    "test_nothing_is_seen_through_a_symlink",
    "test_reading_a_small_file_stops_at_the_limit_and_never_fails",
    "test_a_put_makes_a_file_and_says_what_it_made",
    "test_times_long_ago_and_far_ahead_are_kept",
    "test_the_permission_to_execute_is_set_cleared_and_left",
    "test_a_symlink_is_put_with_its_target_only",
    "test_a_symlink_replaces_a_file_and_a_file_a_symlink",
    "test_nothing_is_put_through_a_symlink",
    "test_a_symlink_is_deleted_and_not_what_it_points_to",
    "test_time_and_permission_are_amended_and_the_content_stays",
}
MOVES_DATES = {  # a date that moves with a rename proves nothing: the next run reads the file once
    "test_what_a_put_answers_is_what_a_look_then_shows",
}
BEHAVIOURS: dict[str, Callable[[], Options]] = {
    "plain": Options,
    "taken names renamed, nested errors, created": lambda: Options(
        collisions="rename", shape="nested", write_status=201
    ),
    "taken names overwritten, old errors, accepted": lambda: Options(
        collisions="overwrite", shape="old", write_status=202, write_body=False
    ),
    "opaque ids": lambda: Options(opaque_ids=True),
    "opaque ids, no content": lambda: Options(opaque_ids=True, write_status=204),
    "no content": lambda: Options(write_status=204),
    "dates move": lambda: Options(touches_date=True),
    "lagging": lambda: Options(lag=3),
    "capped": lambda: Options(page_cap=50),
    "capped apart, ranges": lambda: Options(page_cap=50, counted_apart=True, ranges=True),
    "never flat, gateway errors": lambda: Options(flat=False, shape="none"),
}
TESTS = {
    name: test
    for module in (contract_queries, contract_changes)
    for name, test in vars(module).items()
    if name.startswith("test_") and name not in UNHELD
}


def cases(test: Callable[..., None]) -> Iterator[tuple[str, dict[str, object]]]:
    """The arguments of each case of a parametrized test."""
    marks = [m for m in getattr(test, "pytestmark", []) if m.name == "parametrize"]
    if not marks:
        yield "", {}
        return
    [mark] = marks
    names = [n.strip() for n in mark.args[0].split(",")] if isinstance(mark.args[0], str) else mark.args[0]
    for number, values in enumerate(mark.args[1]):
        if values == "link":
            continue
        given = values if len(names) > 1 else (values,)
        yield f"-{number}", dict(zip(names, given, strict=True))


def every() -> Iterator[object]:
    """All cases of all tests on the plain store, the first and the last case elsewhere."""
    for name, test in TESTS.items():
        found = list(cases(test))
        for behaviour in (*BEHAVIOURS, *(f"plain{decorator}" for decorator in DECORATORS if decorator)):
            some = found if behaviour == "plain" or len(found) == 1 else [found[0], found[-1]]
            for end, given in some:
                yield pytest.param(test, given, behaviour, id=f"{name}{end}-{behaviour}")


@pytest.mark.parametrize(("test", "given", "behaviour"), list(every()))
def test_the_contract_holds(
    test: Callable[..., None], given: dict[str, object], behaviour: str, tmp_path: Path
) -> None:
    name, plus, decorator = behaviour.partition("+")
    if name == "dates move" and test.__name__ in MOVES_DATES:
        test = a_file_whose_date_moved_is_not_trusted
    rig = OrangeRig(tmp_path, BEHAVIOURS[name]())
    rig.store = DECORATORS[plus + decorator](rig.store)
    try:
        test(rig, **given)
    finally:
        rig.store.close()


def test_what_is_left_out_is_there_to_be_left_out() -> None:
    there = {*vars(contract_queries), *vars(contract_changes)}
    assert {n for n in (UNHELD | MOVES_DATES) if n not in there} == set()


def a_file_whose_date_moved_is_not_trusted(rig: Rig) -> None:
    outcome = rig.put("f", b"content")
    assert isinstance(outcome, Done) and outcome.entry is not None
    assert not outcome.entry.trusted and outcome.entry.digest == blake3(b"content").digest()
    assert rig.entry("f").version == outcome.entry.version


# What the service cannot hold


def test_neither_time_nor_permission_is_held_and_the_mtime_is_the_service_s(rig: OrangeRig) -> None:
    outcome = rig.put("f", b"content", mtime_ns=5 * 10**9, executable=True)
    assert isinstance(outcome, Done) and outcome.entry is not None and outcome.sent == 7
    entry = outcome.entry
    assert (entry.kind, entry.size, entry.digest) == (Kind.FILE, 7, blake3(b"content").digest())
    assert (
        entry.executable is None and entry.mtime_ns == int(rig.double.drive.nodes[rig.at("f")].date) * 10**9
    )
    able = rig.store.capabilities
    assert (able.mtime_granularity_ns, able.executable, able.symlinks, able.any_bytes) == (
        0,
        False,
        False,
        False,
    )


def test_amending_changes_nothing_and_checks_what_was_planned_on(rig: OrangeRig) -> None:
    rig.write("f", b"old")
    planned = replace(rig.entry("f"), digest=b"d" * 32)
    item = SetAttributesRequest(path="f", expected=planned, mtime_ns=7, executable=True)
    assert in_order(rig.store.set_attributes([item]), 1) == [Done(entry=planned)]
    rig.write("f", b"edited")
    assert isinstance(in_order(rig.store.set_attributes([item]), 1)[0], Stale)


def test_a_symlink_is_refused(rig: OrangeRig) -> None:
    outcome = rig.put_link("l", "somewhere")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)
    assert rig.store.list("").entries == {}


def test_a_name_that_is_not_utf8_is_refused_by_every_change(rig: OrangeRig) -> None:
    rig.write("f", b"x")
    bad, entry = "latin-\udce9", rig.entry("f")
    for outcome in (
        rig.put(bad, b"x"),
        rig.make(bad),
        in_order(rig.store.rename([RenameRequest(origin="f", path=bad, expected=entry)]), 1)[0],
        in_order(rig.store.delete([DeleteRequest(path=bad, expected=entry)]), 1)[0],
    ):
        assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)
    assert list(rig.store.list("").entries) == ["f"]


def test_a_listing_shows_files_and_directories_and_says_what_a_look_says(rig: OrangeRig) -> None:
    rig.write("f", b"123")
    rig.write("d/inner", b"")
    found = rig.store.list("").entries
    assert {n: e.kind for n, e in found.items() if isinstance(e, Entry)} == {
        "f": Kind.FILE,
        "d": Kind.DIRECTORY,
    }
    assert (found["f"], found["d"]) == (rig.entry("f"), rig.entry("d"))
    assert [rig.entry(name).size for name in ("f", "d")] == [3, 0]


def test_what_is_no_directory_is_not_listed_and_what_is_no_file_not_read(rig: OrangeRig) -> None:
    rig.write("f", b"123456")
    rig.mkdir("d")
    for path in ("missing", "f", "f/below"):
        with pytest.raises(Exception, match=r"no such folder|not found"):
            rig.store.list(path)
    assert rig.store.read_file("f", 4) == b"1234" and rig.store.read_file("f", 100) == b"123456"
    assert [rig.store.read_file(p, 9) for p in ("missing", "d", "f/below")] == [b""] * 3
