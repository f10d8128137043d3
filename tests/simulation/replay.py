"""Runs one case of the simulation again: `python -m tests.simulation.replay death 17 after`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.simulation.cases import Lab


def main(name: str, *words: str) -> None:
    """Raises AssertionError if the case fails."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        Lab(Path(scratch)).campaign(name, [tuple(int(w) if w.isdecimal() else w for w in words)])
    print("it holds")


if __name__ == "__main__":
    main(*sys.argv[1:])
