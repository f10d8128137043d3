"""Every parser of foreign bytes is fuzzed for some seconds; `python -m tests.fuzz NAME SECONDS` goes on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NAMES = sorted(file.name.removesuffix("_targets.py") for file in HERE.glob("*_targets.py"))
TARGETS = {name: import_module(f"tests.fuzz.{name}_targets") for name in NAMES}
SEEDS = [(name, seed) for name, targets in TARGETS.items() for seed in targets.seeds()]


@pytest.mark.parametrize("name", NAMES)
def test_mutated_input_raises_nothing_but_the_parsers_own_refusal(name: str, tmp_path: Path) -> None:
    # Linux hands the peak of a process's memory on through fork and exec, and libFuzzer takes it for its own
    # (getrusage(2), ru_maxrss): the shell between has the tests' peak, its child has not.
    apart = ["sh", "-c", '"$@"; exit $?', "sh"]
    words = ["-m", "tests.fuzz", name, "3", "-seed=1", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [*apart, sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs is not None and int(runs[1]) > 200, done.stderr[-3000:]


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_input_raises_nothing_at_all(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].once(seed)


@given(st.sampled_from(SEEDS), st.integers(0, 3000), st.binary(max_size=12))
def test_a_sound_input_with_other_bytes_in_it(chosen: tuple[str, bytes], at: int, other: bytes) -> None:
    name, seed = chosen
    at %= len(seed)
    TARGETS[name].once(seed[:at] + other + seed[at + len(other) :])
    TARGETS[name].once(seed[:at])


def test_every_target_can_be_run_by_its_name() -> None:
    """The table of the program, which cannot be imported where atheris is not, has them all."""
    [table] = [
        node
        for node in ast.walk(ast.parse((HERE / "__main__.py").read_text()))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INSTRUMENTED"
    ]
    assert sorted(ast.literal_eval(table.value)) == NAMES


# What the fuzzers found, by what went wrong.


def test_a_manifest_of_a_negative_size_is_none() -> None:
    """Its sizes added up to less than nothing."""
    from syncer.stores.swift.slo.manifest import parsed

    def row(size: str) -> bytes:
        return b'{"path":"/c/o","etag":"%b","size_bytes":%b}' % (b"ab" * 16, size.encode())

    assert parsed(b"[%b]" % row("5")) is not None
    for size in ("-5", "true", "9" * 19, "1e5"):
        assert parsed(b"[%b]" % row(size)) is None
    half = row(str(1 << 62))
    assert parsed(b"[%b,%b]" % (half, half)) is None
    assert parsed(b'[{"path":"/c/\\ud800","etag":"%b","size_bytes":5}]' % (b"ab" * 16)) is None


@pytest.mark.parametrize("date", ["1013-01-01T10:00:00+0100", "9999-01-01T10:00:00+0100"])
def test_a_date_that_no_file_can_have_is_none(date: str) -> None:
    """The year 1013 is more nanoseconds ago than the database holds."""
    from syncer.stores.orange import items
    from syncer.stores.smartfile import info

    item = {"id": "x", "name": "n", "size": 5, "lastUpdateDate": date}
    assert items.file(item, None).date_ns is None
    name = {
        "name": "n",
        "isfile": True,
        "size": 5,
        "time": date,
        "attributes": {"modified": f"{date[:10]} 10:00:00"},
    }
    assert info.read(name, None).mtime_ns is None
    assert info.read({**name, "attributes": {}}, None).span is None


@pytest.mark.parametrize(
    "row",
    [
        {"subdir": "\ud800/"},
        {"name": "\ud800", "bytes": 5, "hash": "x", "last_modified": "2026-01-01T00:00:00"},
        {"name": "a", "bytes": 5, "hash": "\ud800", "last_modified": "2026-01-01T00:00:00"},
        {"name": "a", "bytes": -5, "hash": "x", "last_modified": "2026-01-01T00:00:00"},
        {"name": "a", "bytes": True, "hash": "x", "last_modified": "2026-01-01T00:00:00"},
        {"name": "a", "bytes": 1 << 63, "hash": "x", "last_modified": "2026-01-01T00:00:00"},
    ],
    ids=["subdir", "name", "etag", "negative", "bool", "huge"],
)
def test_a_row_that_cannot_be_makes_the_listing_none(row: dict[str, object]) -> None:
    """A prefix that stands for no bytes was a traceback, a negative size a row of the database."""
    from syncer.errors import TransientError
    from syncer.stores.swift.objects import _row

    with pytest.raises(TransientError, match="listing"):
        _row(row)
