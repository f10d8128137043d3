"""Between loop and thread: neither end waits for ever for the other, and neither holds more than a little."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from syncer.errors import TransientError
from syncer.server.extension.context import SharedState
from syncer.server.extension.endpoint import Endpoint
from syncer.server.extension.request import json_response
from syncer.server.extension.streams import (
    MAX_BODY_BUFFER,
    MAX_RESPONSE_BUFFER,
    ClientGone,
    RequestStream,
    ResponseStream,
)
from syncer.server.fair_shares import Budget, ListingBudget
from syncer.server.folder import Key
from syncer.server.timeouts import Timeouts


def part(body: bytes, more: bool = True) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


def giving(messages: list[dict]):
    """A `receive` that never has more to say after its last message."""

    async def receive():
        if messages:
            return messages.pop(0)
        return await asyncio.Future()

    return receive


async def read(intake: RequestStream, messages: list[dict]) -> list[bytes]:
    pump = asyncio.create_task(intake.pump(giving(messages)))
    try:
        return await asyncio.to_thread(lambda: list(intake.pieces()))
    finally:
        pump.cancel()


def test_a_body_comes_through_in_order_and_ends():
    async def story():
        pieces = [bytes([n]) * (1 << 20) for n in range(20)]
        intake = RequestStream(asyncio.get_running_loop())
        found = await read(intake, [*map(part, pieces), part(b"end", more=False)])
        assert b"".join(found) == b"".join(pieces) + b"end"
        assert intake.received == (20 << 20) + 3

    asyncio.run(story())


def test_a_body_waits_for_who_reads_it():
    async def story():
        intake = RequestStream(asyncio.get_running_loop())
        messages = [part(b"x" * (1 << 20)) for _ in range(50)]
        pump = asyncio.create_task(intake.pump(giving(messages)))
        for _ in range(200):
            await asyncio.sleep(0)
        assert intake.received <= MAX_BODY_BUFFER + (1 << 20)
        pump.cancel()

    asyncio.run(story())


def test_a_body_that_is_broken_off_is_trouble_after_what_came():
    async def story():
        intake = RequestStream(asyncio.get_running_loop())
        pump = asyncio.create_task(intake.pump(giving([part(b"some"), {"type": "http.disconnect"}])))
        await pump
        pieces = intake.pieces()
        assert next(pieces) == b"some"
        with pytest.raises(TransientError, match="went away"):
            next(pieces)

    asyncio.run(story())


def test_who_goes_away_after_a_whole_body_has_sent_it():
    async def story():
        intake = RequestStream(asyncio.get_running_loop())
        await intake.pump(giving([part(b"all", more=False), {"type": "http.disconnect"}]))
        assert list(intake.pieces()) == [b"all"]

    asyncio.run(story())


def test_a_call_that_was_answered_is_gone_at_once():
    """Each left an error in a cycle, with all that the call had had: 20 MB waited for the collector."""

    async def story():
        deadline = asyncio.timeout(60)  # somebody on the way keeps it, as the server's deadlines do

        async def receive():
            async with deadline:
                return await asyncio.Future()

        intake = RequestStream(asyncio.get_running_loop())
        pump = asyncio.create_task(intake.pump(receive))
        await asyncio.sleep(0)
        pump.cancel()
        await asyncio.wait([pump])
        held = weakref.ref(intake)
        del pump, intake, receive
        assert held() is None

    gc.disable()
    try:
        asyncio.run(story())
    finally:
        gc.enable()


def test_a_client_that_sends_nothing_is_not_waited_for():
    async def story():
        intake = RequestStream(asyncio.get_running_loop(), timeout=0.01)
        with pytest.raises(TransientError, match="too long"):
            await read(intake, [part(b"some")])

    asyncio.run(story())


def test_a_client_that_takes_nothing_is_not_waited_for():
    async def story():
        outlet = ResponseStream(asyncio.get_running_loop(), timeout=0.01)

        async def send(message):
            if message["type"] == "http.response.body":
                await asyncio.Future()

        outlet.begin(200, [])
        outlet.push(b"x")
        with pytest.raises(TimeoutError):
            await outlet.send_all(send)
        outlet.close()
        with pytest.raises(ClientGone):
            outlet.push(b"y")

    asyncio.run(story())


def test_an_answer_waits_for_who_takes_it_and_a_writer_is_freed_when_it_leaves():
    async def story():
        outlet = ResponseStream(asyncio.get_running_loop())
        made, freed = [], threading.Event()

        def make():
            try:
                while True:
                    outlet.push(b"x" * 1000)
                    made.append(1000)
            except ClientGone:
                freed.set()

        thread = threading.Thread(target=make)
        thread.start()
        thread.join(0.1)
        assert sum(made) <= MAX_RESPONSE_BUFFER + 2000
        outlet.close()
        assert freed.wait(10)
        thread.join()

    asyncio.run(story())


def test_an_answer_that_ends_early_does_so_for_all_to_see():
    async def story():
        sent = []

        async def send(message):
            sent.append(message)

        outlet = ResponseStream(asyncio.get_running_loop())
        outlet.begin(200, [])
        outlet.push(b"half")
        outlet.end(complete=False)
        with pytest.raises(TransientError):
            await outlet.send_all(send)
        assert [m.get("more_body") for m in sent] == [None, True]

    asyncio.run(story())


class Asking:
    """Calls of an endpoint, without a network."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, call: str, key: str = "k") -> tuple[int, dict, dict]:
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "path_params": {"call": call},
            "state": {"key": Key(name=key)},
            "query_string": b"",
            "headers": [],
        }
        await self._endpoint(scope, giving([part(b"{}", more=False)]), send)
        body = b"".join(m.get("body", b"") for m in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), json.loads(body)


def endpoint_of(handlers, **limits) -> Endpoint:
    budget = Budget(1 << 20, 1 << 20)
    shared = SharedState(
        feed=None, lists=None, indexer=None, budget=budget, searches=budget, listings=ListingBudget(budget)
    )
    served = SimpleNamespace(fs=SimpleNamespace(cancellable=lambda cancelled: nullcontext()))
    return Endpoint(served, shared, handlers, changing=frozenset(), limits=Timeouts(**limits))


def test_one_key_that_fills_its_places_leaves_those_of_the_others_free():
    release = threading.Event()

    def slow(call):
        assert release.wait(20)
        return json_response({"done": True})

    async def story():
        handlers = {"slow": slow, "quick": lambda call: json_response({"done": True})}
        endpoint = endpoint_of(handlers, calls=6, calls_per_key=4)
        ask = Asking(endpoint)
        calls = [asyncio.create_task(ask("slow", "greedy")) for _ in range(20)]
        while endpoint.working < 4:
            await asyncio.sleep(0)
        assert (await ask("quick", "other"))[0] == 200
        assert endpoint.working <= 5  # and what waits has no thread
        release.set()
        assert {(await call)[0] for call in calls} == {200}
        endpoint.close()

    asyncio.run(story())


def test_beyond_so_many_calls_at_once_the_next_one_may_come_again():
    release = threading.Event()

    def slow(call):
        assert release.wait(20)
        return json_response({"done": True})

    async def story():
        endpoint = endpoint_of({"slow": slow}, calls=8, calls_per_key=4, queue_seconds=0.1)
        ask = Asking(endpoint)
        calls = [asyncio.create_task(ask("slow", key)) for key in "ab" for _ in range(4)]
        while endpoint.working < 8:
            await asyncio.sleep(0)
        status, headers, body = await ask("slow", "c")
        assert (status, headers[b"retry-after"]) == (503, b"2")
        assert body["error"]["code"] == "transient"
        release.set()
        assert {(await call)[0] for call in calls} == {200}
        assert (await ask("slow"))[0] == 200
        endpoint.close()

    asyncio.run(story())


def test_a_mistake_of_ours_is_a_500_without_a_word_about_it(caplog):
    def wrong(call):
        raise ValueError("/secret/path")

    async def story():
        endpoint = endpoint_of({"wrong": wrong})
        status, _, body = await Asking(endpoint)("wrong")
        assert status == 500
        assert "secret" not in json.dumps(body)
        endpoint.close()

    asyncio.run(story())
    assert "unhandled error in a call of the protocol" in caplog.text
