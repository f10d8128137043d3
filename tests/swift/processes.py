"""Server processes that speak JSON lines on their standard output and end when their standard input does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = 60  # seconds to end in


def start(words: Sequence[str], complaints: Path | None) -> subprocess.Popen[bytes]:
    """What it says on standard error goes to a file, or (None) where the tests' own goes."""
    if complaints is None:
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with complaints.open("wb") as file:
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file)


def hear(process: subprocess.Popen[bytes], complaints: Path) -> Any:
    """The next line. A process that ended instead fails the test with its last words."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        said = complaints.read_text(errors="replace")[-3000:] if complaints.exists() else ""
        raise AssertionError(f"the server ended: {said}")
    return json.loads(line)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends it, and waits until it has."""
    process.terminate()
    process.wait(PATIENCE)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
