"""One process from start to end: wall time, peak memory, exit code.

What it prints goes to a file, so that a long answer costs neither this process memory nor
the measured one a pipe that is full. It judges nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, KiB elsewhere (getrusage(2))


class BenchError(Exception):
    """A case could not be measured; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start, with which environment (nothing is inherited), from where."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    good: frozenset[int] = field(default=frozenset({0}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: wall and CPU seconds of all its processes; `peak` is in bytes, of the largest of them."""

    seconds: float
    cpu: float
    peak: int
    code: int
    output: Path


def run(command: Command, output: Path) -> Sample:
    """Starts the command and waits; what it prints lands in `output`. Raises BenchError.

    On Linux a process that is started inherits its parent's peak, so the peak is never
    below that of this process: keep it small.
    """
    with output.open("wb") as sink:
        started = time.perf_counter()
        process = _start(command, sink.fileno())
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in command.good:
        raise BenchError(f"{command.argv[0]} ended with {process.returncode}: {_last_words(output)}")
    return Sample(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss * _UNIT,
        code=process.returncode,
        output=output,
    )


def _start(command: Command, sink: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise BenchError(f"{command.argv[0]} does not start: {error}") from error


def _last_words(output: Path) -> str:
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 600))
        return " ".join(file.read().decode(errors="replace").split())
