"""The steps of an undo in one folder: each looks at what is there before it changes anything.

What is to come and what is to go is `inverse`'s business. What goes from a name goes to the trash. A step is
done only where the folder still shows what the run left there: what was edited, made anew or replaced
since is a person's (or a later run's), and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from syncer.engine.model import Done, Entry, Kind, Obstacle, Outcome, RelPath, Seen, Stale
from syncer.engine.paths import fold, join, printable, split
from syncer.engine.ports import Creation, Memory, Removal, Rename
from syncer.errors import NotFound, StoreError
from syncer.jobs import bookkeeping
from syncer.jobs.inverse import CHANGED, Step, What
from syncer.stores.folder import FolderStore
from syncer.stores.trash import Kept


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended. Not `changed`: there was nothing (any more) to do."""

    outcome: Outcome
    changed: bool = False
    replaced: bool = False  # something stood at the name
    digest: bytes | None = None  # of what stands at the name now


_NOTHING_TO_DO = Ended(Done())
_LEFT = Ended(Stale(message=CHANGED))


class Hand:
    """Does steps of one kind on one side; `memory` tells what both sides agreed on last."""

    def __init__(self, store: FolderStore, memory: Memory) -> None:
        self._store = store
        self._memory = memory

    def foresee(self, step: Step, freed: Collection[RelPath]) -> str:
        """Why the step would not be done, as far as a look tells; "" if it would.

        `freed` are the names that earlier steps will have made free.
        """
        judged: Entry | Ended | None
        match step.what:
            case What.UNMAKE:
                return self._unforeseen(step.path, freed)
            case What.MAKE:
                seen = self._store.look(step.path)
                return CHANGED if _is_file(seen) and step.path not in freed else ""
            case What.RENAME:
                judged = self._judge_rename(step, freed)
            case What.REMOVE:
                judged = self._judge_removal(step)
            case What.PUT_BACK:
                judged = self._judge(step, None if step.path in freed else self._store.look(step.path))
        if isinstance(judged, Ended) and isinstance(judged.outcome, Stale):
            return judged.outcome.message
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
        return [(step, _directory_ended(ended[i])) for i, step in enumerate(steps)]

    # Putting back

    def _put_back(self, steps: Sequence[Step]) -> list[tuple[Step, Ended]]:
        """To a free name out of the trash, over a taken one in exchange for what stands there."""
        ended: dict[int, Ended] = {}
        over: dict[int, tuple[Kept, Entry]] = {}
        for index, step in enumerate(steps):
            assert step.kept is not None  # a step without it has an obstacle
            judged = self._judge(step, self._store.look(step.path))
            if isinstance(judged, Ended):
                ended[index] = judged
            elif judged is None:
                ended[index] = self._restored(step, step.kept)
            else:
                over[index] = (step.kept, judged)
        if over:
            before = bookkeeping.put_back(self._memory)
            bookkeeping.remember_put_back(self._memory, [*before, *(steps[number].path for number in over)])
        numbers = list(over)
        for number, outcome in self._store.put_back(list(over.values())):
            digest = outcome.entry.digest if isinstance(outcome, Done) and outcome.entry else None
            ended[numbers[number]] = replace(_ended(outcome), replaced=True, digest=digest)
        return [(step, ended[index]) for index, step in enumerate(steps)]

    def _judge(self, step: Step, seen: Seen) -> Entry | Ended | None:
        """For a put-back: what may give way (None: the name is free), or how the step ends without one."""
        if seen is None:
            return _LEFT if step.over and step.touched else None
        if isinstance(seen, Obstacle):
            return Ended(Stale(message=f"{printable(step.path)}: {seen.message}"))
        known = self._known(step.path, seen)
        if known is None:
            return _LEFT
        if step.earlier is not None and known.digest == step.earlier.digest:
            return _NOTHING_TO_DO  # back already
        return known if step.over and self._is_as_left(step, known) else _LEFT

    def _restored(self, step: Step, kept: Kept) -> Ended:
        ended = _ended(self._store.restore(kept))
        seen = self._store.look(step.path) if ended.changed else None
        known = self._known(step.path, seen) if isinstance(seen, Entry) else None
        return replace(ended, digest=known.digest if known else None)

    # Taking away

    def _remove(self, steps: Sequence[Step]) -> list[tuple[Step, Ended]]:
        """To the trash, where it still is what the run put there."""
        ended: dict[int, Ended] = {}
        doomed: dict[int, Removal] = {}
        for index, step in enumerate(steps):
            judged = self._judge_removal(step)
            if isinstance(judged, Ended):
                ended[index] = judged
            else:
                doomed[index] = Removal(path=step.path, expected=judged)
        numbers = list(doomed)
        for number, outcome in self._store.delete(list(doomed.values())):
            ended[numbers[number]] = _ended(outcome)
        return [(step, ended[index]) for index, step in enumerate(steps)]

    def _judge_removal(self, step: Step) -> Entry | Ended:
        seen = self._store.look(step.path)
        if seen is None:
            return _NOTHING_TO_DO  # gone already
        known = self._known(step.path, seen)
        if step.earlier is not None or known is None or not self._is_as_left(step, known):
            return _LEFT
        return known

    def _unforeseen(self, path: RelPath, freed: Collection[RelPath]) -> str:
        """Why a directory could not be removed: a file stands there, or something is in it."""
        seen = self._store.look(path)
        if seen is None:
            return ""
        if not isinstance(seen, Entry) or seen.kind is not Kind.DIRECTORY:
            return CHANGED
        try:
            names = self._store.list(path).entries
        except NotFound:
            return ""
        except StoreError as error:
            return error.message
        return "" if all(join(path, name) in freed for name in names) else CHANGED

    # Names

    def _rename(self, step: Step) -> Ended:
        judged = self._judge_rename(step, ())
        if isinstance(judged, Ended):
            return judged
        rename = Rename(origin=step.path, path=step.origin, expected=judged)
        ((_, outcome),) = self._store.rename([rename])
        return replace(_ended(outcome), digest=judged.digest)

    def _judge_rename(self, step: Step, freed: Collection[RelPath]) -> Entry | Ended:
        """What is to get its old name back, or how the step ends without that."""
        seen = None if step.path in freed else self._store.look(step.path)
        taken = step.origin not in freed and self._is_taken(step)
        if seen is None:
            if taken:
                return _NOTHING_TO_DO  # back already
            return Ended(Stale(message=f"it is not at {printable(step.path)} any more"))
        if taken or step.earlier is not None or not isinstance(seen, Entry):
            return _LEFT
        if seen.kind is Kind.DIRECTORY:  # with whatever is in it by now
            return _LEFT if step.touched or step.digest else seen
        known = self._known(step.path, seen)
        return known if known is not None and self._is_as_left(step, known) else _LEFT

    # What stands there

    def _is_taken(self, step: Step) -> bool:
        """Whether something has the old name; where the disk folds, not only another spelling of it."""
        if self._store.look(step.origin) is None:
            return False
        able = self._store.capabilities
        same = [fold(path, case=able.folds_case, form=able.folds_form) for path in (step.origin, step.path)]
        directory, name = split(step.origin)
        return same[0] != same[1] or name in self._store.list(directory).entries

    def _known(self, path: RelPath, seen: Seen) -> Entry | None:
        """A file or symlink with its digest."""
        if not isinstance(seen, Entry) or seen.kind is Kind.DIRECTORY:
            return None
        (known,) = self._store.digests([(path, seen)])
        return known if isinstance(known, Entry) and known.digest is not None else None

    def _is_as_left(self, step: Step, known: Entry) -> bool:
        """Whether it is what the run left there, by its content."""
        if step.digest is not None:
            return known.digest == step.digest
        directory, name = split(step.path)
        base = self._memory.rows(directory).get(name)
        if base is None or step.touched or known.kind is not base.kind:
            return False
        return known.size == base.size == step.size and known.digest == base.digest


def _is_file(seen: Seen) -> bool:
    return isinstance(seen, Entry) and seen.kind is not Kind.DIRECTORY


def _ended(outcome: Outcome) -> Ended:
    return Ended(outcome, changed=isinstance(outcome, Done))


def _directory_ended(outcome: Outcome) -> Ended:
    """One that is not empty, or is no directory any more, was changed since."""
    return _LEFT if isinstance(outcome, Stale) else _ended(outcome)
