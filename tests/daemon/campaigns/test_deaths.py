"""Daemons killed, network cut and server restarted under load: all recovers without help.

After it all converges by itself, and nothing is lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.campaigns.worlds import World, at_work

_EVERY = 25  # disasters, then quiet for a while


class Disasters:
    """Each leaves the world as it was, but for what was going on."""

    def __init__(self, found: World) -> None:
        self._world = found
        self._random = found.random

    def kill(self) -> None:
        """SIGKILL to a daemon, which is started anew."""
        machine = self._random.choice(self._world.machines)
        machine.kill()
        machine.start()

    def cut(self) -> None:
        """Every connection breaks, and for a while there is no other; or only one breaks, at some byte."""
        proxy = self._world.proxy
        assert proxy is not None
        self._random.choice((proxy.cut_now, proxy.reset_now))()
        if self._random.random() < 0.5:
            proxy.refuse()
            time.sleep(self._random.random() * 1.5)
            proxy.accept()

    def restart(self) -> None:
        """The server ends, one time as it should, one time by SIGKILL."""
        self._world.restart_server(kill=self._random.random() < 0.5)


def campaign(base: Path, *, kills: int, cuts: int, restarts: int, seed: int, rest: float = 5.0) -> None:
    """As many of each as said, in some order, at random moments; quiet after so many and at the end."""
    with at_work(World(base, seed=seed, pause=0.15, proxied=True)) as found:
        disasters = Disasters(found)
        todo: list[Callable[[], None]] = [
            *[disasters.kill] * kills,
            *[disasters.cut] * cuts,
            *[disasters.restart] * restarts,
        ]
        found.random.shuffle(todo)
        every = min(_EVERY, len(todo) // 2)
        took = [_part(found, todo[first : first + every]) for first in range(0, len(todo), every)]
        found.rests(rest)
        found.is_tidy()
        found.nobody_stumbled()
        print(
            f"seed {seed}: {kills} kills, {cuts} cuts, {restarts} restarts, "
            f"steps {[user.steps for user in found.users]}, {found.book.count} contents, "
            f"{len(found.book.due())} due, equal after {[round(t, 1) for t in took]} s"
        )


def _part(found: World, disasters: list[Callable[[], None]]) -> float:
    """Some of them under load; then seconds until all is equal."""
    found.begin()
    for disaster in disasters:
        time.sleep(found.random.random() * 1.5)
        disaster()
    found.end()
    return found.converges(150)


def test_kills_cuts_and_restarts_lose_nothing(tmp_path: Path) -> None:
    campaign(tmp_path, kills=5, cuts=5, restarts=2, seed=11)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_kills_and_cuts_and_twenty_restarts_lose_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    campaign(tmp_path, kills=100, cuts=100, restarts=20, seed=seed, rest=15.0)
