"""The identity of a state directory on a machine, by which names of ours differ from anybody else's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from syncer.clock import SystemClock
from syncer.config import JobSettings, Location, Settings
from syncer.jobs import factory
from syncer.jobs.state_dir import place_of
from syncer.state import installation


def test_two_machines_with_the_same_home_path_have_different_tags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when one home directory is used on two machines: the very same path, another disk behind it."""
    home = tmp_path / "home"
    tags = []
    for machine in ("one", "other"):
        monkeypatch.setattr(installation, "_MACHINE", (tmp_path / machine,))
        (tmp_path / machine).write_text(machine)
        home.mkdir(mode=0o700)
        tags.append(installation.tag(home, "pair"))
        shutil.rmtree(home)
    assert tags[0] != tags[1]


def test_a_state_directory_copied_to_another_machine_or_place_gets_another_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    tag = installation.tag(tmp_path / "state", "pair")
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    assert installation.tag(tmp_path / "copy", "pair") != tag
    monkeypatch.setattr(installation, "_MACHINE", (tmp_path / "machine-id",))
    (tmp_path / "machine-id").write_text("another machine")
    assert installation.tag(tmp_path / "state", "pair") != tag


def test_a_tag_stays_the_same_from_one_run_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert installation.tag(tmp_path / "state", "pair") == installation.tag(tmp_path / "state", "pair")
    assert (tmp_path / "state" / "installation").stat().st_mode & 0o777 == 0o600


def test_looking_where_there_is_no_state_directory_makes_none(tmp_path: Path) -> None:
    assert installation.tag(tmp_path / "state", "pair")
    assert not (tmp_path / "state").exists()


def test_two_state_directories_mark_what_they_stage_in_one_folder_differently(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    tags = []
    for state in ("state-1", "state-2"):
        (tmp_path / state).mkdir()
        where = Location(account="local", path=str(tmp_path / "remote"))
        job = JobSettings(name="docs", local=tmp_path / "local", remote=where)
        settings = Settings(path=None, state_dir=tmp_path / state, accounts={}, jobs={"docs": job})
        with factory.stores(settings, job, place_of(settings, job), clock=SystemClock(), run="1") as found:
            tags += [folder._ground.tag for folder in found.folders.values()]
    assert len(set(tags)) == 2
