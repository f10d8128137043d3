"""The soak: an hour of 17 changes a second; resources level off, all sides are equal, nothing is lost.

    .venv/bin/pytest -m long -s tests/daemon/campaigns/test_soak.py

SYNCER_SOAK_SECONDS is how long the work goes on (3600), SYNCER_SOAK_REPORT the directory for samples.csv and
soak.svg (build/soak). The folders, some GiB, are made in $TMPDIR.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from blake3 import blake3

from tests.daemon.campaigns.machines import eventually
from tests.daemon.campaigns.plots import Chart, page
from tests.daemon.campaigns.samples import Recorder, Series, Source, TrashReader, rate
from tests.daemon.campaigns.soaks import NEVER, Load, Soak
from tests.daemon.campaigns.worlds import at_work

SECONDS = float(os.environ.get("SYNCER_SOAK_SECONDS", "3600"))
REPORT = Path(os.environ.get("SYNCER_SOAK_REPORT", "build/soak"))
SERVER_MEMORY = 130 << 20
DAEMON_MEMORY = 160 << 20
LOGS = 16 << 20
_MIB = 1 << 20
_SLACK = {"rss": 4 * _MIB, "descriptors": 8, "threads": 2}
_NOBODY = Source(pid=0, state=Path())
_LATE = 3  # edits of the large file that may be in the trash beyond its bound: the latest ones always stay


def soak(base: Path, report: Path, load: Load) -> Recorder:
    report.mkdir(parents=True, exist_ok=True)
    with at_work(Soak(base, seed=13, load=load, report=report)) as world:
        took = eventually(world.is_equal, 600, world._told)
        print(f"equal at the beginning after {took:.1f} s", flush=True)
        world.begin()
        time.sleep(load.seconds)
        world.end()
        print(f"{world.changes} changes, {world.changes / world.recorder.elapsed():.1f} a second", flush=True)
        took = eventually(world.is_equal, 900, world._told)
        print(f"equal {took:.1f} s after the last one", flush=True)
        world.recorder.stop()
        (report / "soak.svg").write_text(plot(world.recorder), encoding="utf-8")
        print(table(world.recorder), flush=True)
        print(f"samples and plot: {report.absolute()}", flush=True)
        world.nothing_is_lost()
        world.nobody_stumbled()
        assert world.machines[0].status.retries == (NEVER,)
        return world.recorder


def levels_off(recorder: Recorder, load: Load) -> None:
    """What each process uses towards the end is what it used in the middle, and below the bounds there are.

    The first third does not count: caches fill, and trashes come to their bounds. History, and how many
    small files a trash holds, are bounded by days: in an hour they only grow.
    """
    wrong = []
    for name, series in recorder.series.items():
        for column, most in (("rss", 1.1), ("descriptors", 1.25), ("threads", 1.25)):
            _, middle, end = thirds(series[column])
            if end > middle * most + _SLACK.get(column, 0):
                wrong.append(f"{name}: {column} goes on growing: {middle:.0f}, then {end:.0f}")
        _, middle, end = thirds(rate(series["cpu"]))
        if end > middle * 1.5 + 0.05:
            wrong.append(f"{name}: CPU goes on growing: {middle:.2f}, then {end:.2f} seconds a second")
    bounds = {
        ("server", "trash"): load.trash_size + _LATE * load.large,
        ("one", "trash"): load.trash_size + _LATE * load.large,
        ("two", "trash"): 2 * (load.trash_size + _LATE * load.large),
        ("server", "rss"): SERVER_MEMORY,
        ("one", "rss"): DAEMON_MEMORY,
        ("two", "rss"): DAEMON_MEMORY,
        ("one", "log"): LOGS,
        ("two", "log"): LOGS,
    }
    for (name, column), most in bounds.items():
        highest = max(value for _, value in recorder.series[name][column])
        if highest > most:
            wrong.append(f"{name}: {column} was {highest / _MIB:.0f} MiB, more than {most / _MIB:.0f}")
    assert not wrong, "\n  ".join(["", *wrong])


def plot(recorder: Recorder) -> str:
    def lines(column: str, unit: float = 1) -> dict[str, Series]:
        return {name: [(x, y / unit) for x, y in series[column]] for name, series in recorder.series.items()}

    cpu = {name: rate(series["cpu"]) for name, series in recorder.series.items()}
    return page(
        [
            Chart("resident memory", "MiB", lines("rss", _MIB), bound=SERVER_MEMORY / _MIB),
            Chart("CPU", "seconds a second", cpu),
            Chart("descriptors", "count", lines("descriptors")),
            Chart("threads", "count", lines("threads")),
            Chart("trash", "MiB", lines("trash", _MIB)),
            Chart("files in the trash", "count", lines("trash_files")),
            Chart("databases", "MiB", lines("database", _MIB)),
            Chart("other state", "MiB", lines("state", _MIB)),
            Chart("logs", "MiB", lines("log", _MIB)),
        ]
    )


def table(recorder: Recorder) -> str:
    """Each figure at the start, in the middle and at the end."""
    rows = []
    for name, series in recorder.series.items():
        for column, found in series.items():
            line = rate(found) if column == "cpu" else found
            unit = _MIB if column in ("rss", "peak", "trash", "database", "state", "log") else 1
            chosen = [part / unit for part in thirds(line)]
            rows.append(f"{name:8}{column:12}" + "".join(f"{value:12.2f}" for value in chosen))
    return "\n".join(rows)


def thirds(series: Series) -> list[float]:
    """The medians of three equal parts."""
    size = max(len(series) // 3, 1)
    return [
        statistics.median(value for _, value in part)
        for part in (series[:size], series[size:-size] or series, series[-size:])
    ]


# -- what judges a soak, judged itself -----------------------------------------------------


def recorded(**grown: float) -> Recorder:
    """A recording in which nothing grows but what is named: by that factor from the middle to the end."""
    recorder = Recorder({"server": _NOBODY, "one": _NOBODY, "two": _NOBODY}, folder=Path(), every=1)
    for series in recorder.series.values():
        for column, line in series.items():
            factor = grown.get(column, 1)
            values = [100.0 * _MIB if column == "rss" else 100.0] * 60
            if column == "cpu":
                values = [0.2 * second for second in range(60)]
            line += [(float(x), y * (factor - 1 if x >= 40 else 0) + y) for x, y in enumerate(values)]
    return recorder


def test_a_recording_in_which_nothing_grows_levels_off() -> None:
    levels_off(recorded(), Load(seconds=60))


@pytest.mark.parametrize("column", ["rss", "descriptors", "threads"])
def test_what_goes_on_growing_is_named(column: str) -> None:
    with pytest.raises(AssertionError, match=f"one: {column} goes on growing"):
        levels_off(recorded(**{column: 1.7}), Load(seconds=60))


@pytest.mark.parametrize(("column", "what"), [("trash", "trash was"), ("log", "log was"), ("rss", "rss was")])
def test_what_is_over_its_bound_is_named(column: str, what: str) -> None:
    recorder = recorded()
    recorder.series["one"][column].append((61, 5e9))
    with pytest.raises(AssertionError, match=f"one: {what}"):
        levels_off(recorder, Load(seconds=60))


def test_a_plot_has_a_line_for_each_process_in_each_chart() -> None:
    root = ElementTree.fromstring(plot(recorded()))
    lines = [
        line for line in root.iter("{http://www.w3.org/2000/svg}polyline") if "width" in str(line.attrib)
    ]
    assert len(lines) == 3 * 9
    assert all(len(line.attrib["points"].split()) >= 59 for line in lines)


def test_what_comes_to_a_trash_is_read_once_and_remembered_when_it_is_gone(tmp_path: Path) -> None:
    batch = tmp_path / "pairs/1/local/trash/batch/d"
    batch.mkdir(parents=True)
    (batch / "a").write_bytes(b"first")
    reader = TrashReader(tmp_path)
    reader.look()
    assert (reader.size, reader.files) == (5, 1)
    (batch / "a").unlink()
    (batch / "b").write_bytes(b"second")
    reader.look()
    assert (reader.size, reader.files) == (6, 1)
    assert reader.seen == {blake3(b"first").digest(), blake3(b"second").digest()}


# -- soaks ---------------------------------------------------------------------------------


@pytest.mark.timeout(600)  # real daemons, and a machine that may be busy with others
def test_of_a_short_soak_all_sides_are_equal_and_nothing_is_lost(tmp_path: Path) -> None:
    load = Load(
        seconds=15, large=2 << 20, edit_every=2, still=200, trash_size=8 << 20, scan="5s", sample_every=1
    )
    soak(tmp_path, tmp_path / "report", load)


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 3600)
def test_a_soak_levels_off_and_loses_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="syncer-soak-") as base:
        load = Load(seconds=SECONDS)
        levels_off(soak(Path(base), REPORT, load), load)
