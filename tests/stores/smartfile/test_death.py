"""A process that dies right before or right after any of its requests, and the run that comes after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from requests.auth import HTTPBasicAuth

from syncer.engine.interfaces import DeleteRequest, RenameRequest, WriteRequest
from syncer.engine.model import Done, Entry, Kind
from syncer.stores.http.client import HttpSession
from syncer.stores.smartfile.store import SmartFileStore
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order
from tests.contract.smartfile_rig import ROOT, SmartFileRig
from tests.stores.smartfile.bases import NEW, OLD


class Killed(BaseException):
    """The end of a process: nothing catches it, and no request is made after it."""


class Mortal(HttpSession):
    """Dies at the request of that number, before it is sent or after it was answered."""

    def __init__(self, rig: SmartFileRig, at: int, *, after: bool) -> None:
        auth = HTTPBasicAuth(rig.double.key, rig.double.password)
        super().__init__(rig.double.url, auth, clock=rig.clock)
        self.left, self._after = at, after

    def request(self, *arguments: object, **named: object) -> requests.Response:  # type: ignore[override]
        self.left -= 1
        if self.left < 0 and not (self._after and self.left == -1):
            raise Killed
        response = super().request(*arguments, **named)  # type: ignore[arg-type]
        if self.left < 0:
            raise Killed
        return response


def put(store: SmartFileStore, old: Entry, data: bytes) -> None:
    item = WriteRequest(path="f", kind=Kind.FILE, source=BytesSource(data), size=len(data), expected=old)
    in_order(store.put([item]), 1)


STORIES: dict[str, tuple[Callable[[SmartFileStore, Entry], object], bytes, bytes]] = {
    "replacing": (lambda store, old: put(store, old, b"new"), b"old", b"new"),
    "patching": (lambda store, old: put(store, old, NEW), OLD, NEW),
    "deleting": (lambda store, old: list(store.delete([DeleteRequest(path="f", expected=old)])), b"old", b""),
    "renaming": (
        lambda store, old: list(store.rename([RenameRequest(origin="f", path="g", expected=old)])),
        b"old",
        b"",
    ),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", STORIES)
def test_death_at_any_request_loses_nothing_and_the_next_run_goes_on(
    tmp_path: Path, name: str, after: bool
) -> None:
    story, old, new = STORIES[name]
    number, died = 0, True
    while died:
        rig = SmartFileRig(tmp_path)
        rig.write("f", old)
        entry = rig.entry("f")
        store = SmartFileStore(Mortal(rig, number, after=after), ROOT, clock=rig.clock, tag="0123abcd")
        try:
            story(store, entry)
            died = False
        except Killed:
            pass
        seen = {p: data for p, data in rig.double.contents().items() if data is not None}
        assert old in seen.values(), number
        assert all(data in (old, new) for p, data in seen.items() if "/.syncer/" not in p), number
        found = rig.store.stat("f")
        assert found is None or isinstance(found, Entry)
        assert isinstance(rig.put("f", b"of the next run", expected=found), Done), number
        rig.store.close()
        number += 1
        assert number < 60
    assert number > 3
