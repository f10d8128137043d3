"""Every statement runs on the tables that `schema` defines, and ordinary runs import no SQLAlchemy."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncer.state import core_queries, queries, schema
from syncer.state.sqlite import Database

PLAIN = {
    name: value
    for name, value in vars(queries).items()
    if name.isupper() and name[0] != "_" and isinstance(value, str)
}
CORE = {name: value for name, value in vars(core_queries).items() if name.isupper()}
COLUMNS = {  # of the rows that Core's INSERTs are executed with
    "PUT_CONFLICT": schema.conflicts.c.keys(),
    "PUT_PROBLEM": schema.problems.c.keys(),
    "PUT_FAILURE": schema.failures.c.keys(),
}


@pytest.fixture
def raw() -> Iterator[sqlite3.Connection]:
    """The tables that `schema` creates, and one directory. Foreign keys are not enforced."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in schema.creation():
            connection.execute(statement)
        connection.execute("INSERT INTO directories (id, path, key) VALUES (1, 1, 1)")
        yield connection


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_statement_runs_on_the_tables(name: str, raw: sqlite3.Connection) -> None:
    statement = PLAIN[name]
    assert "?" not in statement, "parameters are named"
    parameters = re.findall(r":(\w+)", statement)
    raw.execute(statement, dict.fromkeys(parameters, 1)).fetchall()


@pytest.mark.parametrize("name", CORE)
def test_a_core_statement_runs_on_the_tables(name: str, raw: sqlite3.Connection) -> None:
    database = Database(raw, Path("memory"))
    statement = CORE[name]
    names = COLUMNS.get(name) or [
        key for key, value in statement.compile(dialect=schema.DIALECT).params.items() if value is None
    ]
    assert names or name == "GET_RUNS"
    database.select(statement, dict.fromkeys(names, 1))


def test_a_value_is_written_to_the_column_of_its_name(raw: sqlite3.Connection) -> None:
    """A statement with two names exchanged would also run."""
    raw.row_factory = sqlite3.Row
    for name in ("PUT_ENTRY", "ADD_HISTORY", "ADD_BATCH", "ADD_VERSION", "START_RUN", "END_RUN"):
        statement = PLAIN[name]
        names = re.findall(r":(\w+)", statement)
        values = {key: 100 + number for number, key in enumerate(names)} | {"key": 1, "id": 1}
        raw.execute(statement, values)
        table = re.search(r"(?:INTO|UPDATE) (\w+)", statement)[1]  # type: ignore[index]
        [row] = raw.execute(f"SELECT * FROM {table}").fetchall()
        columns = set(names) & set(row.keys())
        assert {key: int(row[key]) for key in columns} == {key: values[key] for key in columns}


def test_the_tables_that_are_checked_for_are_those_of_the_schema() -> None:
    assert set(schema.metadata.tables) == queries.TABLES


@pytest.mark.parametrize(
    "table", [schema.entries, schema.conflicts, schema.problems, schema.failures, schema.trash_batches]
)
def test_a_select_of_whole_rows_has_the_columns_in_the_order_of_the_table(
    table: schema.Table, raw: sqlite3.Connection
) -> None:
    """Rows are unpacked by position."""
    statement = {
        "entries": queries.GET_ENTRIES,
        "conflicts": queries.GET_CONFLICTS,
        "problems": queries.GET_PROBLEMS,
        "failures": queries.GET_FAILURES,
        "trash_batches": queries.GET_BATCHES,
    }[table.name]
    parameters = dict.fromkeys(re.findall(r":(\w+)", statement), 1)
    names = [column[0] for column in raw.execute(statement, parameters).description]
    skipped = {"entries": 1, "trash_batches": 1}.get(table.name, 0)  # the column in the WHERE clause
    assert names == table.c.keys()[skipped:]


SYNC = """
import sys
from syncer.cli.main import main

try:
    main(["--quiet", "sync", "--config", "config.toml", "--settle", "0", "local", "remote"])
finally:
    print("sqlalchemy" in sys.modules)
"""


def test_only_the_first_run_of_a_pair_imports_sqlalchemy(tmp_path: Path) -> None:
    """The first creates the tables; runs that do nothing, replace a file or delete one need none of it."""
    for name in ("local", "remote"):
        (tmp_path / name).mkdir()
    (tmp_path / "config.toml").write_text(f'state_dir = "{tmp_path}/state"\n')
    file = tmp_path / "local" / "file"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}

    def imports_sqlalchemy() -> bool:
        done = subprocess.run(
            [sys.executable, "-c", SYNC], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1] == "True"

    file.write_text("first")
    assert imports_sqlalchemy()
    assert not imports_sqlalchemy()
    file.write_text("second")
    assert not imports_sqlalchemy()
    assert (tmp_path / "remote" / "file").read_text() == "second"
    file.unlink()
    assert not imports_sqlalchemy()
    assert not (tmp_path / "remote" / "file").exists()
