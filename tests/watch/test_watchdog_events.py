"""watchdog's events as places: however a system names a change, the right directories are reported."""

from __future__ import annotations

import os

import pytest
from watchdog import events as e

from syncer.engine.scope import NOWHERE, Places
from syncer.watch.backend import places_of


def places(*directories, trees=()):
    return Places(directories=frozenset(directories), trees=frozenset(trees))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (e.FileCreatedEvent("/r/d/f"), places("d")),
        (e.FileModifiedEvent("/r/f"), places("")),
        (e.FileClosedEvent("/r/d/f"), places("d")),
        (e.FileAttribEvent("/r/d/f"), places("d")),
        (e.FileDeletedEvent("/r/d/f"), places("d")),
        (e.FileMovedEvent("/r/d/f", "/r/e/f"), places("d", "e")),
        (e.FileMovedEvent("/r/d/.syncer-tmp-1", "/r/d/f"), places("d")),
        (e.FileMovedEvent("/r/d/f", "/r/d/.syncer-tmp-1"), places("d")),
        (e.FileMovedEvent("/elsewhere/f", "/r/d/f"), places("d")),
        (e.FileOpenedEvent("/r/d/f"), NOWHERE),
        (e.FileClosedNoWriteEvent("/r/d/f"), NOWHERE),
        (e.DirCreatedEvent("/r/d/x"), places("d", trees=["d/x"])),
        (e.DirMovedEvent("/r/d/x", "/r/y"), places("d", "", trees=["d/x", "y"])),
        (e.DirDeletedEvent("/r/d/x"), places("d", "d/x")),
        (e.DirModifiedEvent("/r/d"), places("", "d")),
        (e.DirModifiedEvent("/r"), places("")),
        (e.DirAttribEvent("/r/d/x"), places("d", "d/x")),
        (e.FileCreatedEvent("/r/.syncer-tmp-1"), NOWHERE),
        (e.FileCreatedEvent("/r/.syncer/trash/f"), NOWHERE),
        (e.DirCreatedEvent("/r/d/.syncer-tmp-1"), NOWHERE),
        (e.FileCreatedEvent("/r/d/.syncer"), places("d")),
        (e.FileCreatedEvent("/root/f"), NOWHERE),
        (e.FileCreatedEvent(b"/r/\xff/f"), places(os.fsdecode(b"\xff"))),
        (e.FileCreatedEvent("/r/line\nbreak/f"), places("line\nbreak")),
    ],
)
def test_an_event_is_told_as_places(event, told):
    assert places_of(event, "/r") == told


def test_below_the_topmost_root_too():
    assert places_of(e.FileCreatedEvent("/d/f"), "/") == places("d")
