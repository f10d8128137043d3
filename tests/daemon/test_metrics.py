"""Metrics: valid Prometheus text that agrees with the status, whatever the names are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.daemon import metrics
from syncer.daemon.status import Counters, DaemonStatus, JobStatus, Phase, Progress

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
_ESCAPE = re.compile(r"\\(.)")
_MEANT = {"n": "\n", "\\": "\\", '"': '"'}

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """A text, taken apart: values by name and labels, kinds by name."""

    values: Mapping[tuple[str, Labels], float]
    kinds: Mapping[str, str]

    def __call__(self, name: str, **labels: str) -> float:
        return self.values[f"syncer_{name}", frozenset(labels.items())]


def read(text: str) -> Exposed:
    """Prometheus' text format 0.0.4, strictly: HELP, TYPE, then all samples of a metric, no metric twice."""
    assert text.endswith("\n")
    values: dict[tuple[str, Labels], float] = {}
    kinds: dict[str, str] = {}
    current = helped = ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert helped not in kinds and line.split(" ", 3)[3]
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current == helped and _NAME.fullmatch(current) and kind in ("gauge", "counter")
            assert (kind == "counter") == current.endswith("_total")
            kinds[current] = kind
        else:
            name, labels, value = sample(line)
            assert name == current, "samples of a metric stand together, below their TYPE"
            assert (name, labels) not in values, "no sample twice"
            values[name, labels] = value
    return Exposed(values=values, kinds=kinds)


def sample(line: str) -> tuple[str, Labels, float]:
    found = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
    assert found, line
    labels: dict[str, str] = {}
    rest = found[2] or ""
    while rest:
        one = _LABEL.match(rest)
        assert one and one[1] not in labels, line
        labels[one[1]] = _ESCAPE.sub(lambda m: _MEANT[m[1]], one[2])
        rest = rest[one.end() :]
    return found[1], frozenset(labels.items()), float(found[3])


def of(*jobs: JobStatus, now: float = 10_000.0) -> Exposed:
    daemon = DaemonStatus(pid=7, started=1_234.5, version="1.2", config="c", jobs=jobs)
    return read(metrics.text(daemon, now=now))


def test_a_daemon_without_jobs_says_what_it_is() -> None:
    found = of()
    assert found("build_info", version="1.2") == 1
    assert found("start_timestamp_seconds") == 1_234.5
    assert found("jobs") == 0


def test_each_job_says_how_it_stands_under_its_own_name() -> None:
    docs = JobStatus(
        job="docs",
        phase=Phase.RUNNING,
        since=9_000.25,
        progress=Progress(directories=3, files=10, files_done=4, size=1_000, size_done=250),
        waiting=2,
        retries=("a", "b", "c"),
        last_success=9_500.0,
        last_full=9_000.0,
        next_run=10_100.0,
        last_exit=3,
        problems=5,
        conflicts=6,
        held=7,
        local_watch="events",
        remote_watch="feed",
        max_age=600.0,
        counters=Counters(
            runs=11, full_runs=2, failed_runs=1, uploaded=21, downloaded=22, deleted=23, moved=24,
            conflicts=25, bytes_sent=1 << 53, bytes_received=31, seconds=1.5,
        ),
    )  # fmt: skip
    found = of(docs, JobStatus(job="other"))
    wanted = {
        "last_success_timestamp_seconds": 9_500.0, "last_full_run_timestamp_seconds": 9_000.0,
        "next_run_timestamp_seconds": 10_100.0, "phase_since_timestamp_seconds": 9_000.25,
        "last_exit_code": 3, "max_age_seconds": 600, "stale": 0, "waiting_places": 2, "retry_paths": 3,
        "open_problems": 5, "open_conflicts": 6, "held_deletions": 7, "runs_total": 11, "full_runs_total": 2,
        "failed_runs_total": 1, "conflicts_total": 25, "run_seconds_total": 1.5, "run_directories": 3,
        "run_files": 10, "run_files_done": 4, "run_bytes": 1_000, "run_bytes_done": 250,
    }  # fmt: skip
    assert {name: found(f"job_{name}", job="docs") for name in wanted} == wanted
    actions = {a: found("job_files_total", job="docs", action=a) for a in metrics._ACTIONS}
    assert actions == {"uploaded": 21, "downloaded": 22, "deleted": 23, "moved": 24}
    assert found("job_transferred_bytes_total", job="docs", direction="sent") == 1 << 53
    assert found("job_transferred_bytes_total", job="docs", direction="received") == 31
    assert found("job_watch_info", job="docs", side="local", how="events") == 1
    assert found("job_watch_info", job="docs", side="remote", how="feed") == 1
    assert found("job_runs_total", job="other") == 0
    assert ("syncer_job_run_files", frozenset({("job", "other")})) not in found.values


@pytest.mark.parametrize("phase", Phase)
def test_exactly_one_phase_is_1(phase: Phase) -> None:
    found = of(JobStatus(job="docs", phase=phase))
    shown = {p: found("job_phase", job="docs", phase=p.value) for p in Phase}
    assert [p for p, value in shown.items() if value == 1] == [phase]
    assert set(shown.values()) == {0, 1}


@pytest.mark.parametrize(
    ("max_age", "success", "stale"),
    [(None, None, 0), (None, 0.0, 0), (60.0, None, 1), (60.0, 9_940.0, 0), (60.0, 9_939.9, 1)],
)
def test_a_job_is_stale_when_its_last_success_is_older_than_it_allows(
    max_age: float | None, success: float | None, stale: int
) -> None:
    assert of(JobStatus(job="docs", max_age=max_age, last_success=success))("job_stale", job="docs") == stale


def test_a_job_that_never_succeeded_counts_as_infinitely_old() -> None:
    """An alert on the age must fire for it; a missing sample never would."""
    assert of(JobStatus(job="docs"))("job_last_success_timestamp_seconds", job="docs") == 0


@given(name=st.text())
def test_no_name_of_a_job_breaks_the_text(name: str) -> None:
    found = of(JobStatus(job=name), JobStatus(job="other"))
    legible = name.encode("utf-8", "backslashreplace").decode()
    if legible != "other":
        assert found("job_runs_total", job=legible) == 0


def test_a_name_that_is_not_utf8_keeps_its_bytes_in_view() -> None:
    text = metrics.text(
        DaemonStatus(pid=1, started=0, version="1", config="", jobs=(JobStatus(job="a\udcff"),)), now=0
    )
    assert r'job="a\\udcff"' in text
    text.encode()


def test_a_job_whose_last_success_lies_in_the_future_is_stale() -> None:
    assert metrics.stale(JobStatus(job="docs", max_age=60.0, last_success=9_000.0), 1_000.0)
    assert not metrics.stale(JobStatus(job="docs", max_age=60.0, last_success=9_000.0), 8_990.0)
