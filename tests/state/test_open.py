"""New, sound, damaged, foreign, older and newer files; and the rights on all of them."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.engine.interfaces import SetBase
from syncer.engine.model import BaseEntry, Kind
from syncer.errors import StateError
from syncer.exit_codes import exit_code
from syncer.state import NAME, Database, open_state, quarantine, view_state
from syncer.state import open as opening_module
from syncer.state.history import CHECKED, CLEAN
from syncer.state.migrations import MIGRATIONS, upgrade
from syncer.state.schema import creation

FILE = BaseEntry(kind=Kind.FILE, digest=b"d" * 32, local_version=b"l" * 40)
NOON = 1_795_262_400_000_000_000  # 2026-11-21 12:00 UTC
DAY = 86_400 * 1_000_000_000


def filled(place: Path, files: int = 3000) -> Path:
    with open_state(place) as state:
        state.memory.record(
            [SetBase(path=f"d{number % 50}/f{number}", entry=FILE) for number in range(files)]
        )
    return place / NAME


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_state_is_private_whatever_the_umask(place: Path) -> None:
    before = os.umask(0)
    try:
        with open_state(place) as state:
            state.memory.set(key="value")
            files = sorted(place.iterdir())
            assert [file.name for file in files] == [NAME, f"{NAME}-shm", f"{NAME}-wal"]
            assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)
    assert mode(place) == 0o700
    assert mode(place.parent) == 0o700


def test_rights_that_are_too_wide_are_taken_back(place: Path) -> None:
    file = filled(place, 1)
    place.chmod(0o755)
    file.chmod(0o644)
    open_state(place).close()
    assert (mode(place), mode(file)) == (0o700, 0o600)


def cut(length: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        os.truncate(file, int(file.stat().st_size * length))

    damage.__name__ = f"cut to {length}"
    return damage


def cut_to_bytes(length: int) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        os.truncate(file, length)

    damage.__name__ = f"cut to {length} bytes"
    return damage


def overwritten(start: int, content: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        with file.open("r+b") as stream:
            stream.seek(start)
            stream.write(content)

    damage.__name__ = f"{len(content)} bytes at {start}"
    return damage


def run_sql(statement: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        raw = sqlite3.connect(file)
        raw.execute(statement)
        raw.commit()
        raw.close()

    damage.__name__ = statement
    return damage


def empty_beside_a_journal(file: Path) -> None:
    os.truncate(file, 0)
    file.with_name(f"{NAME}-wal").write_bytes(b"x" * 5000)


def a_text(file: Path) -> None:
    file.write_text("this is no database\n" * 100)


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [
    cut_to_bytes(0),
    cut_to_bytes(1),
    cut_to_bytes(99),
    cut_to_bytes(100),
    cut_to_bytes(4096),
    cut(0.3),
    cut(0.5),
    cut(0.99),
    overwritten(0, b"garbage " * 13),
    overwritten(16, b"\xff" * 84),
    overwritten(4096 * 20, bytes(4096 * 10)),
    overwritten(4096 * 3, b"\x5a" * 200),
    run_sql("PRAGMA application_id=7"),
    run_sql("PRAGMA user_version=0"),
    run_sql("DROP TABLE entries"),
    empty_beside_a_journal,
    a_text,
    a_directory,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_kept_aside_and_said_once(place: Path, damage: Callable[[Path], None]) -> None:
    file = filled(place)
    damage(file)
    before = view_state(place)
    assert before.memory.known() == 0
    before.close()
    with open_state(place, now_ns=lambda: NOON) as state:
        assert f"{NAME}.corrupt-20261121-120000" in state.note
        assert "first time" in state.note
        assert state.memory.known() == 0
        state.memory.record([SetBase(path="again", entry=FILE)])
    assert any(".corrupt-20261121-120000" in kept.name for kept in place.iterdir())
    with open_state(place) as state:
        assert state.note == ""
        assert state.memory.known() == 1


def test_a_lost_database_is_a_first_run_and_its_journal_is_not_replayed(place: Path) -> None:
    state = open_state(place)
    state.memory.record([SetBase(path="old", entry=FILE)])
    journal = (place / f"{NAME}-wal").read_bytes()
    state.close()
    (place / NAME).unlink()
    (place / f"{NAME}-wal").write_bytes(journal)
    with open_state(place, now_ns=lambda: NOON) as state:
        assert (state.memory.known(), state.note) == (0, "")
    assert (place / f"{NAME}.corrupt-20261121-120000-wal").read_bytes() == journal


def test_empty_leftovers_of_a_lost_database_are_cleared_away(place: Path) -> None:
    (filled(place, 1)).unlink()
    (place / f"{NAME}-wal").touch()
    (place / f"{NAME}-shm").write_bytes(bytes(32768))
    with open_state(place) as state:
        assert (state.memory.known(), state.note) == (0, "")
    assert [file.name for file in place.iterdir()] == [NAME]


def test_garbage_in_the_journal_harms_nothing_committed_before(place: Path) -> None:
    file = filled(place, 10)
    file.with_name(f"{NAME}-wal").write_bytes(os.urandom(9000))
    with open_state(place) as state:
        assert state.memory.known() == 10


def test_a_second_damage_at_the_same_time_is_kept_too(place: Path) -> None:
    for _ in range(2):
        a_text(filled(place, 1))
        open_state(place, now_ns=lambda: NOON).close()
    kept = sorted(file.name for file in place.glob("*corrupt*"))
    assert kept == [f"{NAME}.corrupt-20261121-120000", f"{NAME}.corrupt-20261121-120000-2"]


def test_a_run_that_finds_damage_can_set_the_file_aside_itself(place: Path) -> None:
    filled(place, 5)
    state = open_state(place)
    state.database.abandon()
    note = quarantine(place, "it is damaged", now_ns=lambda: NOON)
    assert note.startswith("it is damaged; it was moved to state.db.corrupt-20261121-120000")
    with open_state(place) as state:
        assert (state.memory.known(), state.note) == (0, "")


def test_a_dead_creation_leaves_nothing_to_complain_about(place: Path) -> None:
    place.mkdir(parents=True)
    (place / f"{NAME}.new").write_bytes(b"half")
    with open_state(place) as state:
        assert state.note == ""
    assert [file.name for file in place.iterdir()] == [NAME]


def test_a_newer_file_is_refused_and_not_touched(place: Path) -> None:
    file = filled(place, 5)
    run_sql("PRAGMA user_version=99")(file)
    before = file.read_bytes()
    for opened in (open_state, view_state):
        with pytest.raises(StateError, match="99") as caught:
            opened(place)
        assert exit_code(caught.value) == 5
    assert file.read_bytes() == before
    assert not list(place.glob("*corrupt*"))


OLD_SCHEMA = """
    CREATE TABLE directories (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, key BLOB NOT NULL UNIQUE,
        local_fingerprint BLOB, remote_fingerprint BLOB);
    CREATE TABLE entries (directory_id INTEGER NOT NULL REFERENCES directories(id) ON DELETE CASCADE,
        name BLOB NOT NULL, kind INTEGER NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL,
        executable INTEGER NOT NULL, local_version BLOB, remote_version BLOB, local_mtime_ns INTEGER,
        PRIMARY KEY (directory_id, name)) WITHOUT ROWID;
    CREATE TABLE settings (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO directories (id, path, key) VALUES (1, x'', x'');
    INSERT INTO entries VALUES (1, CAST('f' AS BLOB), 1, 5, x'64', 0, x'6c', x'72', 7);
    INSERT INTO settings VALUES ('root', 'abc');
    PRAGMA application_id = 0x53594E43;
    PRAGMA user_version = 1;
"""


def an_old_file(place: Path) -> Path:
    place.mkdir(parents=True, mode=0o700)
    raw = sqlite3.connect(place / NAME)
    raw.executescript(OLD_SCHEMA)
    raw.close()
    return place / NAME


def add_what_is_new(database: Database) -> None:
    database.execute("ALTER TABLE entries ADD COLUMN remote_mtime_ns INTEGER")
    for statement in creation():
        if not any(f"CREATE TABLE {old} " in statement for old in ("directories", "entries", "settings")):
            database.execute(statement)


def fail(database: Database) -> None:
    add_what_is_new(database)
    raise StateError("the step failed")


def test_an_older_file_is_backed_up_and_migrated(place: Path) -> None:
    file = an_old_file(place)
    with open_state(place, migrations=[add_what_is_new]) as state:
        assert state.note == ""
        assert state.memory.rows("")["f"].local_mtime_ns == 7
        assert state.memory.get_setting("root") == "abc"
        assert state.database.value("PRAGMA user_version") == 2
        assert state.database.value("PRAGMA foreign_keys") == 1
        assert state.ledger.start_run("cli") == 1
    backup = file.with_name(f"{NAME}.before-schema-2")
    assert mode(backup) == 0o600
    raw = sqlite3.connect(backup)
    assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    assert raw.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    raw.close()


def test_a_migration_that_fails_leaves_the_old_file_and_can_be_tried_again(place: Path) -> None:
    an_old_file(place)
    for _ in range(2):
        with pytest.raises(StateError, match="step failed"):
            open_state(place, migrations=[fail])
    with open_state(place, migrations=[add_what_is_new]) as state:
        assert state.memory.known() == 1


def test_looking_at_an_older_file_does_not_migrate_it(place: Path) -> None:
    file = an_old_file(place)
    before = file.read_bytes()
    with view_state(place, migrations=[add_what_is_new]) as state:
        assert state.memory.known() == 1
        assert state.ledger.runs() == ()
    assert file.read_bytes() == before


def test_a_current_file_is_not_backed_up(place: Path) -> None:
    filled(place, 1)
    with open_state(place) as state:
        upgrade(state.database, MIGRATIONS, backup=place / "backup")
    assert [file.name for file in place.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("clean", "checked", "noticed"),
    [("1", NOON - DAY, False), ("0", NOON - DAY, True), ("1", NOON - 8 * DAY, True), ("1", NOON + DAY, True)],
)
def test_a_big_file_is_checked_after_a_bad_end_or_a_week(
    place: Path, monkeypatch: pytest.MonkeyPatch, clean: str, checked: int, noticed: bool
) -> None:
    monkeypatch.setattr(opening_module, "ALWAYS_CHECKED_BELOW", 0)
    file = filled(place)
    with open_state(place) as state:
        state.memory.set(**{CLEAN: clean, CHECKED: str(checked)})
    with file.open("r+b") as stream:  # a page of the entries: found by a check only
        stream.seek(file.stat().st_size // 4096 // 2 * 4096)
        stream.write(bytes(4096))
    with open_state(place, now_ns=lambda: NOON) as state:
        assert bool(state.note) is noticed


def test_a_check_of_a_big_file_is_remembered(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_module, "ALWAYS_CHECKED_BELOW", 0)
    filled(place, 5)
    with open_state(place, now_ns=lambda: NOON) as state:
        assert state.memory.get_setting(CHECKED) == str(NOON)


def test_looking_where_nothing_is_makes_nothing(place: Path) -> None:
    with view_state(place) as state:
        assert (state.memory.known(), state.ledger.runs(), state.note) == (0, (), "")
    assert not place.parent.exists()


def test_one_can_look_while_a_run_writes(place: Path) -> None:
    with open_state(place) as state:
        state.memory.record([SetBase(path="one", entry=FILE)])
        with state.database.transaction():
            state.memory.record([SetBase(path="two", entry=FILE)])
            with view_state(place) as view:
                assert list(view.memory.rows("")) == ["one"]
        with view_state(place) as view:
            assert sorted(view.memory.rows("")) == ["one", "two"]


KILLED = """
import os, signal, sys
from pathlib import Path
from syncer.engine.model import BaseEntry, Kind
from syncer.engine.interfaces import SetBase
from syncer.state import open_state
state = open_state(Path(sys.argv[1]))
state.memory.record([SetBase(path="one", entry=BaseEntry(kind=Kind.FILE))])
with state.database.transaction():
    state.memory.record([SetBase(path=f"f{n}", entry=BaseEntry(kind=Kind.FILE)) for n in range(30000)])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_what_it_had_committed(place: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(place)]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert ended.returncode == -signal.SIGKILL
    before = {file.name for file in place.iterdir()}
    for _ in range(2):
        with view_state(place) as view:
            assert (list(view.memory.rows("")), view.note) == (["one"], "")
    assert {file.name for file in place.iterdir()} == before
    with open_state(place) as state:
        assert (list(state.memory.rows("")), state.note) == (["one"], "")


def test_a_look_cannot_write(place: Path) -> None:
    filled(place, 1)
    with view_state(place) as view, pytest.raises(StateError):
        view.memory.set(key="value")


def test_a_place_that_is_a_file_is_an_error_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "pairs").write_text("a file")
    with pytest.raises(StateError, match="pairs"):
        open_state(tmp_path / "pairs" / "x")
