"""Status as JSON and back: round trip, defaults, and refusal of other documents."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.daemon.status import (
    Counters,
    DaemonStatus,
    JobStatus,
    Phase,
    Progress,
    daemon_document,
    daemon_of,
    job_document,
    job_of,
    jobs_of,
)

_texts = st.text() | st.sampled_from(["a\udcff", "\u202e", "\x1b"])
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_jobs = st.builds(
    JobStatus,
    job=_texts,
    phase=st.sampled_from(Phase),
    since=_numbers,
    progress=st.none() | st.builds(Progress),
    retries=st.lists(_texts).map(tuple),
    notes=st.lists(_texts).map(tuple),
    next_run=st.none() | _numbers,
    last_success=st.none() | _numbers,
    last_full=st.none() | _numbers,
    last_exit=st.none() | st.integers(),
    max_age=st.none() | _numbers,
    counters=st.builds(Counters, seconds=_numbers),
    **{name: st.integers() for name in ("waiting", "problems", "conflicts", "held")},
    **dict.fromkeys(("message", "hint", "local_watch", "remote_watch"), _texts),
)
_daemons = st.builds(
    DaemonStatus,
    pid=st.integers(),
    started=_numbers,
    version=_texts,
    config=_texts,
    jobs=st.lists(_jobs, max_size=3).map(tuple),
)


@given(daemon=_daemons)
def test_a_standing_comes_back_from_json_as_it_was(daemon: DaemonStatus) -> None:
    assert daemon_of(json.loads(json.dumps(daemon_document(daemon)))) == daemon


@pytest.mark.parametrize("kind", [Progress, Counters])
def test_every_count_comes_back_in_its_own_place(kind: type[Progress] | type[Counters]) -> None:
    counted = kind(**{name: n for n, name in enumerate(kind.__dataclass_fields__, 1)})
    changed = {"progress" if kind is Progress else "counters": counted}
    job = replace(JobStatus(job="docs"), **changed)  # type: ignore[arg-type]
    assert job_of(json.loads(json.dumps(job_document(job)))) == job


def test_a_newer_daemon_may_say_more_and_an_older_one_less() -> None:
    assert job_of({"job": "docs", "colour": "red", "counters": {"runs": 3, "walks": 4}}) == JobStatus(
        job="docs", counters=Counters(runs=3)
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "no object"),
        ([], "no object"),
        ({}, "no daemon"),
        ({"daemon": 1}, "no object"),
        ({"daemon": {"pid": "7"}}, "pid"),
        ({"daemon": {"pid": True}}, "pid"),
        ({"daemon": {"pid": 7, "started": "now"}}, "started"),
        ({"daemon": {"version": 1}}, "version"),
        ({"daemon": {}, "jobs": {}}, "jobs"),
        ({"daemon": {}, "jobs": ["docs"]}, "no object"),
        ({"daemon": {}, "jobs": [{"phase": "asleep"}]}, "asleep"),
        ({"daemon": {}, "jobs": [{"retries": "abc"}]}, "retries"),
        ({"daemon": {}, "jobs": [{"retries": [1]}]}, "retries"),
        ({"daemon": {}, "jobs": [{"last_exit": 1.5}]}, "last_exit"),
        ({"daemon": {}, "jobs": [{"progress": [1]}]}, "progress"),
    ],
)
def test_what_is_no_standing_is_refused_by_the_key_that_is_wrong(document: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        daemon_of(document)


def test_jobs_alone_are_read_as_they_come_from_a_flush() -> None:
    assert jobs_of({"jobs": [job_document(JobStatus(job="docs"))]}) == (JobStatus(job="docs"),)
