"""The texts that a run uses are those that the tables and expressions make, and a run loads no SQLAlchemy."""

from __future__ import annotations

import subprocess
import sys

from scripts.statements import text
from syncer.state import statements


def constants(names: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in names.items() if name.isupper()}


def test_the_statements_are_what_the_tables_and_expressions_make() -> None:
    made: dict[str, object] = {}
    exec(compile(text(), "statements.py", "exec"), made)
    assert constants(vars(statements)) == constants(made), "run `python scripts/statements.py`"


def test_what_a_run_needs_of_the_state_loads_no_sqlalchemy() -> None:
    code = "import sys, syncer.jobs, syncer.state; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
