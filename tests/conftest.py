"""What every test gets: a home of its own, and the Hypothesis profiles.

Profiles: `ci` (the default) draws the same examples on every run, so that a red run
means a changed program; `explore` draws new ones; `long` draws many (`make test-long`).
A failure prints the blob that replays it.
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

from tests.reaper import VARIABLE

pytest.register_assert_rewrite(
    "syncer.testing.rig", "syncer.testing.contract_changes", "syncer.testing.contract_queries"
)
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]  # real folders are slower than lists of integers

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.register_profile("explore", deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.register_profile(
    "long", max_examples=10_000, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.load_profile("ci")


def pytest_configure() -> None:
    """Whatever tests start ends with this process: see `tests/reaper.py`."""
    if sys.platform == "linux":
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        token = os.environ[VARIABLE] = secrets.token_hex(16)
        words = [sys.executable, "-I", str(Path(__file__).with_name("reaper.py")), str(os.getpid()), token]
        subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """A command that ran in this process logs to the stderr of its test, which is closed after it."""
    ours = [logging.getLogger(name) for name in ("syncer", "syncer.server", "syncer.server.access_log")]
    before = [(log, log.handlers, log.propagate, log.level) for log in ours]
    yield
    for log, log.handlers, log.propagate, level in before:
        log.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no process a test starts, sees the config or the state of whoever runs it."""
    own = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(own))
        for name, folder in (("CONFIG", ".config"), ("STATE", ".local/state"), ("CACHE", ".cache")):
            patch.setenv(f"XDG_{name}_HOME", str(own / folder))
        patch.setenv("NO_COLOR", "1")
        with TemporaryDirectory(prefix="run-") as run:  # a short path: a daemon's socket lies below it
            patch.setenv("XDG_RUNTIME_DIR", run)
            yield
