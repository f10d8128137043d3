"""Writes `syncer/state/statements.py`: the texts of all statements over the tables of the state database.

    python scripts/statements.py

To be run after any change of `schema` or of a module `*_sql` in `syncer/state`; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "syncer" / "state" / "statements.py"
_HEAD = dedent('''
    """The statements of the state database as SQLite takes them. Written by `scripts/statements.py`.

    What they are made of stands in `schema`, `memory_sql`, `ledger_sql` and `trash_sql`.
    """

    from __future__ import annotations

    from typing import Final

    # ruff: noqa: E501
    ''')


def text() -> str:
    """The module as it should be."""
    from syncer.state import schema

    created = "".join(f"    {line!r},\n" for line in map(_joined, schema.creation()))
    tables = "".join(f"    {name!r},\n" for name in sorted(schema.metadata.tables))
    parts = [f"CREATION: Final = (\n{created})", f"TABLES: Final = frozenset((\n{tables}))"]
    parts += [f"{name}: Final = {statement!r}" for name, statement in _statements()]
    return _HEAD.lstrip() + "\n" + "\n".join(parts) + "\n"


def _statements() -> Iterator[tuple[str, str]]:
    from syncer.state import ledger_sql, memory_sql, trash_sql

    found: dict[str, str] = {}
    for module in (memory_sql, ledger_sql, trash_sql):
        for name, value in vars(module).items():
            if not name.isupper() or name.startswith("_") or not isinstance(value, str):
                continue
            if found.setdefault(name, _joined(value)) != _joined(value):
                raise ValueError(f"two statements are called {name}")
    yield from found.items()


def _joined(statement: str) -> str:
    """In one line; no statement has blanks within a literal."""
    return " ".join(statement.split())


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    TARGET.write_text(text())
