"""One run of a case's Syncer under cProfile: where a missed budget goes.

The profile covers the main thread; what pool threads do shows as waiting for them.
Times are longer than without it: compare shares, not seconds.
"""

from __future__ import annotations

import io
import pstats
from dataclasses import replace

from benchmarks.contest import Contest
from benchmarks.ground import Ground
from benchmarks.running import run

_TOP = 30


def profiled(ground: Ground, contest: Contest) -> str:
    """The top lines by own time and by time with callees. Raises BenchError."""
    contest.own.prepare(0)
    command = contest.own.command(0)
    python, *words = command.argv
    stats = ground.outputs / "profile"
    sample = run(
        replace(command, argv=(python, "-m", "cProfile", "-o", str(stats), *words)),
        ground.outputs / "profiled.out",
    )
    contest.own.check(sample)
    text = io.StringIO()
    told = pstats.Stats(str(stats), stream=text).strip_dirs()
    for order in ("tottime", "cumulative"):
        told.sort_stats(order).print_stats(_TOP)
    return f"{contest.case}: {sample.seconds:.2f} s under the profiler\n{text.getvalue()}"
