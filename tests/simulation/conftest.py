"""One laboratory for all tests of a process: what an undisturbed run does is found out once."""

from __future__ import annotations

import pytest

from tests.simulation.cases import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("simulation"))
