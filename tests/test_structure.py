"""The house style's rules, held by machine: docstrings, the direction of imports, what is loaded when.

`make lint` runs this file on its own. It reads the sources (ast), it imports nothing of them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "syncer").rglob("*.py"))
OTHERS = sorted(p for folder in ("tests", "scripts", "benchmarks") for p in (ROOT / folder).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef

SELF_EVIDENT = 3  # a method or property this short, with a good name, needs no docstring

# Who may import whom. A module is ruled by the longest prefix that fits it; everything it
# imports from `syncer` must fit one of its arrows and none of its bars ("!").
ENGINE_VALUES = (
    "syncer.engine.model",
    "syncer.engine.paths",
    "syncer.engine.interfaces",
    "syncer.engine.scope",
    "syncer.errors",
)
BELOW_JOBS = tuple(
    f"syncer.{name}"
    for name in (
        "accounts",
        "clock",
        "config",
        "delta",
        "engine",
        "errors",
        "exit_codes",
        "mounts",
        "state",
        "stores",
        "testing",
    )
)
ARROWS: dict[str, tuple[str, ...]] = {
    "syncer": ("syncer",),  # the public names, which are loaded at their first use
    "syncer.api": (*BELOW_JOBS, "syncer.formatting", "syncer.jobs", "syncer.daemon"),
    "syncer.__main__": ("syncer.cli",),
    "syncer.errors": (),
    "syncer.exit_codes": ("syncer.errors",),
    "syncer.engine": ("syncer.engine", "syncer.errors", "!syncer.engine.sync"),
    "syncer.engine.check": ("syncer.engine", "syncer.errors"),
    "syncer.engine.explain": ("syncer.engine", "syncer.errors"),
    "syncer.delta": (*ENGINE_VALUES, "syncer.delta"),
    "syncer.wire": (*ENGINE_VALUES, "syncer.wire"),
    "syncer.stores": (
        *ENGINE_VALUES,
        "syncer.engine.fingerprint",
        "syncer.delta",
        "syncer.formatting",
        "syncer.state.cache",
        "syncer.wire",
        "syncer.stores",
    ),
    "syncer.state": (
        *ENGINE_VALUES,
        "syncer.engine.fingerprint",
        "syncer.engine.report",
        "syncer.engine.echo",
        "syncer.engine.guards",
        "syncer.clock",
        "syncer.mounts",
        "syncer.state",
    ),
    "syncer.mounts": (),
    "syncer.allocator": (),
    "syncer.engine.gitignore": (*ENGINE_VALUES, "syncer.engine.ignore"),
    "syncer.clock": ENGINE_VALUES,
    "syncer.formatting": ENGINE_VALUES,
    "syncer.config": (*ENGINE_VALUES, "syncer.formatting", "syncer.engine.gitignore", "syncer.config"),
    "syncer.accounts": (*BELOW_JOBS, "syncer.formatting"),
    "syncer.testing": (
        *ENGINE_VALUES,
        "syncer.engine.fingerprint",
        "syncer.exit_codes",
        "syncer.stores",
        "syncer.testing",
    ),
    "syncer.jobs": (*BELOW_JOBS, "syncer.formatting", "syncer.jobs"),
    "syncer.watch": (*ENGINE_VALUES, "syncer.clock", "syncer.mounts", "syncer.watch"),
    "syncer.daemon": (
        *BELOW_JOBS,
        "syncer.formatting",
        "syncer.allocator",
        "syncer.jobs",
        "syncer.watch",
        "syncer.daemon",
    ),
    "syncer.server": (
        *ENGINE_VALUES,
        "syncer.delta",
        "syncer.allocator",
        "syncer.clock",
        "syncer.state.cache",
        "syncer.state.directory",
        "syncer.state.lock",
        "syncer.watch",
        "syncer.wire",
        "syncer.stores",
        "syncer.server",
    ),
    "syncer.cli": (
        *ENGINE_VALUES,
        "syncer.exit_codes",
        "syncer.formatting",
        "syncer.engine.report",
        "syncer.config",
        "syncer.accounts",
        "syncer.jobs",
        "syncer.daemon",
        "syncer.server",
        "syncer.cli",
    ),
}
OUTSIDE_ENGINE = {  # all the engine may load beyond the standard library
    "syncer.delta.librsync": {"librsync"},
    "syncer.delta.block_index": {"blake3"},
    "syncer.delta.indexed_delta": {"blake3"},
}
HEAVY = {
    "botocore",
    "keystoneauth1",
    "librsync",
    "ovh",
    "pydantic",
    "requests",
    "rich",
    "sqlalchemy",
    "starlette",
    "swiftclient",
    "watchdog",
    "yaml",
    "zstandard",
}

STORE = re.compile(r"syncer\.stores\.\w+\.store")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_stub(node: Function) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant) and last.value.value is ...


def length(node: Function) -> int:
    """Lines from `def` to the end, the docstring not counted: words are free."""
    first = node.body[0]
    words = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) else 0
    return (node.end_lineno or 0) - node.lineno + 1 - words


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports anywhere, `from syncer.engine import x` resolved."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in MODULES else node.module


MODULES = {module_name(path): path for path in PACKAGE}


def fits(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def allowed(module: str, imported: str) -> bool:
    rule = max((prefix for prefix in ARROWS if fits(module, prefix)), key=len)
    barred = any(fits(imported, arrow[1:]) for arrow in ARROWS[rule] if arrow.startswith("!"))
    return not barred and (
        imported == "syncer" or any(fits(imported, arrow) for arrow in ARROWS[rule] if arrow[0] != "!")
    )


def undocumented(path: Path) -> Iterator[str]:
    """Public classes, functions and longer methods without a docstring."""
    for node in tree(path).body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith(("_", "test_")):
            continue
        if not ast.get_docstring(node) and not (isinstance(node, Function) and is_stub(node)):
            yield f"{path.name}:{node.lineno} {node.name}"
        if isinstance(node, ast.ClassDef):
            yield from (f"{path.name}:{m.lineno} {node.name}.{m.name}" for m in bare_methods(node))


def bare_methods(node: ast.ClassDef) -> Iterator[Function]:
    if any(isinstance(base, ast.Attribute) for base in node.bases):
        return  # click.Group and the like: the words stand in the foreign base class
    for method in node.body:
        if (
            isinstance(method, Function)
            and not method.name.startswith("_")
            and method.name not in CONTRACT
            and not is_stub(method)
            and length(method) - 1 > SELF_EVIDENT
            and not ast.get_docstring(method)
        ):
            yield method


# Methods whose words stand in the contract that they fulfil.
CONTRACT = {
    method.name
    for node in ast.walk(tree(ROOT / "syncer" / "engine" / "interfaces.py"))
    if isinstance(node, ast.ClassDef)
    for method in node.body
    if isinstance(method, Function)
}


def none(wrong: list[str]) -> None:
    """Fails with one line for each finding."""
    assert not wrong, "\n  ".join(["", *wrong])


def test_every_module_says_what_it_does() -> None:
    silent = [p for p in [*PACKAGE, *OTHERS] if p.read_bytes().strip() and not ast.get_docstring(tree(p))]
    none([str(p.relative_to(ROOT)) for p in silent])


def test_every_public_name_has_a_docstring() -> None:
    none([name for p in PACKAGE for name in undocumented(p)])


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module} -> {imported}"
        for module, path in MODULES.items()
        for imported in sorted(set(imports(path)))
        if fits(imported, "syncer") and not allowed(module, imported)
    ]
    none(wrong)


def test_no_store_imports_from_a_sibling_store() -> None:
    """What two stores need is in `stores.remote`, `stores.http` or a module beside the packages."""
    stores = {name.rpartition(".")[0] for name in MODULES if STORE.fullmatch(name)}
    assert len(stores) >= 5
    none(
        [
            f"{module} -> {imported}"
            for module, path in MODULES.items()
            if any(fits(module, shared) for shared in (*stores, "syncer.stores.remote", "syncer.stores.http"))
            for imported in sorted(set(imports(path)))
            if any(fits(imported, store) and not fits(module, store) for store in stores)
        ]
    )


def test_no_two_modules_import_each_other() -> None:
    # The package itself loads its public names at their first use only: importing it closes no circle.
    graph = {
        m: {i for i in imports(p) if i in MODULES and i not in (m, "syncer")} for m, p in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_engine_needs_only_the_standard_library() -> None:
    foreign = [
        f"{module} -> {imported}"
        for module, path in MODULES.items()
        if fits(module, "syncer.engine")
        for imported in imports(path)
        if (top := imported.partition(".")[0]) not in sys.stdlib_module_names
        and top != "syncer"
        and top not in OUTSIDE_ENGINE.get(module, set())
    ]
    none(foreign)


def test_every_rule_about_imports_is_tried_by_a_wrong_arrow() -> None:
    """The test above would also pass if it allowed everything."""
    assert not allowed("syncer.engine.reconcile", "syncer.stores.local.store")
    assert not allowed("syncer.engine.ordering", "syncer.engine.sync")
    assert not allowed("syncer.stores.local.store", "syncer.engine.reconcile")
    assert not allowed("syncer.stores.local.store", "syncer.config")
    assert not allowed("syncer.cli.sync", "syncer.stores.local.store")
    assert not allowed("syncer.errors", "syncer.engine.model")
    assert allowed("syncer.jobs", "syncer.engine.sync")


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "syncer", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert loaded & HEAVY == set()
