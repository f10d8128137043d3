"""ARCHITECTURE.md is complete and true: every module has its room, every invariant its tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from scripts.readme import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROOMS = TEXT[TEXT.index("## The rooms") : TEXT.index("## Where to look")]
INVARIANTS = TEXT[TEXT.index("## Invariants") : TEXT.index("## What a kill leaves")]
SELF_EVIDENT = {"__init__.py", "__main__.py"}


def test_every_module_is_in_the_table_of_rooms() -> None:
    modules = {path.name for path in (ROOT / "syncer").rglob("*.py")} - SELF_EVIDENT
    shown = set(re.findall(r"`(?:\w+/)*(\w+\.py)`", ROOMS))
    assert modules - shown == set(), "modules without a room"
    assert shown - modules - {"test_structure.py", "test_architecture.py"} == set(), "rooms without a module"


def test_every_invariant_is_guarded_by_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]+\|([^|]*)\|$", INVARIANTS, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 15))
    unguarded = [number for number, guards in rows if not guards.strip()]
    assert unguarded == []
    named = [guard for _, guards in rows for guard in re.findall(r"`([\w/.]+::\w+)`", guards)]
    assert [guard for guard in named if not exists(guard)] == []


def exists(guard: str) -> bool:
    """Whether `folder/test_file.py::test_name` (below tests/) is a test or a class of tests."""
    file, _, name = guard.partition("::")
    path: Path = ROOT / "tests" / file
    return path.exists() and any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
        for node in ast.walk(ast.parse(path.read_bytes()))
    )
