"""Mutates ignore files and paths, led by coverage (atheris).

    python -m tests.fuzz.fuzz_ignore [-max_total_time=60] [CORPUS]

It ends when the time is over, or with the input that raised something else than BeyondBounds.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["syncer.ignore", "syncer.engine.rules"]):
    from tests.fuzz.ignore_targets import once

if __name__ == "__main__":
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()
