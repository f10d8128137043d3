"""Settings to stores: what is wrapped around the remote side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncer.clock import SystemClock
from syncer.config import JobSettings, Location, Settings
from syncer.jobs import factory
from syncer.jobs.state_dir import place_of
from syncer.stores.rate_limit import LimitedStore


def settings_of(home: Path, **limits: int) -> tuple[Settings, JobSettings]:
    (home / "local").mkdir()
    job = JobSettings(
        name="docs", local=home / "local", remote=Location(account="local", path=str(home / "remote"))
    )
    job = replace(job, **limits)
    return Settings(path=None, state_dir=home / "state", accounts={}, jobs={"docs": job}), job


@pytest.mark.parametrize("limit", ["upload_limit", "download_limit"])
def test_a_limit_of_a_job_paces_its_remote_side(tmp_path: Path, limit: str) -> None:
    settings, job = settings_of(tmp_path, **{limit: 1000})
    with factory.stores(settings, job, place_of(settings, job), clock=SystemClock()) as found:
        assert isinstance(found.remote, LimitedStore) and not isinstance(found.local, LimitedStore)


def test_without_a_limit_nothing_is_paced(tmp_path: Path) -> None:
    settings, job = settings_of(tmp_path)
    with factory.stores(settings, job, place_of(settings, job), clock=SystemClock()) as found:
        assert found.remote is found.folders[factory.Side.REMOTE]
