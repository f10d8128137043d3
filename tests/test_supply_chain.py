"""What is installed is what was locked, by hash; what may be installed has no hole that is known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts import audit, locking
from scripts.locking import LOCKS, ROOT, SBOM, Pinned, pinned, sbom

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def floors() -> dict[str, str]:
    """Name and least version of every dependency."""
    lines = [*PROJECT["dependencies"], *(d for ds in PROJECT["optional-dependencies"].values() for d in ds)]
    found = [re.match(r"([A-Za-z0-9._-]+)>=([^;, ]+)", line) for line in lines]
    assert all(found), "every dependency has a floor"
    return {re.sub(r"[-_.]+", "-", m[1]).lower(): m[2] for m in found if m}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_locked_has_its_hashes(lock: str) -> None:
    packages = pinned(lock)
    assert len(packages) > 20
    assert [one.name for one in packages if not one.hashes] == []
    text = (locking.FOLDER / f"{lock}.lock").read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text, "no address of anybody's index"


def test_what_is_locked_is_what_the_package_asks_for() -> None:
    locked = {one.name: one.version for one in pinned("dev")}
    locked |= {one.name: one.version for one in pinned("run")}
    wrong = {
        name: (locked.get(name), least)
        for name, least in floors().items()
        if name != "keyring" and audit.ordered(locked.get(name, "0")) < audit.ordered(least)
    }
    assert wrong == {}


def test_no_floor_and_no_lock_lets_a_known_hole_in() -> None:
    allowed = [Pinned(name=name, version=least, hashes=()) for name, least in floors().items()]
    assert audit.by_table(allowed) == []
    assert audit.by_table([one for lock in LOCKS for one in pinned(lock)]) == []
    assert audit.by_table([Pinned(name="urllib3", version="2.5.0", hashes=())])


def test_the_bill_of_materials_is_that_of_the_lock() -> None:
    """Renewed by `make lock`; it comes along in the source distribution."""
    assert SBOM.read_text(encoding="utf-8") == sbom()
    assert {c["name"] for c in json.loads(sbom())["components"]} == {one.name for one in pinned("run")}


def test_an_audit_that_reached_nobody_is_not_called_clean(tmp_path: Path) -> None:
    """pip-audit ends with status 0 where the service knows of no package at all."""
    fake = tmp_path / "pip-audit"
    told = {"dependencies": [{"name": "requests", "skip_reason": "Dependency not found"}]}
    fake.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.audit"], cwd=ROOT, env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "UNKNOWN  requests" in done.stdout and "NOT AUDITED" in done.stdout and "clean" not in done.stdout


def test_a_hole_that_the_service_knows_fails_the_audit(tmp_path: Path) -> None:
    fake = tmp_path / "pip-audit"
    hole = {"id": "CVE-1", "fix_versions": ["9"]}
    told = {"dependencies": [{"name": "requests", "version": "1", "vulns": [hole]}]}
    fake.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.audit"], cwd=ROOT, env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "HOLE     requests 1: CVE-1, fixed in 9" in done.stdout


def test_make_installs_from_the_locks() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    setup = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    assert "--require-hashes" in setup and "--no-deps" in setup
    for lock in LOCKS:
        assert f"requirements/{lock}.lock" in makefile


def test_the_demo_could_not_be_installed_since_a_lock_lacked_what_its_own_packages_need() -> None:
    """pip refuses a lock with hashes that is not complete (--require-hashes)."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    for lock in ("run", "dev"):
        there = {one.name for one in locking.pinned(lock)}
        missing = {
            f"{name} needs {needed.name}"
            for name in there
            if not_elsewhere(name)
            for needed in map(Requirement, requires(name) or [])
            if needed.marker is None or needed.marker.evaluate({"extra": ""})
            if re.sub(r"[-_.]+", "-", needed.name).lower() not in there
        }
        assert missing == set(), lock


def not_elsewhere(name: str) -> bool:
    """Whether a package is installed here: some are locked for other systems only."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
