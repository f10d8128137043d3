"""What a run's folder in the trash of a service is called, and how old that is.

    20261121-104700-0123abcd-5f0c1d2e3f405162       when it began (UTC), whose it is, a word that no other has

These services have no conditions, and some replace on rename: no two runs may ever choose one name, on
whatever machine, however often a clock shows the same second. The moment is the service's own, so that a
client whose clock is wrong makes nothing old, and finds nothing old.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Final

_RUN: Final = re.compile(r"(\d{8}-\d{6})-[0-9a-zA-Z-]+(?:~\d+)?")
_LATEST_NS: Final = 253_402_300_799 * 10**9  # the last second that four digits of a year can hold


def run_name(now_ns: int, tag: str) -> str:
    """A new name for what a run keeps. `now_ns`: by the service's clock, the client's where it tells none."""
    began = datetime.fromtimestamp(min(max(now_ns, 0), _LATEST_NS) // 10**9, UTC)
    return f"{began:%Y%m%d-%H%M%S}-{tag}-{secrets.token_hex(8)}"


def age_ns(name: str, now_ns: int) -> int:
    """How long ago the run began that a folder is named after, also one with a `~2`; 0 for any other name."""
    found = _RUN.fullmatch(name)
    try:
        began = datetime.strptime(found[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        began = None
    return now_ns - int(began.timestamp()) * 10**9 if began is not None else 0
