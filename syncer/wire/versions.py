"""Which version of the extension a client and a server speak: the highest that both know.

The server announces its versions in the answer of ping, the client chooses. A server from before there was
a list announces the one version that it speaks, and a client from before compares just that one: so the
lowest version of the list stands there as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncer import __version__
from syncer.errors import NoCommonVersion

FIRST: Final = 1
SPOKEN: tuple[int, ...] = (FIRST,)
"""The versions that this Syncer speaks, as a client and as a server, in ascending order."""
ROOT: Final = "syncer/"
"""Where all versions are, below the server's URL."""
_MOST = 64  # versions in an announcement; more is nonsense


def base(version: int) -> str:
    """Where the calls of a version are, below the server's URL."""
    return f"{ROOT}{version}/"


def announcement() -> dict[str, object]:
    """What a server says of its extension in the answer of ping."""
    return {"extension": SPOKEN[0], "base": base(SPOKEN[0]), "versions": [*SPOKEN]}


def agreed(told: object, server: str) -> int | None:
    """The highest common version; `told` is the `syncer` in the answer of ping.

    None if what answers there announces no extension: it is another implementation of the SmartFile API.
    Raises NoCommonVersion, which names what is to be updated; `server` is its URL.
    """
    if not isinstance(told, dict):
        return None
    theirs = _versions(told)
    common = set(theirs).intersection(SPOKEN)
    if common:
        return max(common)
    raise no_common(theirs, server)


def no_common(theirs: Sequence[int], server: str) -> NoCommonVersion:
    """The error of a client whose server speaks only these versions (none: that cannot be told)."""
    if theirs and max(theirs) < SPOKEN[0]:
        hint = f"update Syncer at the server, {server}"
    elif theirs and min(theirs) > SPOKEN[-1]:
        hint = "update Syncer on this machine"
    else:
        hint = f"update Syncer on this machine and at the server, {server}"
    return NoCommonVersion(
        f"{server} speaks {_named(theirs)} of Syncer's protocol, "
        f"this Syncer ({__version__}) speaks {_named(SPOKEN)}: they have none in common",
        hint=hint,
    )


def _versions(told: dict[object, object]) -> list[int]:
    """In the order of the list; what is no number of a version is left out."""
    found = told.get("versions")
    listed = found if isinstance(found, list) else [told.get("extension")]
    numbers = [n for n in listed if isinstance(n, int) and not isinstance(n, bool) and 0 < n < 1 << 31]
    return numbers[:_MOST]


def _named(versions: Sequence[int]) -> str:
    if not versions:
        return "no known version"
    plural = "s" if len(versions) > 1 else ""
    return f"version{plural} {', '.join(map(str, versions))}"
