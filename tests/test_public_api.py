"""The Python API: its names, what importing it costs, its values, and the examples of docs/python.md."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import syncer
from syncer.errors import GuardTripped, SyncerError

ROOT = Path(__file__).parent.parent
EAGER = {"syncer"}  # what `import syncer` may load beside the standard library's own start


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a folder of two files, a home and a state directory of its own."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    (work / "documents").mkdir(parents=True)
    (work / "disk").mkdir()
    for name in ("a.txt", "b.txt"):
        (work / "documents" / name).write_text(f"this is {name}")
        os.utime(work / "documents" / name, (1_600_000_000, 1_600_000_000))
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def job(home: Path) -> Iterator[syncer.Job]:
    with syncer.Job("documents", "disk/documents", settle=0) as job:
        yield job


def test_all_names_exactly_the_public_names() -> None:
    assert sorted(syncer.__all__) == sorted(syncer._DEFINED_IN)
    assert len(syncer.__all__) == len(set(syncer.__all__))
    for name in syncer.__all__:
        value = getattr(syncer, name)
        assert getattr(value, "__doc__", None), name
        assert name in dir(syncer)


def test_the_names_for_type_checkers_are_the_names_at_run_time() -> None:
    tree = ast.parse((ROOT / "syncer" / "__init__.py").read_bytes())
    [guarded] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {a.asname or a.name: n.module for n in guarded.body for a in n.names}  # type: ignore[attr-defined]
    assert typed.keys() == set(syncer.__all__)
    assert typed == syncer._DEFINED_IN


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = syncer.no_such_name  # type: ignore[attr-defined]


def test_public_modules_need_no_import_of_their_own() -> None:
    names = "syncer.testing.MemoryStore.__name__, syncer.exit_codes.FATAL, syncer.errors.Busy.code"
    code = f"import syncer; print({names})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "MemoryStore 5 busy\n"


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "syncer" / "py.typed").is_file()


def test_importing_the_package_loads_none_of_its_modules() -> None:
    code = "import sys; before = set(sys.modules); import syncer; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.partition(".")[0] == "syncer"} == EAGER
    assert len(loaded) <= 1, loaded  # no `typing`, no `importlib`: they take longer than the rest


def test_all_errors_are_in_one_tree() -> None:
    errors = [getattr(syncer, n) for n in syncer.__all__]
    errors = [e for e in errors if isinstance(e, type) and issubclass(e, Exception)]
    errors.remove(syncer.StaleError)  # what a store raises to the engine, never seen by a caller
    assert len(errors) > 15 and all(issubclass(e, syncer.SyncError) for e in errors)
    assert all(isinstance(getattr(e, "code", ""), str) and not hasattr(e, "exit_code") for e in errors)
    assert (SyncerError, GuardTripped) == (syncer.SyncError, syncer.GuardError)


def test_a_report_has_frozen_values(job: syncer.Job) -> None:
    report = job.sync()
    assert report.ok and (report.uploaded, report.downloaded, report.deleted, report.moved) == (2, 0, 0, 0)
    assert {(r.action.action, r.action.path, r.result) for r in report.actions} == {
        ("mkdir-remote", "", "done"),
        ("upload", "a.txt", "done"),
        ("upload", "b.txt", "done"),
    } - {("mkdir-remote", "", "done")}
    assert report.failures == report.problems == report.conflicts == report.holds == ()
    with pytest.raises(FrozenInstanceError):
        report.run = 5  # type: ignore[misc]


def test_a_plan_changes_nothing_and_its_actions_can_be_selected(job: syncer.Job, home: Path) -> None:
    plan = job.plan()
    assert [a.path for a in plan] == ["a.txt", "b.txt"] and len(plan) == 2
    assert not (home / "disk" / "documents").exists()
    report = job.sync(plan.select(lambda a: a.path == "b.txt"))
    assert report.uploaded == 1 and report.result == "applied" and report.ok
    assert [p.name for p in (home / "disk" / "documents").glob("*.txt")] == ["b.txt"]


def test_an_action_that_no_longer_fits_is_reported_and_not_done(job: syncer.Job, home: Path) -> None:
    job.sync()
    (home / "documents" / "a.txt").write_text("planned")
    plan = job.plan()
    (home / "documents" / "a.txt").write_text("edited after the plan")
    report = job.sync(plan)
    assert [p.code for p in report.problems] == ["stale"] and not report.ok
    assert (home / "disk" / "documents" / "a.txt").read_text() == "this is a.txt"


def test_a_filtered_run_leaves_out_files_that_may_still_be_written(home: Path) -> None:
    with syncer.Job("documents", "disk/documents", settle="1h") as job:
        (home / "documents" / "young.txt").write_text("being written")
        report = job.sync(where=lambda action: action.path != "b.txt", wait=False)
        assert [r.action.path for r in report.actions] == ["a.txt"]


def test_a_mass_deletion_is_held_until_it_is_allowed(home: Path) -> None:
    for number in range(30):
        (home / "documents" / f"{number}").write_text(str(number))
    with syncer.Job("documents", "disk/documents", settle=0) as job:
        job.sync()
        for number in range(30):
            (home / "documents" / f"{number}").unlink()
        report = job.sync()
        assert report.result == "held" and report.holds and not report.ok and report.deleted == 0
        assert job.sync(max_delete=30).deleted == 30


def test_a_root_that_is_gone_is_a_guard_error(job: syncer.Job, home: Path) -> None:
    job.sync()
    (home / "documents").rename(home / "elsewhere")
    (home / "documents").mkdir()
    with pytest.raises(syncer.GuardError) as raised:
        job.sync(allow_deletes=True)
    assert raised.value.code == raised.value.guard
    assert (home / "disk" / "documents" / "a.txt").exists()


def test_progress_is_told_as_values(job: syncer.Job) -> None:
    events: list[syncer.Progress] = []
    job.sync(on_progress=events.append)
    assert {e.finished.action.path for e in events if e.finished} == {"a.txt", "b.txt"}
    assert events[-1].files == 2 and events[-1].size == 26


def test_an_exception_of_the_progress_callback_ends_the_run_and_the_next_goes_on(job: syncer.Job) -> None:
    def stop(progress: syncer.Progress) -> None:
        if progress.finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.sync(on_progress=stop)
    assert job.sync().ok
    assert job.plan().actions == ()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"conflict": "newst"}, "newest|newer"),
        ({"colour": "blue"}, "unknown key"),
        ({"trash_days": 0}, "at least 1"),
        ({"max_delete": "many"}, "max_delete"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(home: Path, settings: dict[str, object], told: str) -> None:
    with pytest.raises(syncer.ConfigError, match=told):
        syncer.Job("documents", "disk/documents", **settings)


@pytest.mark.parametrize("remote", ["nowhere:x", "local:", ""])
def test_a_remote_that_cannot_be_is_a_config_error(home: Path, remote: str) -> None:
    with pytest.raises(syncer.ConfigError):
        syncer.sync("documents", remote)


def test_a_job_of_the_config_file_is_found_by_its_name(home: Path) -> None:
    path = home / "config.toml"
    path.write_text('[jobs.docs]\nlocal = "documents"\nremote = "local:disk/documents"\nconflict = "ask"\n')
    config = syncer.load_config(path)
    with syncer.Job.from_config("docs", config) as job:
        assert (job.name, job.settings.conflict.value) == ("docs", "ask")
        assert job.sync().uploaded == 2
        assert [(run.result, run.totals.uploaded) for run in job.history()] == [("in-sync", 2)]
        assert {entry.path for entry in job.actions(job.history()[0].id)} == {"a.txt", "b.txt"}
    with pytest.raises(syncer.ConfigError, match=r"dcs.*docs"):
        syncer.Job.from_config("dcs", config)


def test_a_conflict_is_listed_resolved_and_gone(home: Path) -> None:
    with syncer.Job("documents", "disk/documents", conflict="ask", settle=0) as job:
        job.sync()
        (home / "documents" / "a.txt").write_text("here")
        (home / "disk" / "documents" / "a.txt").write_text("there, longer")
        report = job.sync()
        assert (report.result, [c.path for c in report.conflicts]) == ("attention", ["a.txt"])
        assert job.resolve("a.txt", take="remote")
        assert job.sync().ok and job.conflicts() == ()
        assert (home / "documents" / "a.txt").read_text() == "there, longer"
        with pytest.raises(syncer.UsageError, match="no open conflict"):
            job.resolve("a.txt", take="local")
        assert list(job.check()) == []


def test_a_run_is_undone_and_a_preview_does_nothing(job: syncer.Job, home: Path) -> None:
    job.sync()
    (home / "documents" / "a.txt").write_text("a new version")
    report = job.sync()
    target = home / "disk" / "documents" / "a.txt"
    assert job.undo(report.run, preview=True).number == 0 and target.read_text() == "a new version"
    assert job.undo().run.id == report.run and target.read_text() == "this is a.txt"


def test_explain_tells_the_rule(job: syncer.Job) -> None:
    job.sync()
    found = job.explain("documents/a.txt")
    assert found.path == "a.txt" and found.base is not None and found.rule


def test_two_jobs_on_one_pair_exclude_each_other(job: syncer.Job, home: Path) -> None:
    def again(progress: syncer.Progress) -> None:
        with syncer.Job("documents", "disk/documents", settle=0) as other, pytest.raises(syncer.Busy):
            other.sync()
        ran.append(progress)

    ran: list[syncer.Progress] = []
    job.sync(on_progress=lambda progress: again(progress) if progress.finished else None)
    assert ran


def test_a_daemon_runs_until_it_is_stopped(home: Path) -> None:
    path = home / "config.toml"
    path.write_text(
        'state_dir = "state"\n[jobs.docs]\nlocal = "documents"\nremote = "local:disk/documents"\n'
    )
    daemon = syncer.Daemon(syncer.load_config(path))
    assert not daemon.stop()
    ready = threading.Event()
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(daemon.run(on_ready=lambda socket: ready.set())))
    thread.start()
    try:
        assert ready.wait(60)
    finally:
        assert daemon.stop()
        thread.join(60)
    assert ended == [0]


def test_the_examples_of_the_page_run(home: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/python.md, example {number + 1}", "exec"), names)
    assert len(blocks) >= 5
