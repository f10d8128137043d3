"""Many daemons on one server and one flat folder: no file is deleted, every change arrives.

Every client lists the root while the others do, which is where incomplete listings once came from.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from requests.auth import HTTPBasicAuth

from syncer.clock import SystemClock
from syncer.stores.http.client import HttpSession
from syncer.stores.peer.store import PeerStore
from tests.contract.test_several_clients import at_once
from tests.daemon.campaigns.machines import Machine, eventually
from tests.daemon.campaigns.worlds import BELOW, difference, tree
from tests.server.conftest import Serving, serving


@dataclass(slots=True)
class Fleet:
    """A server with so many files at the root of one folder, and daemons that have them all."""

    server: Serving
    machines: list[Machine]
    folder: Path
    faults: list[str] = field(default_factory=list)

    @property
    def roots(self) -> list[Path]:
        return [self.folder, *(machine.local for machine in self.machines)]

    def is_equal(self) -> bool:
        trees = [tree(root) for root in self.roots]
        return all(m.is_quiet() for m in self.machines) and all(found == trees[0] for found in trees)

    def told(self) -> str:
        statuses = [(m.home.name, m.status) for m in self.machines if not m.is_quiet()]
        return f"{difference(*(tree(root) for root in self.roots))} {statuses[:3]}"


@contextmanager
def fleet(base: Path, *, count: int, files: int) -> Iterator[Fleet]:
    folder = base / "served" / BELOW
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"f{number:05}").write_bytes(b"%d" % number)
    with ExitStack() as stack:
        server = stack.enter_context(serving(base / "served", state=base / "serving"))
        accounts = (
            f'[accounts.far]\ntype = "smartfile"\nurl = "{server.url}"\n'
            f'key = "{server.key}"\npassword = "{server.password}"\n'
        )
        found = [
            Machine(home=base / f"m{number}", remote=f"far:{BELOW}", accounts=accounts, options="")
            for number in range(count)
        ]
        for machine in found:
            stack.callback(machine.leave)
            machine.start()
        made = Fleet(server, found, folder)
        eventually(made.is_equal, 60 + 10 * count, made.told)
        yield made
        for machine in found:
            machine.told_no_nonsense()


def overwriting(base: Path, *, count: int, files: int, changes: int, pause: float, within: float) -> None:
    """One file after another gets new content, at any machine or at the server; not one is deleted."""
    drawn = random.Random(count)
    new = base / "new"
    with fleet(base, count=count, files=files) as found:
        names = {f"f{number:05}" for number in range(files)}
        for number in range(changes):
            new.write_bytes(b"change %d" % number)
            new.rename(drawn.choice(found.roots) / f"f{drawn.randrange(files):05}")
            time.sleep(pause)  # a program's rhythm: what is under test is what happens meanwhile
            for root in found.roots:
                # A listing may leave out a name that is renamed over meanwhile: so each is looked at.
                missing = names.difference(os.listdir(root))
                gone = {name for name in missing if not os.path.lexists(root / name)}
                assert not gone, f"change {number}: {len(gone)} files are gone from {root}"
        took = eventually(found.is_equal, within, found.told)
        assert [m.home.name for m in found.machines if m.status.counters.deleted or m.status.held] == []
        print(f"{count} daemons, {files} files, {changes} changes: equal {took:.1f} s after the last one")


def listing(base: Path, *, clients: int, seconds: float, names: int) -> None:
    """So many clients list a flat root and a deep directory again and again: every answer is complete."""
    for directory in ("", "a/b/c"):
        folder = base / "served" / directory
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(names):
            (folder / f"f{number:05}").write_bytes(b"")
    expected = {f"f{number:05}" for number in range(names)}
    answers, wrong, lock = [0], [], threading.Lock()
    with serving(base / "served", state=base / "state") as server:
        until = time.monotonic() + seconds

        def client(number: int) -> None:
            session = HttpSession(server.url, HTTPBasicAuth(server.key, server.password), clock=SystemClock())
            store = PeerStore(session, "", cache=base / f"cache{number}")
            try:
                while time.monotonic() < until:
                    for directory in ("", "a/b/c"):
                        found = set(store.list(directory).entries) - {"a"}
                        with lock:
                            answers[0] += 1
                            if found != expected:
                                wrong.append((directory, len(expected - found)))
            finally:
                store.close()

        at_once([lambda n=number: client(n) for number in range(clients)], patience=seconds + 120)
    assert wrong == [], f"{len(wrong)} of {answers[0]} answers were incomplete"
    print(f"{clients} clients: {answers[0]} answers in {seconds:g} s, all complete")


def test_four_daemons_on_one_flat_folder_delete_nothing(tmp_path: Path) -> None:
    overwriting(tmp_path, count=4, files=300, changes=20, pause=0.1, within=60)


def test_eight_clients_that_list_at_once_each_get_all_names(tmp_path: Path) -> None:
    listing(tmp_path, clients=8, seconds=4, names=600)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_four_daemons_on_one_flat_folder_delete_nothing_for_ten_minutes(tmp_path: Path) -> None:
    overwriting(tmp_path, count=4, files=3000, changes=600, pause=1, within=120)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [20, 40])
def test_in_a_fleet_every_change_is_delivered_and_no_one_is_held(tmp_path: Path, count: int) -> None:
    overwriting(tmp_path, count=count, files=1000, changes=120, pause=1, within=300)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("clients", [4, 16, 64])
def test_every_listing_is_complete_however_many_ask_for_a_minute(tmp_path: Path, clients: int) -> None:
    listing(tmp_path, clients=clients, seconds=60, names=1500)
