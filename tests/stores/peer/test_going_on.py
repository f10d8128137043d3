"""A large transfer that was killed goes on where it stopped, in another process."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.contents import noise
from tests.server.conftest import environment
from tests.stores.peer.conftest import Machine, World, eventually, tree

MIB = 1 << 20
SIZE = 32 * MIB
PACE = "8M"  # bytes per second: some seconds in which a kill can meet it


def parts(folder: Path) -> Iterator[int]:
    """The sizes of what is on its way into a folder."""
    for place in folder.glob(".syncer-tmp-*"):
        try:
            yield place.stat().st_size
        except FileNotFoundError:
            continue


def killed_half_way(machine: Machine, into: Path) -> None:
    """A run that is killed once a good part has arrived."""
    process = subprocess.Popen(
        machine.words(), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: any(size > 10 * MIB for size in parts(into)))
        assert process.poll() is None, "it was over before it could be killed"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()


def finished(machine: Machine) -> dict[str, int]:
    """The totals of a run in another process."""
    done = subprocess.run(machine.words(), env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    totals: dict[str, int] = json.loads(done.stdout)["jobs"][0]["totals"]
    return totals


def test_an_upload_that_was_killed_goes_on(world: World) -> None:
    machine = world.machine(extra=f'upload_limit = "{PACE}"')
    machine.write("large", noise(1, SIZE))
    world.remote.mkdir()
    killed_half_way(machine, world.remote)
    machine.extra = ""
    machine.configure()
    totals = finished(machine)
    assert tree(world.remote) == machine.tree()
    assert totals["uploaded"] == 1 and totals["bytes_sent"] <= SIZE - 9 * MIB
    assert list(parts(world.remote)) == []


def test_a_download_that_was_killed_goes_on(world: World) -> None:
    machine = world.machine(extra=f'download_limit = "{PACE}"')
    world.remote.mkdir()
    (world.remote / "large").write_bytes(noise(2, SIZE))
    killed_half_way(machine, machine.local)
    machine.extra = ""
    machine.configure()
    totals = finished(machine)
    assert tree(world.remote) == machine.tree()
    assert totals["downloaded"] == 1 and totals["bytes_received"] <= SIZE - 9 * MIB
    assert list(parts(machine.local)) == []


def test_a_part_of_another_content_is_not_gone_on_with(world: World) -> None:
    machine = world.machine(extra=f'upload_limit = "{PACE}"')
    machine.write("large", noise(1, SIZE))
    world.remote.mkdir()
    killed_half_way(machine, world.remote)
    machine.write("large", noise(2, SIZE))
    machine.extra = ""
    machine.configure()
    assert finished(machine)["bytes_sent"] == SIZE
    assert tree(world.remote) == machine.tree()
