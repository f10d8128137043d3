"""Cache files: damaged, of another format, busy, full, in a directory that cannot be written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from syncer.state import cache
from syncer.state.cache import CacheDatabase, open_cache

SCHEMA = "CREATE TABLE IF NOT EXISTS words (word TEXT PRIMARY KEY, number INTEGER NOT NULL)"
PUT = "INSERT OR REPLACE INTO words VALUES (?, ?)"
GET = "SELECT word, number FROM words ORDER BY word"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "caches" / "words.sqlite"


def opened(file: Path | None, version: int = 1) -> CacheDatabase:
    return CacheDatabase(file, SCHEMA, version=version)


def filled(file: Path) -> None:
    with closing(opened(file)) as words:
        words.write((PUT, [("a", 1), ("b", 2)]))


def test_what_is_written_is_there_after_a_close(file: Path) -> None:
    filled(file)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    with closing(opened(file)) as words:
        assert words.select(GET) == [("a", 1), ("b", 2)]


def test_nothing_is_created_before_the_first_use(file: Path) -> None:
    opened(file).close()
    assert not file.parent.exists()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def overwrite(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)


def scribble(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)


def another_table(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("CREATE TABLE words (something INTEGER)")


@pytest.mark.parametrize("damage", [truncate, overwrite, scribble, another_table])
def test_a_damaged_file_is_replaced(file: Path, damage: Callable[[Path], None]) -> None:
    filled(file)
    damage(file)
    with closing(opened(file)) as words:
        assert words.select(GET) == []
        words.write((PUT, [("c", 3)]))
        words.write((PUT, [("d", 4)]))
    with closing(opened(file)) as words:
        assert ("d", 4) in words.select(GET)


def test_a_file_of_another_format_is_replaced(file: Path) -> None:
    filled(file)
    with closing(opened(file, version=2)) as words:
        assert words.select(GET) == []
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_file_without_a_format_number_is_of_the_first_format(file: Path) -> None:
    """The server's digests had none."""
    filled(file)
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("PRAGMA user_version=0")
    with closing(opened(file)) as words:
        assert words.select(GET) == [("a", 1), ("b", 2)]


def test_a_busy_file_is_left_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(file)
    with closing(opened(file)) as words, closing(sqlite3.connect(file)) as other:
        assert words.select(GET)
        words.select("PRAGMA busy_timeout=1")
        other.execute("BEGIN IMMEDIATE")
        words.write((PUT, [("c", 3)]))
        other.execute("ROLLBACK")
        assert words.select(GET) == [("a", 1), ("b", 2)]
        words.write((PUT, [("c", 3)]))
        assert len(words.select(GET)) == 3


def test_a_cache_has_a_largest_size(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 16 * 4096)
    with closing(opened(file)) as words:
        words.write((PUT, [("first", 1)]))
        for number in range(100):
            words.write((PUT, [(f"{number}{'x' * 2000}", number)]))
        assert ("first", 1) in words.select(GET)
        assert 2 < len(words.select(GET)) < 100
    assert file.stat().st_size <= 16 * 4096


def test_a_failed_write_writes_nothing(file: Path) -> None:
    filled(file)
    with closing(opened(file)) as words:
        words.select("PRAGMA busy_timeout=1")
        with pytest.raises(OverflowError):
            words.write((PUT, [("c", 3)]), (PUT, [("d", 1 << 70)]))
        assert words.select(GET) == [("a", 1), ("b", 2)]


def test_without_a_usable_directory_the_cache_is_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in (opened(tmp_path / "file" / "words.sqlite"), opened(None)):
        with closing(words):
            words.write((PUT, [("a", 1)]))
            assert words.select(GET) == [("a", 1)]
    assert (tmp_path / "file").read_text() == ""


def test_a_closed_cache_answers_nothing(file: Path) -> None:
    words = opened(file)
    words.write((PUT, [("a", 1)]))
    words.close()
    words.close()
    words.write((PUT, [("b", 1)]))
    assert words.select(GET) == []


def test_open_cache_does_not_touch_a_file_of_another_format(file: Path) -> None:
    filled(file)
    with pytest.raises(sqlite3.DatabaseError, match="another format"):
        open_cache(file, SCHEMA, version=2)
    with closing(opened(file)) as words:
        assert len(words.select(GET)) == 2
