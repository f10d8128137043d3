"""What holds for each of the five doors, in front of the real Swift."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stores.swift.auth.opening import works
from tests.swift.doors import DOORS, Way, way_in


@pytest.fixture(params=DOORS)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    with way_in(request.param) as way:
        yield way


def test_it_opens_and_opens_again_when_its_token_died(way: Way) -> None:
    access = way.door.open()
    assert works(access)
    way.kill(access)
    assert not works(access)
    another = way.door.renew(access)
    assert works(another)
    assert another.token != access.token


def test_workers_that_lose_their_token_together_all_get_back_in(way: Way) -> None:
    spent = way.door.open()
    way.kill(spent)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: way.door.renew(spent), range(8)))
    assert len({access.token for access in found}) == 1
    assert works(found[0])


def test_no_storage_url_ends_in_a_slash_and_no_token_is_shown(way: Way) -> None:
    access = way.door.open()
    assert not access.storage_url.endswith("/")
    assert access.token not in repr(access) + repr(way.door)
