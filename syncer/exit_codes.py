"""The program's exit codes: one table from exceptions to numbers, and the worst of several.

The command line ends with these numbers; the history of runs and the control socket of the daemon record the
same ones, so that `status` and `flush --wait` answer as the run itself did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from syncer.errors import (
    AuthError,
    Busy,
    ConfigError,
    GuardError,
    Interrupted,
    LocalError,
    StoreError,
    SyncError,
    UsageError,
)

ATTENTION: Final = 1  # conflicts or skipped items wait for a person
USAGE: Final = 2
INCOMPLETE: Final = 3  # some transfers failed; running again may help
HELD: Final = 4  # a guard refused the job or held deletions back
FATAL: Final = 5
BUSY: Final = 6
AUTH: Final = 7

_CODES: Final[tuple[tuple[type[SyncError], int], ...]] = (  # the first class that fits decides
    (UsageError, USAGE),
    (ConfigError, USAGE),
    (GuardError, HELD),
    (Busy, BUSY),
    (AuthError, AUTH),
    (StoreError, INCOMPLETE),
    (LocalError, INCOMPLETE),
)
_WORST_FIRST = (143, 130, FATAL, AUTH, USAGE, HELD, BUSY, INCOMPLETE, ATTENTION)


def exit_code(error: SyncError) -> int:
    """The exit code for an error that ended a job: 128 plus the signal's number, or one of the above."""
    if isinstance(error, Interrupted):
        return 128 + error.signum
    return next((code for kind, code in _CODES if isinstance(error, kind)), FATAL)


def worst(codes: Iterable[int]) -> int:
    """The exit code for several jobs: the most urgent one; 0 for none."""
    given = set(codes)
    return next((code for code in _WORST_FIRST if code in given), 0)
