"""A double that runs, and somebody who asks it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.doubles.asking import Asking
from tests.doubles.smartfile import SmartFileDouble


@pytest.fixture
def double() -> Iterator[SmartFileDouble]:
    with SmartFileDouble() as running:
        yield running


@pytest.fixture
def ask(double: SmartFileDouble) -> Iterator[Asking]:
    with requests.Session() as session:
        yield Asking(double, session)
