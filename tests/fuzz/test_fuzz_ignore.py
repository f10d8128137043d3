"""Fuzzes the reading of ignore files for some seconds; `python -m tests.fuzz.fuzz_ignore` goes on longer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.ignore_targets import once, seeds

ROOT = Path(__file__).parent.parent.parent


def test_a_mutated_rules_file_raises_nothing_but_beyond_bounds(tmp_path: Path) -> None:
    for number, seed in enumerate(seeds()):
        (tmp_path / str(number)).write_bytes(seed)
    # Linux hands the peak of a process's memory on through fork and exec, and libFuzzer takes it for its own
    # (getrusage(2), ru_maxrss): the shell between has the tests' peak, its child has not.
    apart = ["sh", "-c", '"$@"; exit $?', "sh"]
    done = subprocess.run(
        [*apart, sys.executable, "-m", "tests.fuzz.fuzz_ignore", "-max_total_time=5", "-seed=1",
         "-max_len=4000", "-rss_limit_mb=600", "-timeout=20", f"-artifact_prefix={tmp_path}/", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs is not None and int(runs[1]) > 200, done.stderr[-3000:]


@given(st.sampled_from(seeds()), st.integers(1, 100), st.binary(max_size=12))
def test_a_sound_rules_file_with_other_bytes_in_it(seed: bytes, at: int, other: bytes) -> None:
    once(seed[:at] + other + seed[at + len(other) :])
    once(seed[:at])
