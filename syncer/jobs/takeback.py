"""The steps of an undo in one folder: each looks at what is there before it changes anything.

What is to come and what is to go is `inverse`'s business. What goes from a name goes to the trash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from syncer.engine.model import Done, Entry, Kind, Obstacle, Outcome, RelPath, Seen, Stale
from syncer.engine.paths import printable, split
from syncer.engine.ports import Creation, Memory, Removal, Rename
from syncer.jobs.inverse import Step, What
from syncer.stores.folder import FolderStore
from syncer.stores.trash import Kept

_CHANGED = "it is not what the run put there any more; it stays"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended. Not `changed`: there was nothing (any more) to do."""

    outcome: Outcome
    changed: bool = False
    replaced: bool = False  # something stood at the name


class Hand:
    """Does steps of one kind on one side; `memory` tells what both sides agreed on last."""

    def __init__(self, store: FolderStore, memory: Memory) -> None:
        self._store = store
        self._memory = memory

    def foresee(self, step: Step) -> str:
        """Why the step would not be done, as far as a look tells; "" if it would."""
        seen = self._store.look(step.path)
        match step.what:
            case What.REMOVE:
                return _CHANGED if seen is not None and self._as_put(step, seen) is None else ""
            case What.RENAME:
                back = seen is None and self._store.look(step.origin) is not None
                return "" if back or isinstance(seen, Entry) else _not_there(step)
            case What.PUT_BACK:
                is_file = isinstance(seen, Entry) and seen.kind is not Kind.DIRECTORY
                return "" if seen is None or is_file else _in_the_way(step.path, seen).message
            case _:
                return ""

    def do(self, steps: Sequence[Step]) -> list[tuple[Step, Ended]]:
        """At least one step, all of one kind; how each ended."""
        match steps[0].what:
            case What.PUT_BACK:
                return self._put_back(steps)
            case What.REMOVE:
                return self._remove(steps)
            case What.MAKE:
                outcomes = self._store.make_directories([Creation(path=step.path) for step in steps])
            case What.UNMAKE:
                outcomes = self._store.remove_directories([step.path for step in steps])
            case What.RENAME:
                return [(step, self._rename(step)) for step in steps]
        ended = dict(outcomes)
        return [(step, _ended(ended[i])) for i, step in enumerate(steps)]

    def _put_back(self, steps: Sequence[Step]) -> list[tuple[Step, Ended]]:
        """To a free name out of the trash, over a taken one in exchange for what stands there."""
        ended: dict[int, Ended] = {}
        over: dict[int, tuple[Kept, Entry]] = {}
        for index, step in enumerate(steps):
            assert step.kept is not None  # a step without it has an obstacle
            seen = self._store.look(step.path)
            if seen is None:
                ended[index] = _ended(self._store.restore(step.kept))
            elif isinstance(seen, Entry) and seen.kind is not Kind.DIRECTORY:
                over[index] = (step.kept, seen)
            else:
                ended[index] = Ended(_in_the_way(step.path, seen))
        numbers = list(over)
        for number, outcome in self._store.put_back(list(over.values())):
            ended[numbers[number]] = replace(_ended(outcome), replaced=True)
        return [(step, ended[index]) for index, step in enumerate(steps)]

    def _remove(self, steps: Sequence[Step]) -> list[tuple[Step, Ended]]:
        """To the trash, where it still is what the run put there."""
        ended: dict[int, Ended] = {}
        doomed: dict[int, Removal] = {}
        for index, step in enumerate(steps):
            seen = self._store.look(step.path)
            if seen is None:
                ended[index] = Ended(Done())  # gone already
            elif (known := self._as_put(step, seen)) is None:
                ended[index] = Ended(Stale(message=_CHANGED))
            else:
                doomed[index] = Removal(path=step.path, expected=known)
        numbers = list(doomed)
        for number, outcome in self._store.delete(list(doomed.values())):
            ended[numbers[number]] = _ended(outcome)
        return [(step, ended[index]) for index, step in enumerate(steps)]

    def _as_put(self, step: Step, seen: Seen) -> Entry | None:
        """What stands there, if it is what was agreed on when the run put it there: by its content."""
        directory, name = split(step.path)
        base = self._memory.rows(directory).get(name)
        if base is None or not isinstance(seen, Entry) or seen.kind is not base.kind:
            return None
        if seen.kind is Kind.DIRECTORY or not seen.size == base.size == step.size:
            return None
        (known,) = self._store.digests([(step.path, seen)])
        return known if isinstance(known, Entry) and known.digest == base.digest else None

    def _rename(self, step: Step) -> Ended:
        seen = self._store.look(step.path)
        if seen is None and self._store.look(step.origin) is not None:
            return Ended(Done())  # back already
        if not isinstance(seen, Entry):
            return Ended(Stale(message=_not_there(step)))
        rename = Rename(origin=step.path, path=step.origin, expected=seen)
        ((_, outcome),) = self._store.rename([rename])
        return _ended(outcome)


def _ended(outcome: Outcome) -> Ended:
    return Ended(outcome, changed=isinstance(outcome, Done))


def _not_there(step: Step) -> str:
    return f"it is not at {printable(step.path)} any more"


def _in_the_way(path: RelPath, seen: Seen) -> Stale:
    what = seen.message if isinstance(seen, Obstacle) else "a directory stands there now"
    return Stale(message=f"{printable(path)}: {what}")
