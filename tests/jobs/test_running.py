"""A job run again and again by one runner: what it keeps open, counts, and leaves in the ledger."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from syncer import jobs
from syncer.config import parse
from syncer.engine.model import Action, ConflictPolicy
from syncer.engine.scope import EVERYTHING, NOTHING, NOWHERE, Scope
from syncer.errors import Busy, GuardTripped, Interrupted, TransientError
from syncer.jobs import Environment, Runner, RunOptions, conflicts
from syncer.jobs.results import JobResult
from syncer.jobs.runner import Waiting
from syncer.state import PairLock
from tests.jobs.runners import Desk, Ears, Later, at, done
from tests.server.conftest import serving
from tests.world import as_nobody, open_to_nobody

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.runner.close()


# The database between two runs


def test_a_database_that_was_removed_between_two_runs_is_begun_anew(desk: Desk) -> None:
    desk.fill(3)
    desk.rest()
    desk.database.unlink()
    (desk.local / "file-000").unlink()
    result = desk.run(at("other"))
    assert result.exit_code == 0 and result.report is not None and result.report.looked is None
    assert (desk.local / "file-000").exists(), "nothing is deleted by who remembers nothing"
    assert sqlite3.connect(desk.database).execute("SELECT count(*) FROM entries").fetchone() == (3,)


def test_a_state_directory_that_went_with_all_in_it_is_made_again(desk: Desk) -> None:
    desk.fill(3)
    desk.rest()
    shutil.rmtree(desk.settings.state_dir)
    (desk.local / "new").write_bytes(b"1")
    assert desk.run(at("")).exit_code == 0
    assert (desk.remote / "new").exists() and desk.database.exists()


def test_another_database_in_its_place_is_taken_for_what_it_is(desk: Desk) -> None:
    desk.fill(3)
    desk.rest()
    desk.runner.close()
    shutil.copy(desk.database, desk.home / "kept.db")
    (desk.local / "later").write_bytes(b"1")
    desk.rest()
    os.replace(desk.home / "kept.db", desk.database)
    assert desk.run().exit_code == 0
    (desk.local / "later").unlink()
    desk.rest()
    assert not (desk.remote / "later").exists()


@pytest.mark.parametrize("scope", [EVERYTHING, at("")], ids=["everything", "a part"])
def test_a_database_damaged_between_two_runs_is_moved_aside_and_said_so(desk: Desk, scope: Scope) -> None:
    desk.fill(30)
    desk.rest()
    size = desk.database.stat().st_size
    with desk.database.open("r+b") as file:
        file.write(b"\0" * size)
    desk.database.with_name("state.db-wal").unlink(missing_ok=True)
    desk.runner.close()
    (desk.local / "file-000").unlink()
    result = desk.run(scope)
    assert result.exit_code == 0 and "moved to state.db.corrupt" in " ".join(result.notes), result
    assert (desk.local / "file-000").exists()
    assert list(desk.place.glob("state.db.corrupt-*"))


def test_a_database_overwritten_while_it_is_open_ends_no_runner(desk: Desk) -> None:
    desk.fill(30)
    desk.rest()
    with desk.database.open("r+b") as file:
        file.write(b"\0" * desk.database.stat().st_size)
    (desk.local / "file-000").write_bytes(b"edited")
    assert [desk.run(at("")).error for _ in range(2)] == [None, None]
    desk.runner.close()
    assert desk.run().exit_code == 0
    assert (desk.remote / "file-000").read_bytes() == b"edited" and len(list(desk.local.iterdir())) == 31


# The lock


def sync_by_hand(desk: Desk) -> subprocess.CompletedProcess[str]:
    config = desk.home / "config.toml"
    lines = [f'state_dir = "{desk.settings.state_dir}"', "[jobs.docs]", f'local = "{desk.local}"']
    config.write_text("\n".join([*lines, f'remote = "local:{desk.remote}"', "settle = 0", ""]))
    words = [sys.executable, "-m", "syncer", "--config", str(config), "sync"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_somebody_may_sync_by_hand_between_two_runs_and_not_during_one(desk: Desk) -> None:
    desk.fill(2)
    codes: list[int] = []
    result = desk.run(reporter=Ears(lambda action: codes.append(sync_by_hand(desk).returncode)))
    assert result.exit_code == 0 and set(codes) == {6}
    (desk.local / "by hand").write_bytes(b"1")
    assert sync_by_hand(desk).returncode == 0
    (desk.local / "by hand").write_bytes(b"22")
    assert done(desk.run(at(""))) == ["by hand"], "what the other run remembered is known"
    assert (desk.remote / "by hand").read_bytes() == b"22"


def test_a_run_while_another_holds_the_pair_is_busy_and_the_next_one_is_not(desk: Desk) -> None:
    desk.rest()
    with PairLock.acquire(desk.place):
        assert isinstance(desk.run().error, Busy)
    assert desk.run().exit_code == 0


# The history


def test_a_look_that_found_nothing_leaves_nothing_and_writes_nothing(desk: Desk) -> None:
    desk.fill(3, "d")
    desk.rest()
    before = desk.runs()
    with closing(sqlite3.connect(desk.database)) as other:
        version = other.execute("PRAGMA data_version").fetchone()
        for scope in (at("d"), at("", "nowhere"), NOTHING, Scope(local=at("d").local, remote=NOWHERE)):
            result = desk.run(scope)
            assert (result.exit_code, result.run, done(result)) == (0, 0, [])
        assert other.execute("PRAGMA data_version").fetchone() == version, "something was committed"
    assert desk.runs() == before


def test_looks_that_found_nothing_to_do_for_hours_made_the_last_success_look_old(desk: Desk) -> None:
    def success() -> int:
        with jobs.view(desk.settings, desk.job) as state:
            return state.ledger.last_success_ns() or 0

    desk.fill(3, "d")
    desk.rest()
    before = success()
    desk.clock.ahead += 590
    desk.run(at("d"))
    assert success() == before, "a disk is not worn by it"
    desk.clock.ahead += 20
    desk.run(at("d"))
    now = success()
    assert now > before
    desk.run(at("d"))
    assert success() == now
    with closing(sqlite3.connect(desk.database)) as raw, raw:
        raw.execute("INSERT INTO failures VALUES (x'61', 1, 'transient', 'it failed', 0)")
    desk.clock.ahead += 700
    desk.run(at("d"))
    assert success() == now, "not while a transfer waits"


def test_a_look_that_only_learns_leaves_no_run_in_the_history(desk: Desk) -> None:
    desk.fill(3, "d")
    desk.rest()
    before = desk.runs()
    os.utime(desk.local / "d/file-000", ns=(10**18, 10**18))
    os.utime(desk.remote / "d/file-000", ns=(10**18, 10**18))
    result = desk.run(at("d"))
    assert (result.exit_code, result.run) == (0, 0)
    with jobs.view(desk.settings, desk.job) as state:
        assert len(state.ledger.runs()) == before and state.ledger.ended_well()


def test_a_look_that_found_something_is_in_the_history_with_what_woke_it(desk: Desk) -> None:
    desk.fill(3, "d")
    desk.rest()
    (desk.local / "d/new").write_bytes(b"1")
    result = desk.run(at("d"), trigger="watch")
    with jobs.view(desk.settings, desk.job) as state:
        run = state.ledger.run(result.run)
        assert run is not None and (run.trigger, run.exit_code) == ("watch", 0)
        assert [h.path for h in state.ledger.history(result.run)] == ["d/new"]


def test_what_waits_elsewhere_is_not_settled_by_a_look_at_a_part(desk: Desk) -> None:
    desk.fill(2, "d")
    desk.fill(2, "e")
    desk.rest()
    (desk.local / "d/.SYNCER-tmp-mine").write_bytes(b"a name that no side may ever be given")
    (desk.local / "e/file-000").write_bytes(b"edited")
    assert desk.run().exit_code == 1
    assert desk.runner.waiting() == Waiting(problems=1, conflicts=0, held=0)
    (desk.local / "e/file-001").write_bytes(b"edited")
    assert desk.run(at("e")).exit_code == 0
    assert desk.runner.waiting() == Waiting(problems=1, conflicts=0, held=0)
    (desk.local / "d/.SYNCER-tmp-mine").unlink()
    assert desk.run(at("d")).exit_code == 0
    assert desk.runner.waiting() == Waiting(problems=0, conflicts=0, held=0)


def test_a_directory_that_cannot_be_listed_waits_until_somebody_looked_into_it(desk: Desk) -> None:
    """Named after what went wrong: a look at the directory above took the problem for over."""
    open_to_nobody(desk)  # type: ignore[arg-type]
    assert as_nobody(lambda: unlisted(desk)) == 0


def unlisted(desk: Desk) -> int:
    desk.fill(2, "d")
    desk.rest()
    (desk.local / "d").chmod(0)
    assert desk.run().exit_code == 1
    assert desk.runner.waiting() == Waiting(problems=1, conflicts=0, held=0)
    (desk.local / "new").write_bytes(b"1")
    assert done(desk.run(at(""))) == ["new"]
    assert desk.runner.waiting() == Waiting(problems=1, conflicts=0, held=0)
    (desk.local / "d").chmod(0o755)
    desk.run(at("", "d"))
    assert desk.runner.waiting() == Waiting(problems=0, conflicts=0, held=0)
    return 0


def test_a_conflict_elsewhere_stays_open_and_a_choice_for_it_is_heard_by_any_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path, conflict=ConflictPolicy.ASK)
    desk.fill(2, "d")
    desk.fill(2, "e")
    desk.rest()
    (desk.local / "d/file-000").write_bytes(b"here")
    (desk.remote / "d/file-000").write_bytes(b"there!")
    assert desk.run().exit_code == 1
    (desk.local / "e/file-000").write_bytes(b"edited")
    assert desk.run(at("e")).exit_code == 0
    assert desk.runner.waiting() == Waiting(problems=0, conflicts=1, held=0)
    conflicts.resolve(desk.world, desk.job, ["d/file-000"], "local")
    assert "d/file-000" in done(desk.run(at("e"))), "although nobody said that d is to be looked at"
    assert (desk.remote / "d/file-000").read_bytes() == b"here"
    assert desk.runner.waiting() == Waiting(problems=0, conflicts=0, held=0)
    desk.runner.close()


def test_what_went_as_it_came_is_over_although_nothing_looks_otherwise(desk: Desk) -> None:
    """Deletions that were held: the directories are back, and all looks as when it was agreed."""
    for number in range(30):
        desk.fill(1, f"d{number:02}")
    desk.rest()
    away = desk.home / "away"
    away.mkdir()
    for number in range(20):
        (desk.local / f"d{number:02}").rename(away / f"d{number:02}")
    assert desk.run(at("")).exit_code == 4
    for number in range(20):
        (away / f"d{number:02}").rename(desk.local / f"d{number:02}")
    assert desk.run(at("")).exit_code == 0
    assert desk.runner.waiting() == Waiting(problems=0, conflicts=0, held=0)


# Runs that are broken off


def test_a_run_that_was_interrupted_is_told_so_and_the_next_one_goes_on(desk: Desk) -> None:
    desk.fill(20)

    def interrupt(action: Action) -> None:
        raise Interrupted(signal.SIGTERM)

    result = desk.run(reporter=Ears(interrupt))
    assert isinstance(result.error, Interrupted) and result.exit_code == 143
    with jobs.view(desk.settings, desk.job) as state:
        run = state.ledger.run(result.run)
        assert run is not None and run.exit_code == 143
    assert desk.run().exit_code == 0
    assert len(list(desk.remote.glob("file-*"))) == 20


def test_a_bug_in_a_run_is_raised_and_leaves_a_runner_that_works(desk: Desk) -> None:
    desk.fill(3)

    def stumble(action: Action) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        desk.run(reporter=Ears(stumble))
    desk.runner.close()
    assert desk.run().exit_code == 0


def test_a_closed_runner_opens_again_by_itself(desk: Desk) -> None:
    desk.fill(1)
    desk.rest()
    for _ in range(2):
        desk.runner.close()
    assert desk.run().exit_code == 0


# Roots


def test_a_root_that_went_away_refuses_runs_over_a_part_and_heals_by_itself(desk: Desk) -> None:
    desk.fill(5)
    desk.rest()
    desk.remote.rename(desk.home / "away")
    result = desk.run(at(""))
    assert isinstance(result.error, GuardTripped) and not desk.remote.exists()
    (desk.home / "away").rename(desk.remote)
    assert desk.run(at("")).exit_code == 0
    assert len(list(desk.local.glob("file-*"))) == 5


@pytest.mark.parametrize("side", ["local", "remote"])
def test_an_empty_folder_in_place_of_a_root_refuses_runs_over_a_part(desk: Desk, side: str) -> None:
    desk.fill(5)
    desk.rest()
    (desk.home / side).rename(desk.home / "away")
    (desk.home / side).mkdir()
    assert isinstance(desk.run(at("")).error, GuardTripped)
    other = desk.remote if side == "local" else desk.local
    assert len(list(other.glob("file-*"))) == 5


# A service


@contextmanager
def served(tmp_path: Path) -> Iterator[tuple[Runner, Path, Callable[[], None], Callable[[], None]]]:
    """A runner whose remote is a real server; how to stop that, and how to start it again at its port."""
    (tmp_path / "local").mkdir()
    folder, state = tmp_path / "folder", tmp_path / "server"
    again = []
    with serving(folder, state=state) as server:
        text = (
            f'state_dir = "{tmp_path}/state"\n'
            f'[accounts.s]\ntype = "smartfile"\nurl = "{server.url}"\nkey = "{server.key}"\n'
            f'password = "{server.password}"\n'
            f'[jobs.docs]\nlocal = "{tmp_path}/local"\nremote = "s:"\nsettle = 0\n'
        )
        settings = parse(text, tmp_path / "config.toml")
        runner = Runner(Environment(settings=settings, reporter=Ears(), clock=Later()), settings.jobs["docs"])

        def restart() -> None:
            context = serving(folder, "--listen", f"127.0.0.1:{server.port}", state=state)
            again.append(context)
            context.__enter__()

        def stop() -> None:
            server.stop()

        try:
            yield runner, folder, stop, restart
        finally:
            runner.close()
            for context in again:
                context.__exit__(None, None, None)


def test_the_connection_to_a_service_stays_open_until_there_is_trouble(tmp_path: Path) -> None:
    with served(tmp_path) as (runner, folder, stop, restart):
        local = tmp_path / "local"
        (local / "a").write_bytes(b"1")
        assert runner.run(RunOptions()).exit_code == 0
        kept = runner._service
        assert kept is not None
        (local / "a").write_bytes(b"22")
        assert runner.run(RunOptions(), at("")).exit_code == 0 and runner._service is kept
        stop()
        (local / "a").write_bytes(b"333")
        result = runner.run(RunOptions(), at(""))
        assert isinstance(result.error, TransientError) and runner._service is None
        restart()
        assert runner.run(RunOptions(), at("")).exit_code == 0 and runner._service is not kept
        assert (folder / "a").read_bytes() == b"333"


def test_two_threads_never_share_a_runner_by_accident(desk: Desk) -> None:
    """The second one finds the pair's lock taken, as another process would."""
    desk.fill(1)
    results: list[JobResult] = []
    other = Runner(Environment(settings=desk.settings, reporter=Ears(), clock=Later()), desk.job)

    def meanwhile(action: Action) -> None:
        thread = threading.Thread(target=lambda: results.append(other.run(RunOptions())))
        thread.start()
        thread.join()

    assert desk.run(reporter=Ears(meanwhile)).exit_code == 0
    assert results and all(isinstance(result.error, Busy) for result in results)
