"""What every test gets: a home of its own, and the Hypothesis profiles.

Profiles: `ci` (the default) draws the same examples on every run, so that a red run
means a changed program; `explore` draws new ones; `long` draws many (`make test-long`).
A failure prints the blob that replays it.
"""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]  # real folders are slower than lists of integers

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.register_profile("explore", deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.register_profile(
    "long", max_examples=10_000, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.load_profile("ci")


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
