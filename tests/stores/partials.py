"""What the tests of broken-off puts share: two contents, a put that breaks off, what lies there then."""

from __future__ import annotations

import os
from pathlib import Path

from syncer.engine.model import Done, Failed, Outcome
from syncer.errors import TransientError
from tests.contract.doubles import FarSource
from tests.contract.rigs import FolderRig

TOKEN = bytes.fromhex("00112233445566ff")
NAME = ".syncer-tmp-0123abcd" + TOKEN.hex()
DATA = bytes(n * n % 251 for n in range(200_000))
OLD = bytes(n * 7 % 253 for n in range(150_000))
HALF = 6 * 16384
"""What has arrived when the line breaks: a number of whole pieces of a `FarSource`."""


def put(
    rig: FolderRig, source: FarSource, *, token: bytes = TOKEN, path: str = "f", **more: object
) -> Outcome:
    return rig.put(path, source.data, source=source, token=token, **more)


def broken_off(rig: FolderRig, path: str = "f", **more: object) -> Path:
    """A put that broke off half-way; answers where what arrived lies."""
    outcome = put(rig, FarSource(DATA, breaks=HALF), path=path, **more)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError), outcome
    found: Path = (rig.root / path).parent / NAME
    return found


def temporaries(rig: FolderRig) -> list[str]:
    return sorted(path.name for path in rig.root.rglob(".syncer-tmp-*") if "trash" not in path.parts)


def whole(rig: FolderRig, outcome: Outcome, data: bytes = DATA) -> None:
    """The put is done, the content is there, and nothing of ours beside it."""
    assert isinstance(outcome, Done), outcome
    assert rig.read("f") == data and temporaries(rig) == []


def open_files(rig: FolderRig) -> list[str]:
    """What is open under the root and no directory."""
    links = (os.path.join("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd"))
    targets = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [t for t in targets if t.startswith(f"{rig.root}/") and not os.path.isdir(t)]
