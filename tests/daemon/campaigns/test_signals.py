"""Signals and commands in the middle of work: quick end, resumption, reload."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from syncer.daemon.status import Phase
from tests.daemon.campaigns.machines import Machine, eventually, machines
from tests.daemon.campaigns.worlds import tree
from tests.doubles.proxy import Proxy
from tests.server.conftest import serving

_WITHIN = 60.0  # seconds
_STOPS_WITHIN = 10.0  # five are promised; what else a busy machine does comes on top
LARGE = 12 << 20  # bytes
_AGAIN = 3 << 20  # bytes that may cross a second time: what was under way, and what is asked before


@contextmanager
def uploading(base: Path) -> Iterator[tuple[Machine, Proxy, Path]]:
    """A daemon in the middle of a large upload, three MiB a second; and where that arrives."""
    with serving(base / "served", state=base / "serving") as server, Proxy("127.0.0.1", server.port) as proxy:
        accounts = (
            f'[accounts.far]\ntype = "smartfile"\nurl = "{proxy.url}"\n'
            f'key = "{server.key}"\npassword = "{server.password}"\n'
        )
        options = 'upload_limit = "3M"'
        machine = Machine(home=base / "one", remote="far:docs", accounts=accounts, options=options)
        with machines(machine):
            machine.start()
            eventually(
                lambda: machine.is_quiet() and machine.status.remote_watch == "feed",
                _WITHIN,
                lambda: machine.log[-2000:],
            )
            proxy.zero()
            (machine.local / "large").write_bytes(blake3(b"large").digest(LARGE))
            eventually(lambda: proxy.up.body > LARGE // 4, _WITHIN, lambda: machine.status)
            yield machine, proxy, base / "served" / "docs"
            machine.told_no_nonsense()


def arrives(machine: Machine, proxy: Proxy, there: Path) -> None:
    """Whole, and not much of it twice."""
    eventually(lambda: machine.is_quiet() and tree(machine.local) == tree(there), _WITHIN)
    assert proxy.up.body < LARGE + _AGAIN


def test_a_stop_in_the_middle_of_an_upload_is_quick_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with uploading(tmp_path) as (machine, proxy, there):
        began = time.monotonic()
        assert machine.stop(signal.SIGTERM) == 143
        assert time.monotonic() - began < _STOPS_WITHIN
        assert tree(there) == {} and proxy.up.body < LARGE
        machine.start()
        arrives(machine, proxy, there)


def test_a_pause_in_the_middle_of_an_upload_holds_it_until_it_is_taken_back(tmp_path: Path) -> None:
    with uploading(tmp_path) as (machine, proxy, there):
        machine.client.pause(())
        eventually(lambda: machine.status.phase is Phase.PAUSED, _STOPS_WITHIN, lambda: machine.status)
        crossed = proxy.up.body
        time.sleep(1.0)
        assert proxy.up.body == crossed and tree(there) == {}
        machine.client.resume(())
        arrives(machine, proxy, there)


def test_a_kill_in_the_middle_of_an_upload_is_gone_on_from(tmp_path: Path) -> None:
    with uploading(tmp_path) as (machine, proxy, there):
        machine.kill()
        machine.start()
        arrives(machine, proxy, there)


# -- another config ------------------------------------------------------------------------


@contextmanager
def between_folders(base: Path) -> Iterator[tuple[Machine, Path]]:
    there = base / "there"
    machine = Machine(home=base / "one", remote=f"local:{there}")
    with machines(machine):
        machine.start()
        eventually(machine.is_quiet, _WITHIN, lambda: machine.log[-2000:])
        yield machine, there
        machine.told_no_nonsense()


def arrived(machine: Machine, there: Path, name: str) -> None:
    (machine.local / name).write_text(name)
    eventually(lambda: (there / name).exists() and machine.is_quiet(), _WITHIN, lambda: machine.log[-2000:])


def test_a_changed_config_holds_from_the_next_hangup_signal_on(tmp_path: Path) -> None:
    with between_folders(tmp_path) as (machine, there):
        machine.options = 'ignore = ["*.skip"]'
        machine.configure()
        machine.send(signal.SIGHUP)
        eventually(lambda: "the config was read again" in machine.log, _WITHIN)
        (machine.local / "a.skip").write_text("skipped")
        arrived(machine, there, "a")
        assert tree(there).keys() == {"a"}


def test_a_broken_config_changes_nothing(tmp_path: Path) -> None:
    with between_folders(tmp_path) as (machine, there):
        machine.config.write_text("[jobs.docs\nlocal = 1", encoding="utf-8")
        machine.send(signal.SIGHUP)
        eventually(lambda: "the old one holds" in machine.log, _WITHIN)
        arrived(machine, there, "a")
        machine.configure()
        machine.send(signal.SIGHUP)
        eventually(lambda: "the config was read again" in machine.log, _WITHIN)
        arrived(machine, there, "b")


def test_signals_at_any_moment_end_it_with_their_own_code(tmp_path: Path) -> None:
    """Also right after the start, and while files come in."""
    there = tmp_path / "there"
    machine = Machine(home=tmp_path / "one", remote=f"local:{there}")
    with machines(machine):
        for number, which in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGTERM)):
            machine.start()
            for name in range(80 * number):
                (machine.local / f"f{number} {name}").write_text(str(name))
            began = time.monotonic()
            assert machine.stop(which) == 128 + which
            assert time.monotonic() - began < _STOPS_WITHIN
        machine.start()
        eventually(lambda: machine.is_quiet() and tree(machine.local) == tree(there), _WITHIN)
        assert machine.process is not None
        os.kill(machine.process.pid, 0)
        machine.told_no_nonsense()
