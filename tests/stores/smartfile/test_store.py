"""What the service does in more than one way, tasks that fail, and what the store keeps for itself."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, Failed, Outcome, Stale
from syncer.errors import (
    AuthError,
    ChangedUnderUs,
    NotFound,
    PermanentError,
    QuotaExceeded,
    TransientError,
    Unholdable,
)
from syncer.stores.remote.trash import age_ns
from syncer.stores.retry import RetryingStore
from syncer.stores.smartfile import attributes
from syncer.testing.scans import changed_directories
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order
from tests.contract.smartfile_rig import ROOT, SmartFileRig
from tests.doubles.faults import Aborted, Answer, Meanwhile
from tests.doubles.smartfile import Options, Script
from tests.doubles.smartfile.misbehaviour import out_of_space, refused, throttled, wrong_checksum
from tests.stores.smartfile.bases import NEW, OLD

DAY = 86_400
HABITS: dict[str, Options] = {
    "attributes survive nothing": Options(attributes_survive=frozenset()),
    "attributes survive all but a rename": Options(attributes_survive=frozenset({"overwrite", "copy"})),
    "a rename replaces": Options(rename_onto="replace"),
    "a taken name is a bad request": Options(rename_onto_status=400),
    "fresh files take no attributes": Options(settle=5.0),
    "tasks take effect at their end": Options(task_effect="end"),
    "tasks are told flatly": Options(task_layout="flat"),
    "tasks are done at once": Options(task_states=()),
    "missing paths are 404": Options(missing_status=404),
    "uploads are answered by a list": Options(upload_as_list=True, upload_status=201),
    "broken uploads leave a part": Options(keep_partial=True),
    "numbers are numbers": Options(quota_as_text=False),
}


@pytest.mark.parametrize("habit", HABITS)
def test_a_life_with_every_habit_of_the_service(tmp_path: Path, habit: str) -> None:
    rig = SmartFileRig(tmp_path, HABITS[habit])
    entry = done(rig.put("f", OLD, mtime_ns=5, executable=True))
    rig.make("d")
    entry = done(rig.put("f", NEW, expected=again(rig, entry), mtime_ns=6))
    assert (entry.mtime_ns, entry.executable) == (6, True)
    entry = done(one(rig.store.rename([RenameRequest(origin="f", path="d/g", expected=again(rig, entry))])))
    entry = done(
        one(
            rig.store.set_attributes(
                [
                    SetAttributesRequest(
                        path="d/g", expected=again(rig, entry, "d/g"), mtime_ns=7, executable=None
                    )
                ]
            )
        )
    )
    assert rig.entry("d/g").mtime_ns == 7 and rig.read("d/g") == NEW
    assert isinstance(
        one(rig.store.delete([DeleteRequest(path="d/g", expected=again(rig, entry, "d/g"))])), Done
    )
    assert [type(o) for o in in_order(rig.store.remove_directories(["d"]), 1)] == [Done]
    assert rig.store.list("").entries == {} and sorted(rig.kept()) == sorted([OLD, NEW])
    rig.store.close()


def again(rig: SmartFileRig, entry: Entry, path: str = "f") -> Entry:
    """What the store answered is what a look shows."""
    assert rig.entry(path).version == entry.version
    return entry


def done(outcome: object) -> Entry:
    assert isinstance(outcome, Done), outcome
    assert outcome.entry is not None
    return outcome.entry


def one(results: object) -> Outcome:
    return in_order(results, 1)[0]


def test_a_rename_that_gives_another_time_is_found_out(rig: SmartFileRig) -> None:
    """The service's habit, not another client: the old version goes to the trash all the same."""

    def stamp() -> None:
        for node in rig.double.site.tree.walk():
            if not node.isdir and "root-id" not in node.path:
                node.time += 100

    rig.write("f", b"old")
    expected = rig.entry("f")
    rig.double.misbehave("POST", "/oper/rename/", Meanwhile(hand=stamp, after=True), times=None)
    entry = done(rig.put("f", b"new", expected=expected))
    assert not entry.trusted and rig.read("f") == b"new" and rig.kept() == [b"old"]


def test_after_a_rename_that_gave_another_time_no_digest_is_noted(rig: SmartFileRig) -> None:
    """Somebody may have written there meanwhile: the note would vouch for content that nobody read."""

    def stamp() -> None:
        rig.double.site.tree.find(f"{ROOT}/f").time += 100

    rig.double.misbehave("POST", "/oper/rename/", Meanwhile(hand=stamp, after=True))
    assert done(rig.put("f", b"new")).digest is not None
    mark = attributes.read(rig.double.attributes(f"{ROOT}/f"))
    assert mark is not None and mark.digest is None


def test_what_a_rename_took_that_was_not_meant_is_put_back(rig: SmartFileRig) -> None:
    rig.write("f", b"old")
    hand = Meanwhile(hand=lambda: rig.write("f", b"edited in the last instant"))
    rig.double.misbehave("POST", "/oper/rename/", hand)
    assert isinstance(one(rig.store.delete([DeleteRequest(path="f", expected=rig.entry("f"))])), Stale)
    assert rig.read("f") == b"edited in the last instant"


def test_a_directory_that_fills_in_the_last_instant_stays_with_all_in_it(rig: SmartFileRig) -> None:
    rig.mkdir("d")
    rig.double.misbehave("POST", "/oper/rename/", Meanwhile(hand=lambda: rig.write("d/f", b"new")))
    assert [type(o) for o in in_order(rig.store.remove_directories(["d"]), 1)] == [Stale]
    assert rig.read("d/f") == b"new"


def test_nothing_is_removed_with_what_is_in_it(rig: SmartFileRig) -> None:
    rig.mkdir("d")
    in_order(rig.store.remove_directories(["d"]), 1)
    assert f"{ROOT}/d" not in rig.double.contents()
    assert len(rig.double.asked("POST", "/oper/remove/")) == 1


TASKS: dict[str, Script] = {
    "it fails": Script(end="FAILURE"),
    "it never ends": Script(end=None),
}


@pytest.mark.parametrize("what", TASKS)
def test_a_checksum_that_does_not_come_is_no_success(rig: SmartFileRig, what: str) -> None:
    rig.double.script_tasks(TASKS[what])
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert rig.store.stat("f") is None
    assert sum(rig.clock.slept) < 500


def test_a_task_that_is_forgotten_is_no_success(rig: SmartFileRig) -> None:
    rig.double.misbehave("GET", "/task/", Meanwhile(hand=rig.double.expire_tasks))
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)


def test_a_copy_whose_task_is_forgotten_is_looked_for(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    rig.double.misbehave("GET", "/task/", Meanwhile(hand=rig.double.expire_tasks))
    outcome = rig.put("f", NEW, expected=rig.entry("f"))
    assert isinstance(outcome, Done) and rig.read("f") == NEW and outcome.sent < 8000


def test_success_with_an_error_in_it_is_a_failure_of_that_path(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    rig.double.script_tasks(Script(errors={f"{ROOT}/f": "Disk on fire"}))
    outcome = rig.put("f", NEW, expected=rig.entry("f"))
    assert isinstance(outcome, Done) and outcome.sent == len(NEW)  # the copy failed: sent whole
    rig.double.script_tasks(Script(errors={f"{ROOT}/f": "Disk on fire"}))
    with pytest.raises(PermanentError, match="Disk on fire"):
        rig.store.inner._root.api.checksum(f"{ROOT}/f")


def test_content_that_arrived_damaged_is_not_given_the_name(rig: SmartFileRig) -> None:
    rig.double.misbehave("GET", "/task/", wrong_checksum(), skip=2)
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert rig.store.stat("f") is None and rig.store.list("").entries == {}


def test_a_service_without_checksums_is_read_back(rig: SmartFileRig) -> None:
    rig.double.misbehave("POST", "/oper/checksum/", refused(400, {"algorithm": ["no"]}), times=None)
    assert isinstance(rig.put("f", b"x" * 5000), Done)
    assert len(rig.double.asked("GET", "/path/data/.*/.syncer/work/")) == 1


def test_an_upload_that_failed_with_a_status_of_200_is_a_failure(rig: SmartFileRig) -> None:
    midway = Answer(
        status=200, headers={"content-type": "application/json"}, body=b'{"status": 400, "detail": "no"}'
    )
    rig.double.misbehave("POST", "/path/data/", midway)
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, PermanentError)
    assert rig.store.stat("f") is None


def test_an_upload_throttled_in_its_middle_arrives_whole(rig: SmartFileRig) -> None:
    """Whether the answer is heard or the connection breaks first is up to chance."""
    data = OLD * 3
    rig.double.forget()
    rig.double.misbehave("POST", "/path/data/", throttled(1.5, after=100_000))
    rig.store = RetryingStore(rig.store, sleep=rig.clock.sleep)
    assert isinstance(rig.put("f", data), Done) and rig.read("f") == data
    assert len(rig.double.asked("POST", "/path/data/.*/work/")) == 2


@pytest.mark.parametrize("data", [b"short", b"longer than it was", OLD[:-1], OLD + b"x"])
@pytest.mark.parametrize("old", [b"", OLD])
def test_a_source_of_another_length_publishes_nothing(rig: SmartFileRig, old: bytes, data: bytes) -> None:
    planned = old or b"planned size"
    rig.write("f", old)
    outcome = rig.put("f", planned, expected=rig.entry("f"), source=BytesSource(data))
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    rig.double.rest()
    assert rig.read("f") == old and rig.kept() == []


@pytest.mark.parametrize("keep", [False, True])
def test_an_upload_that_breaks_off_leaves_no_part_under_the_name(tmp_path: Path, keep: bool) -> None:
    rig = SmartFileRig(tmp_path, Options(keep_partial=keep))
    rig.write("f", b"old")
    rig.double.misbehave("POST", "/path/data/", Aborted(after=300_000))
    outcome = rig.put("f", OLD, expected=rig.entry("f"))
    assert isinstance(outcome, Failed) and rig.read("f") == b"old"
    assert isinstance(rig.put("f", OLD, expected=rig.entry("f")), Done) and rig.read("f") == OLD
    rig.store.close()


@pytest.mark.parametrize("status", [400, 402])
def test_a_full_account_is_told_as_such(rig: SmartFileRig, status: int) -> None:
    rig.double.misbehave("POST", "/path/data/", out_of_space(status))
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, QuotaExceeded)


def test_the_room_that_is_left_is_told(rig: SmartFileRig) -> None:
    rig.double.options.disk_limit = 1000
    room = rig.store.free_space()
    assert room is not None and 900 < room < 1000
    rig.clock.sleep(60)
    rig.double.misbehave("GET", "/whoami/", Answer(status=500), times=2)
    assert rig.store.free_space() is None


def test_a_login_that_is_revoked_ends_the_run(rig: SmartFileRig) -> None:
    rig.write("f", b"x")
    entry = rig.entry("f")
    rig.double.revoke()
    for call in (
        lambda: rig.store.list(""),
        lambda: rig.store.stat("f"),
        rig.store.root,
        lambda: changed_directories(rig.store, [("", b"")]),
        lambda: rig.put("g", b"x"),
        lambda: list(rig.store.delete([DeleteRequest(path="f", expected=entry)])),
        lambda: list(rig.store.with_digests([("f", entry)])),
        rig.store.free_space,
    ):
        with pytest.raises(AuthError):
            call()


def test_a_root_that_vanished_is_not_made_anew_by_a_put(rig: SmartFileRig) -> None:
    rig.drop_root()
    assert not isinstance(rig.put("f", b"x"), Done)
    assert ROOT not in rig.double.contents()


def test_a_root_is_made_only_where_its_parent_stands(tmp_path: Path) -> None:
    rig = SmartFileRig(tmp_path)
    rig.double.remove("/base")
    with pytest.raises(NotFound):
        rig.store.create_root()
    assert rig.double.contents() == {}
    rig.store.close()


def test_a_service_that_tells_no_case_apart_is_found_out(tmp_path: Path) -> None:
    rig = SmartFileRig(tmp_path, Options(case_blind=True))
    assert rig.store.capabilities.folds_case
    entry = done(rig.put("Name", b"x"))
    assert isinstance(
        one(rig.store.rename([RenameRequest(origin="Name", path="name", expected=entry)])), Done
    )
    assert list(rig.store.list("").entries) == ["name"]
    rig.store.close()
    plain = SmartFileRig(tmp_path)
    assert not plain.store.capabilities.folds_case
    plain.store.close()


def test_what_other_programs_noted_stays_with_the_name_but_for_digests(rig: SmartFileRig) -> None:
    rig.double.write(f"{ROOT}/f", b"old", attributes={"color": "red", "checksum": "0" * 32})
    done(rig.put("f", b"new", expected=rig.entry("f"), mtime_ns=0))
    noted = rig.double.attributes(f"{ROOT}/f")
    assert noted["color"] == "red" and "checksum" not in noted
    assert noted[attributes.MODIFIED] == "1970-01-01 00:00:00"


def test_a_target_longer_than_an_attribute_may_hold_is_refused(rig: SmartFileRig) -> None:
    outcome = rig.put_link("l", "x" * 2000)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%2Fb", "a b", "a+b&c=d", "ü", "a;b", "..a", "\\", '"q"'])
def test_every_name_survives_the_url_and_the_form(rig: SmartFileRig, name: str) -> None:
    entry = done(rig.put(name, OLD))
    entry = done(rig.put(name, NEW, expected=entry))
    assert list(rig.store.list("").entries) == [name] and rig.read(name) == NEW
    assert b"".join(rig.store.open(name, entry).chunks()) == NEW
    done(one(rig.store.rename([RenameRequest(origin=name, path=f"{name}2", expected=entry)])))
    assert list(rig.store.list("").entries) == [f"{name}2"]


def test_old_trash_and_dead_runs_are_pruned_after_a_run_that_went_well(rig: SmartFileRig) -> None:
    own = f"{ROOT}/.syncer"
    for run, kept in (("trash/20200101-000000-0123abcd-9f3c", "a/b"), ("work/20200101-000000-ffff-1", "7")):
        rig.double.write(f"{own}/{run}/{kept}", b"x")
        rig.double.mkdir(f"{own}/{run}", time=1_577_836_800)
    rig.double.write(f"{own}/trash/somebody's/b", b"x")
    rig.write("f", b"old")
    done(rig.put("f", b"new", expected=rig.entry("f")))
    rig.store.inner.close()
    contents = rig.double.contents()
    assert not [path for path in contents if "/20200101" in path]
    assert f"{own}/trash/somebody's/b" in contents and b"old" in contents.values()


def test_a_run_that_failed_prunes_nothing(rig: SmartFileRig) -> None:
    run = f"{ROOT}/.syncer/trash/20200101-000000-0123abcd-9f3c"
    old = f"{run}/a"
    rig.double.write(old, b"x")
    rig.double.mkdir(run, time=1_577_836_800)
    rig.write("f", b"old")
    done(rig.put("f", b"new", expected=rig.entry("f")))
    rig.double.misbehave("POST", "/path/data/", Answer(status=500))
    rig.put("g", b"x")
    rig.store.inner.close()
    assert old in rig.double.contents()


def test_a_run_with_a_young_date_is_kept_whatever_its_name_says(rig: SmartFileRig) -> None:
    """The name may have been made by a client whose clock was sixty days behind."""
    kept = f"{ROOT}/.syncer/trash/20200101-000000-0123abcd-9f3c/a"
    rig.double.write(kept, b"precious")
    rig.write("f", b"old")
    done(rig.put("f", b"new", expected=rig.entry("f")))
    rig.store.inner.close()
    assert rig.double.contents()[kept] == b"precious"


def test_what_a_client_with_a_wrong_clock_keeps_is_named_by_the_service_s(rig: SmartFileRig) -> None:
    rig.clock.slept.append(-60.0 * DAY)
    for name in ("f", "g"):
        rig.write(name, name.encode())
        with closing(rig.another()) as run:
            in_order(run.delete([DeleteRequest(path=name, expected=rig.entry(name))]), 1)
        rig.clock.slept.append(60.0 * DAY)
    assert sorted(rig.kept()) == [b"f", b"g"]
    trash = f"{ROOT}/.syncer/trash/"
    runs = {path[len(trash) :].split("/")[0] for path in rig.double.contents() if path.startswith(trash)}
    assert len(runs) == 2 and all(abs(age_ns(run, time.time_ns())) < 3600 * 10**9 for run in runs)


def test_the_service_s_clock_is_waited_for_so_that_a_version_can_be_trusted(tmp_path: Path) -> None:
    rig = SmartFileRig(tmp_path)
    rig.double.set_clock(lambda: rig.clock.now_ns() / 1e9)
    entry = done(rig.put("f", b"x"))
    assert any(1.0 < slept <= 5.0 for slept in rig.clock.slept)
    assert not entry.trusted  # the Date of the answers is not that of the double's clock: no proof
    rig.store.close()


def test_no_secret_is_in_any_log(rig: SmartFileRig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        rig.write("f", OLD)
        rig.put("f", NEW, expected=rig.entry("f"))
        rig.double.misbehave("GET", "/path/info/", Answer(status=500), times=2)
        with pytest.raises(TransientError):
            rig.store.stat("f")
    assert rig.double.password not in caplog.text


def test_where_the_new_content_cannot_get_the_name_the_old_gets_it_back(rig: SmartFileRig) -> None:
    rig.write("f", b"old")
    expected = rig.entry("f")
    rig.double.misbehave("POST", "/oper/rename/", Answer(status=500), skip=1, times=3)
    outcome = rig.put("f", b"new", expected=expected)
    assert isinstance(outcome, Failed) and rig.read("f") == b"old" and rig.kept() == []


@pytest.mark.parametrize("young", [False, True])
def test_a_digest_is_noted_only_of_what_cannot_have_changed_since(rig: SmartFileRig, young: bool) -> None:
    rig.double.write(f"{ROOT}/f", b"x", time=rig.clock.now_ns() / 1e9 - (0 if young else DAY))
    expected = replace(rig.entry("f"), digest=bytes(32))
    assert expected.trusted is not young
    done(
        one(
            rig.store.set_attributes(
                [SetAttributesRequest(path="f", expected=expected, mtime_ns=7, executable=True)]
            )
        )
    )
    mark = attributes.read(rig.double.attributes(f"{ROOT}/f"))
    assert mark is not None and (mark.mtime_ns, mark.executable) == (7, True)
    assert mark.digest == (None if young else bytes(32))
