"""Protocol version negotiation: a client and a server use the highest version that both support.

The server announces its versions in the response of `ping`, the client chooses. The first release announced
a single version in `extension` and its client compares that one only, so the lowest version of the list
stands there as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncer import __version__
from syncer.errors import NoCommonVersion

FIRST: Final = 1
SPOKEN: tuple[int, ...] = (FIRST,)
"""The versions that this Syncer supports, as a client and as a server, in ascending order."""
ROOT: Final = "syncer/"
"""The URL prefix of all versions, below the server's URL."""
_MOST = 64  # versions of an announcement that are read


def base(version: int) -> str:
    """The URL prefix of a version's calls, below the server's URL."""
    return f"{ROOT}{version}/"


def announcement() -> dict[str, object]:
    """The field `syncer` in the response of `ping`."""
    return {"extension": SPOKEN[0], "base": base(SPOKEN[0]), "versions": [*SPOKEN]}


def agreed(announced: object, server: str) -> int | None:
    """The highest common version; `announced` is the field `syncer` in the response of `ping`.

    None if it announces no extension: the server is another implementation of the SmartFile API.
    Raises NoCommonVersion, whose hint says which end to update; `server` is its URL.
    """
    if not isinstance(announced, dict):
        return None
    versions = announced.get("versions")
    listed = versions if isinstance(versions, list) else [announced.get("extension")]
    theirs = [n for n in listed if isinstance(n, int) and not isinstance(n, bool) and 0 < n < 1 << 31][:_MOST]
    common = set(theirs).intersection(SPOKEN)
    if common:
        return max(common)
    raise no_common(theirs, server)


def no_common(theirs: Sequence[int], server: str) -> NoCommonVersion:
    """The error of a client whose server supports only the versions `theirs` (empty: unknown)."""
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


def _named(versions: Sequence[int]) -> str:
    if not versions:
        return "no known version"
    plural = "s" if len(versions) > 1 else ""
    return f"version{plural} {', '.join(map(str, versions))}"
