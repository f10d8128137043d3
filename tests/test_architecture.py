"""ARCHITECTURE.md is complete and true: every package has its row, every invariant its tests."""

from __future__ import annotations

import ast
import re

from scripts.readme import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGES = TEXT[TEXT.index("## Packages") : TEXT.index("## Where to look")]
INVARIANTS = TEXT[TEXT.index("## Invariants") : TEXT.index("## What a kill leaves")]
SELF_EVIDENT = {"__init__.py", "__main__.py"}


def test_every_package_is_in_the_table_of_packages() -> None:
    package = ROOT / "syncer"
    folders = {str(p.parent.relative_to(package)) + "/" for p in package.rglob("*.py") if p.parent != package}
    modules = {p.name for p in package.glob("*.py")} - SELF_EVIDENT
    first_cells = "".join(re.findall(r"^\| (`[^|]+) \|", PACKAGES, re.MULTILINE))
    shown = set(re.findall(r"`((?:\w+/)+|\w+\.py)`", first_cells))
    assert (folders | modules) - shown == set(), "packages without a row"
    assert shown - folders - modules == set(), "rows without a package"


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
    paths = [ROOT / "tests" / file]
    if file == "contract/test_contract.py":  # the suite is a part of the package, for authors of stores
        paths = [ROOT / "syncer" / "testing" / f"contract_{what}.py" for what in ("changes", "queries")]
    return any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
        for path in paths
        if path.exists()
        for node in ast.walk(ast.parse(path.read_bytes()))
    )


def test_every_module_that_a_page_names_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    roots = (ROOT, ROOT / "syncer", ROOT / "syncer" / "engine", ROOT / "tests")
    named = {
        (page.name, path)
        for page in pages
        for path in re.findall(r"`([a-z_]+(?:/[a-z_]+)+\.py)`", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    assert [one for one in sorted(named) if not any((root / one[1]).exists() for root in roots)] == []
