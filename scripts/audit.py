"""Known holes among the locked packages: by the table beside this file, and by the advisory service.

Says what could not be looked up, and does not call that clean. Ends with 0 where every package was looked up
and none has a hole, 1 where one has, 3 where the service could not be reached for some.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from scripts.locking import FOLDER, LOCKS, Pinned, pinned

TABLE = Path(__file__).parent / "known-holes.toml"


def known() -> list[dict[str, str]]:
    """The table."""
    found: list[dict[str, str]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["holes"]
    return found


def ordered(version: str) -> tuple[int, ...]:
    """The release numbers of a version, to compare."""
    head = version.split("+", maxsplit=1)[0].rsplit("!", maxsplit=1)[-1]
    return tuple(int(part) for part in head.split(".") if part.isdigit())


def by_table(packages: list[Pinned]) -> list[str]:
    """A line for each hole that the table knows of."""
    return [
        f"{one.name} {one.version}: {hole['advisory']}, fixed in {hole['fixed']}"
        for one in packages
        for hole in known()
        if one.name == hole["package"] and ordered(one.version) < ordered(hole["fixed"])
    ]


def by_service(lock: str) -> tuple[list[str], list[str]]:
    """What pip-audit finds in a lock file, and what it could not look up."""
    words = [
        "pip-audit",
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner",
        "off",
        "--format",
        "json",
    ]
    done = subprocess.run([*words, "-r", str(FOLDER / f"{lock}.lock")], capture_output=True, text=True)
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return [], [f"all of {lock}.lock: pip-audit failed: {last[:200]}"]
    holes = [
        f"{one['name']} {one['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or 'none'}"
        for one in told
        for hole in one.get("vulns", [])
    ]
    return holes, [f"{one['name']}: {one['skip_reason']}" for one in told if "skip_reason" in one]


def main() -> int:
    """See above."""
    holes: list[str] = []
    unknown: list[str] = []
    count = 0
    for lock in LOCKS:
        packages = pinned(lock)
        count += len(packages)
        holes += by_table(packages)
        found, missed = by_service(lock)
        holes += found
        unknown += missed
    print(f"{count} locked packages; the table scripts/known-holes.toml knows {len(known())} holes")
    for line in dict.fromkeys(holes):
        print(f"HOLE     {line}")
    for line in dict.fromkeys(unknown):
        print(f"UNKNOWN  {line}")
    if holes:
        print("not clean: raise the floor in pyproject.toml, then `make lock`")
        return 1
    if unknown:
        print(f"NOT AUDITED: the advisory service told nothing of {len(set(unknown))} packages")
        print("only the table was asked; run `make audit` again where the service can be reached")
        return 3
    print("clean: every package was looked up")
    return 0


if __name__ == "__main__":
    sys.exit(main())
