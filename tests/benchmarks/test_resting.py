"""What the kernel says of a process, read right."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.resting import costs, cpu_seconds, memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is Linux's")


def test_processor_time_is_user_and_system_whatever_the_process_is_called(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = ["S", *["0"] * 10, "150", "50", *["9"] * 30]
    (tmp_path / "7" / "stat").write_text(f"7 (a) 1 (b) {' '.join(fields)}\n")
    assert cpu_seconds(7, tmp_path) == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))


def test_processor_time_grows_with_work() -> None:
    before, began = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert cpu_seconds(os.getpid()) - before == pytest.approx(0.1, abs=0.05)


def test_memory_is_read_in_bytes_by_name(tmp_path: Path) -> None:
    (tmp_path / "some").write_text("00400000-7fff [rollup]\nRss:   1234 kB\nPss:\t  1000 kB\nThreads: 3\n")
    assert memory(tmp_path / "some", "Pss", "Rss") == [1000 * 1024, 1234 * 1024]
    with pytest.raises(KeyError):
        memory(tmp_path / "some", "Threads")


def test_a_process_that_ended_is_no_process_that_rests() -> None:
    found = costs({"this": os.getpid()}, 0.05)["this"]
    assert 0 <= found.share <= 4
    assert 0 < found.pss <= found.rss <= found.peak
    with pytest.raises(OSError):
        costs({"gone": 2**22 + 1}, 0.01)
