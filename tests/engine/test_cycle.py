"""What makes a run look again at directories that did not change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.engine.model import Mode, Policy
from tests.desk import Desk, desk_in


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Both sides in step, and nothing left to look at."""
    with desk_in(tmp_path, Policy()) as made:
        made.agree({"keep": b"kept", "d/f": b"first", "d/f.tmp": b"scratch"})
        assert made.run().actions == ()
        made.memory.may_forget = True
        yield made


def with_policy(desk: Desk, **more: object) -> None:
    desk.pair = replace(desk.pair, policy=replace(desk.pair.policy, **more))


def test_other_rules_of_the_job_are_heard_although_no_file_changed(desk: Desk) -> None:
    with_policy(desk, ignore=("*.tmp",))
    desk.run()
    assert set(desk.rows()) == {"keep", "d", "d/f"}
    assert desk.local.content("d/f.tmp") == desk.remote.content("d/f.tmp") == b"scratch"


def test_rules_that_are_gone_again_let_the_file_back_in(desk: Desk) -> None:
    with_policy(desk, ignore=("*.tmp",))
    desk.run()
    with_policy(desk, ignore=())
    desk.run()
    assert "d/f.tmp" in desk.rows()


def test_another_mode_looks_at_everything_as_well(desk: Desk) -> None:
    with_policy(desk, mode=Mode.PUSH)
    desk.remote.remove("d/f")
    desk.run()
    assert desk.remote.content("d/f") == b"first"


def test_a_full_run_finds_what_the_stamps_hide(desk: Desk) -> None:
    desk.remote._nodes["d/f"].data = b"other"  # as a lying file system does: same stamp, other bytes
    assert desk.run().actions == ()
    with_policy(desk, full=True)
    desk.run()
    assert desk.local.content("d/f") == b"other"


def test_a_death_while_sealing_under_new_rules_hides_nothing_from_the_old_ones(tmp_path: Path) -> None:
    class Death(BaseException):
        pass

    with desk_in(tmp_path, Policy()) as desk:
        desk.agree({"d/a": b"agreed"})
        desk.local.write("d/n.tmp", b"ignored for one run")
        seal = desk.memory.inner.seal

        def seal_and_die(found: Iterable[tuple[str, bytes | None, bytes | None]]) -> None:
            told = list(found)
            seal(told)
            if any(local for _, local, _ in told):
                raise Death

        as_before, desk.memory.seal = desk.pair, seal_and_die  # type: ignore[attr-defined]
        desk.pair = replace(desk.pair, policy=Policy(ignore=("*.tmp",)))
        with pytest.raises(Death):
            desk.run()
        desk.pair, desk.memory.seal = as_before, seal  # type: ignore[attr-defined]
        desk.run()
        assert desk.remote.content("d/n.tmp") == b"ignored for one run"
