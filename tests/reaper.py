"""Kills every process that a test session left behind, once the session has ended, however it ended.

    python -I tests/reaper.py PID TOKEN

Started by `tests/conftest.py`. PID is that of pytest, or of a worker of pytest-xdist; TOKEN the value of
SYNCER_TEST_SESSION there. Daemons and servers that tests start inherit that variable, so they are found by
/proc/*/environ: also where pytest was ended by a signal, and nothing of its own could clean up. (prctl(2)
with PR_SET_PDEATHSIG would not do: it fires when the starting *thread* ends.) Linux only; elsewhere it does
nothing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

VARIABLE = "SYNCER_TEST_SESSION"


def left_behind(token: str) -> list[int]:
    """The processes that carry the token in their environment."""
    wanted = f"{VARIABLE}={token}".encode()
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):  # gone, or another user's
                if wanted in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
    return found


def main(pid: int, token: str) -> None:
    """Wait for the end of the session, then kill what carries its token."""
    with suppress(ProcessLookupError):
        session = os.pidfd_open(pid)
        select.select([session], [], [])
    while pids := left_behind(token):
        for found in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(found, signal.SIGKILL)
        select.select([], [], [], 0.1)


if __name__ == "__main__":
    if not os.fork():  # a grandchild: no test has to wait for it, or finds it among its own children
        os.setsid()
        main(int(sys.argv[1]), sys.argv[2])
