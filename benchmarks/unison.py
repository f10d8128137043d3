"""`unison -repeat watch` between two folders, as a line beside ours. It needs `unison-fsmonitor`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ground import Ground
from benchmarks.lines import Line, copies
from benchmarks.peers import Peers
from benchmarks.running import BenchError
from benchmarks.serving import started
from benchmarks.trees import DATA

_PATIENCE, _PAUSE = 300.0, 0.5  # seconds


@contextmanager
def unison(place: Ground, tree: Path) -> Iterator[Line]:
    """Once it knows both folders, and a file made for this has crossed. Raises BenchError."""
    with copies(place, tree, "unison", "a", "b") as (source, target):
        command = Peers(ground=place, user="unison").unison(source / DATA, target / DATA)
        Peers(ground=place, user="unison").untimed(command)
        words = [*command.argv, "-repeat", "watch"]
        with started(words, command.environment, command.folder, heard=False) as process:
            (source / DATA / "agreed").write_text("agreed")
            end = time.monotonic() + _PATIENCE
            while not (target / DATA / "agreed").exists():
                if time.monotonic() > end or process.poll() is not None:
                    raise BenchError(f"unison -repeat watch brings nothing: see {command.folder}/output")
                time.sleep(_PAUSE)
            time.sleep(2 * _PAUSE)
            yield Line(name="unison, watch", source=source, target=target, processes={"unison": process.pid})
