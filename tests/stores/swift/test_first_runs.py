"""Several machines make a fresh remote at once: one marker stands, and all go on with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syncer.clock import SystemClock
from syncer.stores.swift.client import Call, Connection, SwiftReply
from syncer.stores.swift.names import ContainerPath
from tests.contract.swift_rig import tempauth_door
from tests.stores.swift.machines import Machine
from tests.swift.server import Swift

MACHINES = 3
DIRECTORY = {"Content-Type": "application/directory"}


class Together(Connection):
    """Waits with its first marker until all have looked for one and found none."""

    looked: Callable[[], object]
    wrote = False

    def ask(self, call: Call) -> SwiftReply:
        if not self.wrote and call.method == "PUT" and call.path.endswith("root-id"):
            self.wrote = True
            self.looked()
        return super().ask(call)


class Pausing(SystemClock):
    """A long pause lasts until all have written."""

    def __init__(self, written: Callable[[], object]) -> None:
        self.written, self.pauses = written, 0

    def sleep(self, seconds: float) -> None:
        if seconds < 1:
            return super().sleep(seconds)
        self.pauses += 1
        self.written()


@pytest.mark.parametrize("heeded", [True, False], ids=["heeds", "ignores"])
def test_of_several_first_runs_at_once_one_marker_stands_whatever_the_cluster_heeds(
    swift: Swift, tmp_path: Path, heeded: bool
) -> None:
    """Where `If-None-Match: *` is ignored the last marker stood, and all other machines were refused."""
    if not heeded:
        swift.rule("unconditional", method="PUT", path="*/root-id", times=None)
    container = swift.fresh_name()
    looked, written = threading.Barrier(MACHINES, timeout=60), threading.Barrier(MACHINES, timeout=60)
    machines = []
    for number in range(MACHINES):
        machine = Machine(
            tmp_path / f"m{number}",
            tempauth_door(swift),
            ContainerPath(container=container, prefix="p/"),
            Pausing(written.wait),
        )
        machine.write(f"of-{number}", b"x")
        machine.connect = lambda machine=machine: _together(machine, looked)  # type: ignore[misc]
        machines.append(machine)
    with ThreadPoolExecutor(MACHINES) as pool:
        list(pool.map(lambda machine: machine.run(), machines))
    for machine in machines:
        machine.connect = lambda machine=machine: Connection(machine.door, clock=SystemClock())  # type: ignore[misc]
    for _ in range(2):
        for machine in machines:
            machine.run()  # refused before, for all but the last to write
    assert {tuple(machine.tree()) for machine in machines} == {("of-0", "of-1", "of-2")}
    pauses = [machine.clock.pauses for machine in machines if isinstance(machine.clock, Pausing)]
    assert pauses == [0 if heeded else 1] * MACHINES


class Overtaken(Connection):
    """Another machine makes the directory of the root as soon as this one has seen that there is none."""

    def ask(self, call: Call) -> SwiftReply:
        reply = super().ask(call)
        if call.method == "HEAD" and call.path.endswith("/p") and reply.status == 404:
            super().ask(Call(method="PUT", path=call.path, body=b"", headers=DIRECTORY))
        return reply


def test_a_directory_that_another_machine_made_meanwhile_was_taken_for_an_object(
    swift: Swift, tmp_path: Path
) -> None:
    machine = Machine(
        tmp_path / "m",
        tempauth_door(swift),
        ContainerPath(container=swift.fresh_name(), prefix="p/"),
        SystemClock(),
    )
    machine.write("f", b"x")
    machine.connect = lambda: Overtaken(machine.door, clock=machine.clock)  # type: ignore[method-assign]
    machine.run()
    assert machine.tree().keys() == {"f"}


def _together(machine: Machine, looked: threading.Barrier) -> Connection:
    connection = Together(machine.door, clock=machine.clock)
    connection.looked = looked.wait
    return connection
