"""The requests themselves: connections that come back, addresses, tokens that are renewed once for all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from syncer.errors import PermanentError, TransientError
from syncer.stores.swift.auth import Access, TokenProvider
from syncer.stores.swift.client import Call, Connection
from tests.contract.doubles import SteppingClock
from tests.contract.swift_rig import tempauth_door
from tests.swift.server import Swift


class Counting:
    """A door that counts who came in; its storage URL is what a test says."""

    def __init__(self, inner: TokenProvider, url: str = "") -> None:
        self.inner, self.url, self.renewed = inner, url, 0

    def open(self) -> Access:
        access = self.inner.open()
        return access if not self.url else Access(storage_url=self.url, token=access.token)

    def renew(self, spent: Access) -> Access:
        self.renewed += 1
        return self.inner.renew(spent)

    def free_space(self) -> int | None:
        return self.inner.free_space()


@pytest.fixture
def door(swift: Swift) -> Counting:
    return Counting(tempauth_door(swift))


@pytest.fixture
def connection(door: Counting) -> Iterator[Connection]:
    made = Connection(door, clock=SteppingClock())
    yield made
    made.close()


def test_what_a_dead_token_refuses_is_asked_again_with_the_body(swift: Swift, connection: Connection) -> None:
    name = swift.fresh_name()
    connection.ask(Call(method="PUT", path=name))
    swift.expire()
    connection.ask(Call(method="PUT", path=f"{name}/o", body=b"body"))
    assert connection.ask(Call(method="GET", path=f"{name}/o")).content == b"body"


def test_many_who_meet_a_dead_token_log_in_once(swift: Swift, connection: Connection) -> None:
    name = swift.fresh_name()
    connection.ask(Call(method="PUT", path=name))
    swift.expire()
    swift.clear()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: connection.ask(Call(method="HEAD", path=name)).status, range(8)))
    assert statuses == [204] * 8
    assert len([a for a in swift.requests() if a.path == "/auth/v1.0"]) == 1


def test_a_half_read_answer_leaves_nothing_for_the_next_request(swift: Swift, connection: Connection) -> None:
    name = swift.fresh_name()
    connection.ask(Call(method="PUT", path=name))
    connection.ask(Call(method="PUT", path=f"{name}/o", body=b"x" * 3_000_000))
    with connection.stream(Call(method="GET", path=f"{name}/o")) as answer:
        assert len(next(answer.pieces(1000))) == 1000
    assert connection.ask(Call(method="HEAD", path=f"{name}/o")).headers["Content-Length"] == "3000000"


def test_no_encoding_is_taken_off_that_belongs_to_the_object(swift: Swift, connection: Connection) -> None:
    name = swift.fresh_name()
    connection.ask(Call(method="PUT", path=name))
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    connection.ask(Call(method="PUT", path=f"{name}/o", body=b"not really packed", headers=headers))
    assert connection.ask(Call(method="GET", path=f"{name}/o")).content == b"not really packed"


def test_a_server_that_is_not_there_is_asked_a_few_times(swift: Swift) -> None:
    clock = SteppingClock()
    connection = Connection(Counting(tempauth_door(swift), "http://127.0.0.1:9/v1/a"), clock=clock)
    with pytest.raises(TransientError):
        connection.ask(Call(method="HEAD", path="c"))
    assert len(clock.slept) == 4
    with pytest.raises(TransientError):
        connection.ask(Call(method="PUT", path="c/o", body=b"x"))
    assert len(clock.slept) == 4, "a write may have taken effect"
    connection.close()


def test_an_address_that_is_none_is_no_passing_trouble(swift: Swift) -> None:
    connection = Connection(Counting(tempauth_door(swift), "gopher://host/v1/a"), clock=SteppingClock())
    with pytest.raises(PermanentError):
        connection.ask(Call(method="HEAD", path="c"))


@pytest.mark.parametrize(("base", "path"), [("/v1/AUTH_test", "/info"), ("/swift/v1", "/swift/info")])
def test_what_is_offered_is_asked_for_beside_the_api(swift: Swift, base: str, path: str) -> None:
    connection = Connection(Counting(tempauth_door(swift), swift.url + base), clock=SteppingClock())
    swift.clear()
    connection.unasked("/info")
    assert [a.path for a in swift.requests() if a.path.endswith("info")] == [path]
    connection.close()


def test_no_message_holds_the_token(swift: Swift, door: Counting, connection: Connection) -> None:
    name = swift.fresh_name()
    swift.rule("drop", method="PUT")
    with pytest.raises(TransientError) as caught:
        connection.ask(Call(method="PUT", path=name))
    token = door.open().token
    assert token not in str(caught.value) and token not in repr(door.open())
