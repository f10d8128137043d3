"""A second run is kept out, by whom is said, and a dead owner holds nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from syncer.errors import Busy, StateError
from syncer.exit_codes import exit_code
from syncer.state import PairLock, open_state, view_state

HOLDER = """
import sys
from pathlib import Path
from syncer.state.lock import PairLock
lock = PairLock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def start_holder(place: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_lock_makes_a_private_directory_and_file(place: Path) -> None:
    with PairLock.acquire(place):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert stat.S_IMODE((place / "lock").stat().st_mode) == 0o600


def test_a_second_one_in_the_same_process_is_busy(place: Path) -> None:
    with PairLock.acquire(place), pytest.raises(Busy, match=f"process {os.getpid()}, since ") as caught:
        PairLock.acquire(place)
    assert exit_code(caught.value) == 6


def test_a_released_lock_is_free_and_may_be_released_again(place: Path) -> None:
    lock = PairLock.acquire(place)
    lock.release()
    lock.release()
    PairLock.acquire(place).release()


def test_another_process_holds_it_until_it_is_killed(place: Path) -> None:
    with start_holder(place) as process:
        with pytest.raises(Busy, match=f"process {process.pid}"):
            PairLock.acquire(place)
        process.send_signal(signal.SIGKILL)
        process.wait()
        PairLock.acquire(place).release()


def test_two_pairs_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with PairLock.acquire(tmp_path / "one"), PairLock.acquire(tmp_path / "two"):
        pass


def test_one_can_look_at_the_state_while_the_lock_is_held(place: Path) -> None:
    with PairLock.acquire(place), open_state(place) as state:
        state.memory.set(key="value")
        with view_state(place) as view:
            assert view.memory.get_setting("key") == "value"


def test_what_a_stranger_wrote_into_the_file_is_not_repeated(place: Path) -> None:
    PairLock.acquire(place).release()
    (place / "lock").write_bytes(b"\x1b[31mprocess\xff")
    descriptor = os.open(place / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(Busy) as caught:
        PairLock.acquire(place)
    assert caught.value.message == "another run holds this job"
    os.close(descriptor)


def test_a_lock_file_that_is_a_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    place.mkdir(parents=True)
    (place / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        PairLock.acquire(place)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_refused_with_a_hint(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StateError, match="No locks") as caught:
        PairLock.acquire(place)
    assert "local disk" in caught.value.hint
