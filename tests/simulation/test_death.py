"""The process dies at every call of a run: nothing is lost, and the next runs end as if it had not."""

from __future__ import annotations

import pytest

from tests.simulation.cases import Lab

WHENS = ("before", "after")
FIRST_RUN_CALLS = 60


def test_the_story_has_every_kind_of_call(lab: Lab) -> None:
    kinds = {call.partition(".")[2] for call in lab.calls}
    assert kinds >= {
        "create", "write", "set_mode", "set_times", "set_link_times", "sync", "link", "symlink", "rename",
        "rename_noreplace", "exchange", "unlink", "mkdir", "rmdir", "commit",
    }  # fmt: skip
    assert len(lab.calls) > 250


def test_the_story_ends_as_told(lab: Lab) -> None:
    local = {path: data for path, (_, data, _) in lab.result.local.items()}
    assert local["both-edited"] == b"edited here, the newer\n"
    assert local["edit-beats-delete"] == b"edited here, deleted there\n"
    assert local["delete-loses"] == b"deleted here, edited there\n"
    assert local["settled/renamed-to"] == b"base of renamed-here\n"
    assert local["goes-but-edited/kept"].startswith(b"edited in a directory")
    assert "goes-but-edited/dropped" not in local
    assert sum(".sync-conflict-" in path for path in local) == 3
    assert {p: s for p, s in lab.result.remote.items() if p not in ("noise.log", "private.bak")} == {
        p: s for p, s in lab.result.local.items() if p != "noise.log"
    }


@pytest.mark.parametrize("when", WHENS)
def test_a_death_loses_nothing(lab: Lab, when: str) -> None:
    lab.campaign("death", ((k, when) for k in range(1 + WHENS.index(when), len(lab.calls) + 1, 5)))


@pytest.mark.long
@pytest.mark.parametrize("when", WHENS)
def test_a_death_at_any_call_loses_nothing(lab: Lab, when: str) -> None:
    lab.campaign("death", ((k, when) for k in range(1, len(lab.calls) + 1)))


def test_a_death_in_the_middle_of_a_write_tears_nothing(lab: Lab) -> None:
    writes = [k for k, call in enumerate(lab.calls, 1) if call.endswith(".write")]
    lab.campaign("death", ((k, "half") for k in writes))


def test_a_short_write_is_continued(lab: Lab) -> None:
    writes = [k for k, call in enumerate(lab.calls, 1) if call.endswith(".write")]
    lab.campaign("short", ((k,) for k in writes))


def test_deaths_in_the_recovery_lose_nothing(lab: Lab) -> None:
    lab.campaign("relapse", ((seed,) for seed in range(40)))


@pytest.mark.long
@pytest.mark.parametrize("hundred", range(20))
def test_many_deaths_in_the_recovery_lose_nothing(lab: Lab, hundred: int) -> None:
    lab.campaign("relapse", ((hundred * 100 + seed,) for seed in range(100)))


@pytest.mark.parametrize("when", WHENS)
def test_a_death_in_the_very_first_run_is_healed(lab: Lab, when: str) -> None:
    lab.campaign("first_death", ((k, when) for k in range(1, FIRST_RUN_CALLS)))
