"""Mutates signatures, deltas and sketches, led by coverage (atheris).

    python -m tests.fuzz.fuzz_delta [-max_total_time=60] [CORPUS]

It ends when the time is over, or with the input that raised something else than BadDelta.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["syncer.engine"]):
    from tests.fuzz.delta_targets import once

if __name__ == "__main__":
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()
