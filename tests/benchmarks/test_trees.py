"""The trees of the benchmark: the same seed grows the same tree, and a clone shares nothing with it."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from benchmarks.trees import DATA, LARGEST, SMALLEST, Spec, big_file, clone, grow, picked

SPEC = Spec(files=130)


def look(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below the root: its bytes, and its mtime in ns."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_grows_the_same_tree(tmp_path: Path) -> None:
    for name in ("one", "two"):
        grow(tmp_path / name, SPEC)
    assert look(tmp_path / "one") == look(tmp_path / "two")
    grow(tmp_path / "other", Spec(files=130, seed=3))
    assert look(tmp_path / "other") != look(tmp_path / "one")


def test_a_tree_has_the_files_that_were_asked_for_and_no_two_are_equal(tmp_path: Path) -> None:
    grow(tmp_path / "tree", SPEC)
    found = look(tmp_path / "tree")
    assert len(found) == SPEC.files
    assert len({data for data, _ in found.values()}) == SPEC.files
    assert all(SMALLEST <= len(data) <= LARGEST for data, _ in found.values())
    assert [path.name for path in (tmp_path / "tree").iterdir()] == [DATA]


def test_a_clone_is_equal_and_independent(tmp_path: Path) -> None:
    grow(tmp_path / "tree", SPEC)
    clone(tmp_path / "tree", tmp_path / "copy")
    assert look(tmp_path / "copy") == look(tmp_path / "tree")
    links = [path.stat().st_nlink for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert set(links) == {1}


def test_files_are_picked_alike_and_from_different_directories(tmp_path: Path) -> None:
    grow(tmp_path / "tree", SPEC)
    chosen = picked(tmp_path / "tree", 4, Random(1))
    assert chosen == picked(tmp_path / "tree", 4, Random(1))
    assert len({path.parent for path in chosen}) == 4
    assert len(set(picked(tmp_path / "tree", SPEC.files, Random(1)))) == SPEC.files


def test_a_big_file_has_exactly_its_size(tmp_path: Path) -> None:
    big_file(tmp_path / "big", (1 << 20) + 5)
    assert os.path.getsize(tmp_path / "big") == (1 << 20) + 5


def test_no_two_directories_of_a_large_tree_share_a_name(tmp_path: Path) -> None:
    grow(tmp_path / "tree", Spec(files=1500, per_directory=1))
    assert sum(1 for _ in (tmp_path / "tree" / DATA).rglob("*.*")) == 1500
