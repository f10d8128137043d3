"""A server put together and taken apart: state directory, served folder, keys, app, upkeep.

The order of the end matters: nothing is let go while a thread may still use it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syncer.engine.ports import Clock
from syncer.errors import StateError, SyncerError
from syncer.server.app import Application
from syncer.server.gate import Keys
from syncer.server.keys import KeyFile
from syncer.server.limits import Limits
from syncer.server.premises import Occupied, prepare
from syncer.server.served import Served
from syncer.server.upkeep import Upkeep


@contextmanager
def opened(
    folder: Path,
    state: Path,
    keys: KeyFile,
    *,
    clock: Clock,
    trash_days: float,
    trash_size: int | None = None,
    limits: Limits | None = None,
) -> Iterator[Application]:
    """The app, for as long as the block runs; no request may be in flight when it ends.

    Raises StateError, Busy (another server has the folder), ConfigError (the key file).
    """
    prepare(state)
    occupied = Occupied(state)
    try:
        app = Application(_served(folder, state, clock), Keys(keys, clock), limits=limits)
        upkeep = Upkeep(app.served, trash_days=trash_days, trash_size=trash_size)
        upkeep.start()
        try:
            yield app
        finally:
            upkeep.stop()
            app.close()
    finally:
        occupied.leave()


def _served(folder: Path, state: Path, clock: Clock) -> Served:
    try:
        return Served(folder, state, clock=clock)
    except sqlite3.Error as error:
        raise StateError(f"the state directory {state} cannot be used: {error}") from error
    except OSError as error:
        raise SyncerError(f"{folder} cannot be served: {error.strerror}") from error
