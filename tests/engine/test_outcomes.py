"""Outcomes of actions as values: a kept one keeps nothing else alive."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from syncer.engine.model import Failed
from syncer.errors import LocalError


class Piece:
    """What the frame of a batch holds: entries, requests, bytes."""


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def attempt(outcomes: list[Failed]) -> weakref.ref[Piece]:
    """An item of a batch that fails, as the stores do it."""
    piece = Piece()
    try:
        try:
            raise OSError("no space")
        except OSError as error:
            raise LocalError(str(error)) from error
    except LocalError as error:
        outcomes.append(Failed(error=error))
    return weakref.ref(piece)


def test_a_failed_item_kept_its_whole_batch_until_the_collector_came() -> None:
    """A daemon with two busy jobs grew by 50 MiB in ten minutes: 5,000 frames waited for the collector."""
    outcomes: list[Failed] = []
    pieces = [attempt(outcomes) for _ in range(10)]
    assert len(outcomes) == 10
    assert [piece() for piece in pieces] == [None] * 10
    error = outcomes[0].error
    assert error.message == "no space" and isinstance(error.__cause__, OSError)


def test_errors_that_are_each_other_s_context_end_no_run() -> None:
    """Two errors that are raised again and again: their contexts form a ring, which a walk must leave."""
    first, second = LocalError("one"), LocalError("two")
    first.__context__, second.__context__ = second, first
    assert Failed(error=first).error is first
