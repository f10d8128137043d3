"""Echo detection: recognises old content that comes back by another job, and names that go back and forth.

Several jobs may share a root: in a ring, or with two services, a deletion and the file that it deleted run
after each other for ever, each job doing what is right for its own two sides. A root therefore remembers
what left it (`Past`, kept for all jobs that have it). What a root shows that had left the other one since
this job last looked is an *echo*, and no news: the other side's state is the later one, and is followed.

Pure, but for the digests it asks for. Only names that have a past are concerned at all. Whatever is
reversed here takes an old content away, which the trash keeps; what a person just did is known by its being
new to the past.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from syncer.engine import paths
from syncer.engine.model import (
    Action,
    Delete,
    Entry,
    KeepBoth,
    Kind,
    MakeDirectory,
    Mode,
    Policy,
    Reason,
    RelPath,
    RemoveDirectory,
    Seen,
    Side,
    Transfer,
)
from syncer.engine.report import ConflictReport, Hold

FLIP_FLOP: Final = "flip-flop"
MOST_RETURNS: Final = 3
"""So often may one job bring the same content to the same name, and another take it away again."""
_ROUNDS: Final = 2
LONG_AGO: Final = "-"
"""The mover of a change that counts no more."""
ABSENT: Final = b""
DIRECTORY: Final = b"directory"
_DATES_NS: Final = 2 * 10**9  # as exact as every side holds them
_UNCHANGED: Final = frozenset({Reason.LOCAL_NEW, Reason.REMOTE_NEW, Reason.BOTH_NEW, Reason.MIRROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoChange:
    """One value took the place of another at a name of a root. A value is what `value_of` makes.

    `mover` is the job that did it, "" where somebody else did; `origin` orders values by when each was new,
    and goes with a value from root to root. `pending`: this job did not look there since.
    """

    left: bytes
    now: bytes
    origin: int
    mover: str
    pending: bool


Past = Sequence[EchoChange]  # of one name at one root, oldest first


class Echoes(Protocol):
    """What the two roots of a job remember."""

    @property
    def job(self) -> str: ...

    def concerned(self) -> Collection[RelPath]:
        """The names of either root that have a past."""
        ...

    def past(self, side: Side, path: RelPath) -> Past: ...

    def everywhere(self, path: RelPath) -> Collection[Past]:
        """The same name's past at each root of this machine, whatever job it belongs to."""
        ...

    def shared(self, side: Side) -> bool:
        """Whether other jobs of this machine have the root as well."""
        ...

    def called(self, job: str) -> str:
        """The job for people."""
        ...


Learn = Callable[[Side, Sequence[tuple[RelPath, Entry]]], Sequence[Seen]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is to be done after all."""

    actions: Sequence[Action]
    conflicts: Sequence[ConflictReport]
    holds: tuple[Hold, ...] = ()


def settle(
    actions: Sequence[Action],
    conflicts: Sequence[ConflictReport],
    echoes: Echoes,
    policy: Policy,
    learn: Learn,
    mixed: Collection[RelPath],
) -> Settled:
    """The actions with echoes reversed, and without those that go back and forth.

    `mixed` are directories that hold what is not synced: they are never taken away for an echo.
    """
    concerned = echoes.concerned()
    if not concerned:
        return Settled(actions=actions, conflicts=conflicts)
    return _Settling(echoes, policy, learn, mixed).settle(actions, conflicts, concerned)


@dataclass(frozen=True, slots=True)
class _Step:
    """An action as a move of a value: `source` shows `value`, which is to take `there`'s place on the other
    side.
    """

    path: RelPath
    source: Side
    seen: Entry | None
    there: Entry | None
    value: bytes
    standing: bytes
    based: bool  # the source is known to have changed since both sides agreed
    rival: bool = False  # and the other side as well


@dataclass(slots=True)
class _Settling:
    echoes: Echoes
    policy: Policy
    learn: Learn
    mixed: Collection[RelPath]
    held: dict[Side, list[tuple[RelPath, str]]] = field(default_factory=lambda: {side: [] for side in Side})
    settled_conflicts: set[RelPath] = field(default_factory=set)

    def settle(
        self,
        actions: Sequence[Action],
        conflicts: Sequence[ConflictReport],
        concerned: Collection[RelPath],
    ) -> Settled:
        done: list[Action] = []
        for action in actions:
            done += self._judged(action) if action.path in concerned else (action,)
        return Settled(
            actions=_with_directories(done),
            conflicts=[c for c in conflicts if c.path not in self.settled_conflicts],
            holds=tuple(self._holds()),
        )

    def _judged(self, action: Action) -> Iterable[Action]:
        step = self._step(action)
        if step is None:
            return (action,)
        target = step.source.other
        here, there = self.echoes.past(step.source, step.path), self.echoes.past(target, step.path)
        fresh = _fresh(here, step)
        verdict = _older(step, here, there, fresh=fresh, everywhere=self.echoes.everywhere)
        made_here = fresh and self.echoes.shared(step.source)
        if self.policy.mode is Mode.TWO_WAY and not made_here and _goes_round(step, here, there):
            verdict = step.source if _rank(step.there) > _rank(step.seen) else None
        elif verdict is None and not fresh:
            returns = _returns(there, step.value, self.echoes.job)
            if returns >= MOST_RETURNS and not self.policy.allow_deletes:
                return self._hold(action, step, there)
        if verdict is step.source and self.policy.mode.may_change(step.source):
            if isinstance(action, KeepBoth):
                self.settled_conflicts.add(action.path)
            return _reversed(action, step)
        if isinstance(action, KeepBoth) and verdict is target and self.policy.mode.may_change(target):
            self.settled_conflicts.add(action.path)
            return (_followed(action, step),)
        return (action,)

    def _step(self, action: Action) -> _Step | None:
        """The action with both values known; None for one that moves none."""
        seen: Entry | None
        there: Entry | None
        match action:
            case Transfer():
                source, seen, there = action.source, action.seen, action.expected
                based = action.reason not in _UNCHANGED
            case Delete():
                source, seen, there, based = action.side.other, None, action.expected, True
            case MakeDirectory(replaces=None):
                if any(d == action.path or paths.is_below(d, action.path) for d in self.mixed):
                    return None
                source, seen, there = action.side.other, _DIRECTORY_ENTRY, None
                based = action.reason not in _UNCHANGED
            case RemoveDirectory():
                source, seen, there, based = action.side.other, None, _DIRECTORY_ENTRY, True
            case KeepBoth() if action.winner.kind is not Kind.DIRECTORY:
                source, seen, there = action.loser.other, action.winner, action.lost
                based = action.reason not in _UNCHANGED
            case _:
                return None
        value, standing = (
            self._value(source, action.path, seen),
            self._value(source.other, action.path, there),
        )
        if value is None or standing is None:
            return None
        rival = based and isinstance(action, KeepBoth)
        return _Step(action.path, source, seen, there, value, standing, based, rival)

    def _value(self, side: Side, path: RelPath, entry: Entry | None) -> bytes | None:
        """None where the content cannot be read now: then nothing is said of it."""
        if entry is None:
            return ABSENT
        if entry.kind is Kind.DIRECTORY:
            return DIRECTORY
        if entry.digest is None:
            (found,) = self.learn(side, [(path, entry)])
            return value_of(found) if isinstance(found, Entry) else None
        return value_of(entry)

    def _hold(self, action: Action, step: _Step, there: Past) -> Iterable[Action]:
        movers = sorted(
            {self.echoes.called(c.mover) for c in there if c.mover} | {self.echoes.called(self.echoes.job)}
        )
        others = " and somebody else" if any(not change.mover for change in there) else ""
        self.held[step.source.other].append((action.path, f"{', '.join(movers)}{others}"))
        self.settled_conflicts.add(action.path)
        return ()

    def _holds(self) -> Iterable[Hold]:
        for side, found in self.held.items():
            if found:
                names = sorted({who for _, who in found})
                first = paths.printable(found[0][0])
                more = f" and {len(found) - 1} more" if len(found) > 1 else ""
                yield Hold(
                    guard=FLIP_FLOP,
                    side=side,
                    message=f"{first}{more}: the same content came to the {side.value} side and went again "
                    f"{MOST_RETURNS} times, moved by {'; '.join(names)}; it is left as it is now",
                    hint="decide which content is right and put it on both sides, or change the jobs so that "
                    "one of them moves it; --yes lets it through for one run",
                    paths=tuple(path for path, _ in found),
                )


_DIRECTORY_ENTRY: Final = Entry(kind=Kind.DIRECTORY, size=0, version=b"")


def value_of(entry: Entry | None) -> bytes | None:
    """What a name shows, as one value: content and date, since an echo brings its old date along.

    None for content that is not known.
    """
    if entry is None:
        return ABSENT
    if entry.kind is Kind.DIRECTORY:
        return DIRECTORY
    if entry.digest is None:
        return None
    return entry.digest + b"@%d" % ((entry.mtime_ns or 0) // _DATES_NS)


def _fresh(here: Past, step: _Step) -> bool:
    """Whether the source's value is new to its root: then somebody made it, and no job brought it."""
    if here:
        return here[-1].now != step.value
    return step.based


def _older(
    step: _Step,
    here: Past,
    there: Past,
    *,
    fresh: bool,
    everywhere: Callable[[RelPath], Collection[Past]],
) -> Side | None:
    """The side whose value had left a root since, for the other one: that of an older state.

    None where nothing says so.
    """
    if not fresh and here and there and (here[-1].now, there[-1].now) == (step.value, step.standing):
        # Both were brought or seen. Two that know nothing of each other are a conflict, whichever was first.
        # An origin of 0 says nothing: it may be a file that somebody just made.
        this, that = _Node(step.value, here[-1].origin), _Node(step.standing, there[-1].origin)
        if this.origin and that.origin and this != that:
            return _earlier(this, that, step.source, everywhere(step.path))
    source_old = not fresh and any(c.left == step.value for c in there if c.pending)
    new_there = there[-1].now != step.standing if there else step.rival
    target_old = not new_there and any(c.left == step.standing for c in here if c.pending)
    if source_old and target_old:
        mine, other = _origin(here, step.value), _origin(there, step.standing)
        if mine == other:
            return None
        return step.source if mine < other else step.source.other
    if source_old:
        return step.source
    return step.source.other if target_old else None


@dataclass(frozen=True, slots=True)
class _Node:
    """A value, and when it was new: the same content may come and go more than once."""

    value: bytes
    origin: int

    def is_(self, other: _Node) -> bool:
        """Contents are told apart by their dates; that nothing is there, only by when it was new."""
        named = self.value not in (ABSENT, DIRECTORY)
        return self.value == other.value and (named or self.origin == other.origin)


def _earlier(mine: _Node, other: _Node, source: Side, everywhere: Collection[Past]) -> Side | None:
    """Which of the two took the other's place somewhere, over however many steps; that is the later state."""
    steps = [
        (_Node(now.left, before.origin if before is not None else 0), _Node(now.now, now.origin))
        for past in everywhere
        for before, now in zip([None, *past], past, strict=False)
    ]
    left, followed = _leads(mine, other, steps), _leads(other, mine, steps)
    if left and followed:  # to and fro: the one that was new later
        return source if mine.origin < other.origin else source.other
    if left:
        return source
    return source.other if followed else None


def _leads(origin: _Node, target: _Node, steps: Collection[tuple[_Node, _Node]]) -> bool:
    """Whether one value was replaced by the other, directly or by way of others."""
    reached, fresh = {origin}, [origin]
    while fresh:
        node = fresh.pop()
        for left, now in steps:
            if left.is_(node) and now not in reached:
                if now.is_(target):
                    return True
                reached.add(now)
                fresh.append(now)
    return False


def _origin(past: Past, value: bytes) -> int:
    """When the value was new, by the root's past; 0 where it was there before anything is remembered."""
    return past[-1].origin if past and past[-1].now == value else 0


def _goes_round(step: _Step, here: Past, there: Past) -> bool:
    """Whether both values came and went already, more than once, with the very same dates.

    That is how two waves look from one machine of several, which sees only half of the circle: nothing else
    tells them from users' work. All machines then choose by the same order (`_rank`), and the waves end.
    """
    gone = [change.left for change in (*here, *there) if change.mover != LONG_AGO]
    return gone.count(step.value) >= _ROUNDS and gone.count(step.standing) >= _ROUNDS


def _returns(there: Past, value: bytes, job: str) -> int:
    """How often the job brought the value there, and another took it away."""
    count, brought = 0, False
    for change in there:
        if change.left == value and change.mover != job:
            count += brought
            brought = False
        if change.now == value and change.mover == job:
            brought = True
    return count


def _rank(entry: Entry | None) -> tuple[bool, int, bytes]:
    """One order for all machines: what exists before what does not, then the later date, then the digest."""
    if entry is None:
        return False, 0, b""
    return True, entry.mtime_ns or 0, entry.digest or b""


def _reversed(action: Action, step: _Step) -> Iterable[Action]:
    """The other side is followed instead: the old value goes to the trash of its own side."""
    target = step.source.other
    match action:
        case Transfer(expected=None):
            assert step.seen is not None
            yield Delete(path=step.path, reason=Reason.ECHO, side=step.source, expected=step.seen)
        case Transfer() | Delete() | KeepBoth():
            assert step.there is not None
            yield Transfer(
                path=step.path,
                reason=Reason.ECHO,
                source=target,
                seen=step.there,
                expected=step.seen,
                executable=step.there.executable,
            )
        case MakeDirectory():
            yield RemoveDirectory(path=step.path, reason=Reason.ECHO, side=step.source)
        case RemoveDirectory():
            yield MakeDirectory(path=step.path, reason=Reason.ECHO, side=step.source)
        case _:
            yield action


def _followed(action: KeepBoth, step: _Step) -> Transfer:
    """No conflict: the loser's content is an old one of the winner's root."""
    return Transfer(
        path=action.path,
        reason=Reason.ECHO,
        source=step.source,
        seen=action.winner,
        expected=action.lost,
        executable=action.winner.executable,
    )


def _with_directories(after: Sequence[Action]) -> list[Action]:
    """What was reversed may need directories that were to go, and may leave some that were to come."""
    arriving: Mapping[Side, set[RelPath]] = {side: set() for side in Side}
    for action in after:
        match action:
            case Transfer():
                arriving[action.source.other].update(_above(action.path))
            case MakeDirectory():
                arriving[action.side].update(_above(action.path))
            case _:
                continue
    made = {(a.side, a.path) for a in after if isinstance(a, MakeDirectory)}
    result: list[Action] = []
    for action in after:
        if not isinstance(action, RemoveDirectory) or action.clearing:
            result.append(action)
        elif action.path in arriving[action.side.other] and (action.side.other, action.path) not in made:
            # Something below it is kept after all: the directory comes back on the side that lost it.
            result.append(MakeDirectory(path=action.path, reason=Reason.ECHO, side=action.side.other))
        else:
            result.append(action)
    return result


def _above(path: RelPath) -> Iterable[RelPath]:
    directory = paths.split(path)[0]
    return [up for up in paths.upwards(directory) if up]
