"""One folder's events from one observer: where something happens, and what went wrong with it.

It does not judge what to do about the latter; `folder` does. Loads watchdog when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from syncer.engine.scope import Places
from syncer.watch.troubles import Break

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent

    from syncer.watch.observer import Observer

_PATIENCE = 1.0  # seconds for a thread to end


class Events:
    """From the moment it is made, everything that happens in the folder is told. Raises OSError."""

    def __init__(
        self,
        root: str,
        *,
        happened: Callable[[Places], None],
        broke: Callable[[Break, int], None],
        observer: Callable[[], Observer] | None = None,
    ) -> None:
        """`root` must be free of links. `broke` gets the errno of what was refused, 0 else."""
        from watchdog.events import FileSystemEventHandler

        from syncer.watch.translating import Noticed, breaks_of, places_of

        class Handler(FileSystemEventHandler):
            def dispatch(self, event: FileSystemEvent) -> None:
                places = places_of(event, root)
                if places:
                    happened(places)
                for kind in breaks_of(event, root):
                    broke(kind, event.number if isinstance(event, Noticed) else 0)

        self._observer = (observer or _system)()
        try:
            self._observer.schedule(Handler(), root, recursive=True)
            self._observer.start()
        except OSError:
            self._observer.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether all its threads still run."""
        return self._observer.is_alive() and all(e.is_alive() for e in self._observer.emitters)

    def close(self) -> None:
        """Nothing more is told; waits while somebody is being told something."""
        self._observer.stop()
        with suppress(RuntimeError):  # it is told in the observer's own thread: nothing to wait for
            self._observer.join(_PATIENCE)


def _system() -> Observer:
    from syncer.watch.observer import system_observer

    return system_observer()
