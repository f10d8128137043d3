"""A run that dies right before or right after any of its requests that change something."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from syncer.stores.swift.client import Call, Connection, SwiftReply
from syncer.stores.swift.names import ContainerPath
from tests.contract.swift_rig import Hands, tempauth_door
from tests.stores.swift.machines import Machine
from tests.swift.server import Swift

STEPS = 14  # changing requests that are tried,
SURE = 10  # of so many of which the story below has more


class Death(BaseException):
    """The process is gone: nothing catches it."""


class MortalConnection(Connection):
    """Dies at the changing request number `at`, before or after its effect; then nothing is sent any more."""

    at = 1 << 30
    after = False
    dead = False

    def ask(self, call: Call) -> SwiftReply:
        if self.dead:
            raise Death
        if call.method in ("PUT", "POST", "COPY", "DELETE"):
            self.at -= 1
            if self.at < 0 and not self.after:
                self.dead = True
                raise Death
        reply = super().ask(call)
        if self.at < 0:
            self.dead = True
            raise Death
        return reply


def story(one: Machine) -> None:
    one.write("new/er/file", b"new")
    one.write("edited", b"edited content")
    (one.local / "deleted").unlink()
    (one.local / "d/moved").rename(one.local / "moved")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "at", [pytest.param(n, marks=pytest.mark.long) if n % 3 else n for n in range(STEPS)]
)
def test_nothing_is_lost_and_the_next_run_heals(swift: Swift, tmp_path: Path, at: int, after: bool) -> None:
    one = Machine(
        tmp_path / "one", tempauth_door(swift), ContainerPath(container=swift.fresh_name(), prefix="p/")
    )
    for name, data in (
        ("edited", b"first"),
        ("deleted", b"precious"),
        ("d/moved", b"m" * 100),
        ("same", b"="),
    ):
        one.write(name, data)
    one.settled()
    story(one)
    wanted = one.tree()
    assert _die(one, at, after=after) or at >= SURE
    assert one.tree() == wanted
    one.settled()
    remote = _remote(one)
    assert one.tree() == wanted == {n: d for n, d in remote.items() if not n.startswith(".syncer/")}
    kept = {data for name, data in remote.items() if name.startswith(".syncer/trash/")}
    assert {b"first", b"precious"} <= kept
    second = Machine(tmp_path / "two", one.door, one.place)
    second.settled()
    assert second.tree() == wanted


def _die(one: Machine, at: int, *, after: bool) -> bool:
    """One run, and whether it died; a story with fewer steps ends alive."""
    alive: Callable[[], Connection] = one.connect
    died = True

    def mortal() -> Connection:
        made = MortalConnection(one.door, clock=one.clock)
        made.at, made.after = at, after
        return made

    one.connect = mortal
    with suppress(Death):
        one.run()
        died = False
    one.connect = alive
    return died


def _remote(one: Machine) -> dict[str, bytes]:
    access = one.door.open()
    user = Hands(access.storage_url, access.token, one.place.container)
    names = user.names("p/")
    found = {name[2:]: user.ask("GET", name) for name in names}
    user.session.close()
    return {n: a.content for n, a in found.items() if a.headers["Content-Type"] != "application/directory"}
