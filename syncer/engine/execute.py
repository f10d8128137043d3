"""Carries a plan out: phase by phase, each action re-checked, each fact recorded after it is true.

The stores check every expectation again and answer with outcomes; a base row is
written only for a `Done`, which is durable by the store's contract. Nothing here
decides what should happen. One thread writes the memory; transfers run in a small pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby, islice

from syncer.engine import paths
from syncer.engine.changes import DIRECTORY, agreement
from syncer.engine.interfaces import (
    BaseStore,
    DeleteRequest,
    Fact,
    ForgetBase,
    LocalBasis,
    MkdirRequest,
    MoveBase,
    RenameRequest,
    Reporter,
    SetAttributesRequest,
    SetBase,
    Source,
    Store,
    TransferStats,
    WriteRequest,
)
from syncer.engine.model import (
    Action,
    Adopt,
    BaseEntry,
    Delete,
    Done,
    Entry,
    Failed,
    Forget,
    KeepBoth,
    Kind,
    MakeDirectory,
    Method,
    Move,
    Outcome,
    RelPath,
    RemoveDirectory,
    Side,
    Skipped,
    Touch,
    Transfer,
)
from syncer.engine.ordering import Phase, batches, ordered, phases
from syncer.engine.report import ActionReport
from syncer.errors import NoSpace, QuotaExceeded, Unmovable

BATCH_FILES = 2000
BATCH_BYTES = 64 << 20
SMALL = 1 << 20  # bytes; smaller files are told of once they are remembered, larger ones as they move
LASTING = 8 << 20  # bytes from which on a transfer between machines is worth going on with after a break
FACTS = 1000  # rows of one transaction where nothing else sets the pace
FULL_AFTER = 3  # refusals for want of space after which a side is taken to be full


@dataclass(slots=True)
class ProgressSource:
    """A source that tells how many bytes went through it."""

    inner: Source
    tell: Callable[[int], None]

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        if basis is not None and basis.start:
            self.tell(basis.start)
        for chunk in self.inner.chunks(basis):
            yield chunk
            self.tell(len(chunk))

    @property
    def entry(self) -> Entry:
        return self.inner.entry

    @property
    def traffic(self) -> TransferStats | None:
        return self.inner.traffic


@dataclass(frozen=True, slots=True)
class Result:
    """How one action ended, and what may be remembered because of it."""

    action: Action
    outcome: Outcome
    facts: tuple[Fact, ...] = ()


class Executor:
    """Runs one plan. `before_deletes` is called once before anything is taken away for good."""

    def __init__(
        self,
        stores: dict[Side, Store],
        memory: BaseStore,
        reporter: Reporter,
        *,
        workers: int,
        before_deletes: Callable[[], None],
    ) -> None:
        self._stores = stores
        self._memory = memory
        self._reporter = reporter
        self._workers = workers
        self._before_deletes = before_deletes
        self._no_space: dict[Side, int] = dict.fromkeys(Side, 0)
        self._respelt = Respellings()

    def run(self, actions: Sequence[Action]) -> Iterator[ActionReport]:
        """Do everything, and say how each action ended as soon as it is remembered."""
        for step, group in phases(actions):
            if step in (Phase.CLEAR_FILES, Phase.DELETES, Phase.REMOVALS):
                self._before_deletes()
            ready, waiting = self._respelt.sort_out(group)
            yield from self._recorded(waiting)
            for results in self._phase(step, ready):
                yield from self._recorded([r for r in results if not _unmovable(r)])
                instead = [a for r in results for a in _unmovable(r)]
                if instead:
                    yield from self.run(ordered(instead))

    def _recorded(self, results: Sequence[Result]) -> Iterator[ActionReport]:
        facts = [fact for r in results for fact in r.facts]
        if facts:
            self._memory.record(facts)
        for r in results:
            if isinstance(r.action, Transfer) and r.action.seen.size <= SMALL:
                self._reporter.moved(r.action.source.other, r.action.seen.size)
            self._reporter.finished(r.action, r.outcome)
            yield ActionReport(action=r.action, outcome=r.outcome)

    def _phase(self, step: Phase, group: Sequence[Action]) -> Iterator[list[Result]]:
        match step:
            case Phase.SPELLINGS:
                yield from self._spellings(group)
            case Phase.FORGET | Phase.ADOPT:
                yield from _pieces((_noted(a) for a in group), FACTS)
            case Phase.KEEP_BOTH:
                yield from ([self._keep_both(a)] for a in group if isinstance(a, KeepBoth))
            case Phase.TRANSFERS:
                yield from self._transfers([a for a in group if isinstance(a, Transfer)])
            case _:
                for side in Side:
                    yield from self._on_side(side, [a for a in group if _side(a) is side])

    def _on_side(self, side: Side, group: Sequence[Action]) -> Iterator[list[Result]]:
        for start in range(0, len(group), BATCH_FILES):
            piece = group[start : start + BATCH_FILES]
            outcomes = self._apply(self._stores[side], piece)
            yield [_result(a, outcomes[i]) for i, a in enumerate(piece)]

    def _apply(self, store: Store, group: Sequence[Action]) -> dict[int, Outcome]:
        """One batch of actions of one type on one store."""
        match group[0]:
            case Delete():
                removals = [
                    DeleteRequest(path=a.path, expected=a.expected) for a in group if isinstance(a, Delete)
                ]
                return dict(store.delete(removals))
            case RemoveDirectory():
                return dict(store.remove_directories([a.path for a in group]))
            case MakeDirectory():
                return dict(
                    store.make_directories([_creation(a) for a in group if isinstance(a, MakeDirectory)])
                )
            case Move():
                moves = [_rename(a) for a in group if isinstance(a, Move)]
                return dict(store.rename(moves))
            case _:
                return dict(store.set_attributes([_amend(a) for a in group if isinstance(a, Touch)]))

    def _spellings(self, group: Sequence[Action]) -> Iterator[list[Result]]:
        """Parents before children, each known by its new path before the next: only files go together."""
        for _, neighbours in groupby(enumerate(group), key=_of_one_batch):
            ready, waiting = self._respelt.sort_out([action for _, action in neighbours])
            yield waiting
            for action in ready:
                if not isinstance(action, Move):
                    yield [_noted(action)]
            for side in Side:
                for results in self._on_side(side, [a for a in ready if _side(a) is side]):
                    self._respelt.note(results)
                    yield results

    # Transfers

    def _transfers(self, transfers: Sequence[Transfer]) -> Iterator[list[Result]]:
        jobs = [
            (side, batch)
            for side in Side
            for batch in batches(
                [t for t in transfers if t.source is side], most=BATCH_FILES, size=BATCH_BYTES
            )
        ]
        if self._workers <= 1:
            yield from (self._transfer(side, batch) for side, batch in jobs)
            return
        yield from self._in_pool(jobs)

    def _in_pool(self, jobs: Sequence[tuple[Side, list[Transfer]]]) -> Iterator[list[Result]]:
        """The jobs on a bounded pool, results as they come; at the first error no new job is begun."""
        queue = iter(jobs)
        with ThreadPoolExecutor(self._workers, thread_name_prefix="transfer") as pool:
            running: set[Future[list[Result]]] = {
                pool.submit(self._transfer, *job) for job in islice(queue, self._workers)
            }
            while running:
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(self._transfer, *job) for job in islice(queue, len(ready))}
                for future in ready:
                    yield future.result()

    def _transfer(self, side: Side, batch: Sequence[Transfer]) -> list[Result]:
        """Bring a batch from `side` to the other side."""
        target = side.other
        if self._no_space[target] >= FULL_AFTER:
            return [_result(t, Skipped(message=f"the {target.value} side is full")) for t in batch]
        fitting = self._fitting(target, batch)
        crowded = {id(t) for t in batch} - {id(t) for t in fitting}
        refused = [_result(t, _no_room(t, target)) for t in batch if id(t) in crowded]
        return refused + (self._put(side, fitting) if fitting else [])

    def _fitting(self, target: Side, batch: Sequence[Transfer]) -> Sequence[Transfer]:
        """The transfers for which the target has room, so that a disk is not filled in vain."""
        room = self._stores[target].free_space()
        if room is None:
            return batch
        fitting = []
        for transfer in batch:
            if transfer.seen.size <= room:
                room -= transfer.seen.size
                fitting.append(transfer)
        return fitting

    def _put(self, side: Side, batch: Sequence[Transfer]) -> list[Result]:
        target = side.other
        sources = self._sources(side, batch, target)
        far = not all(store.capabilities.local for store in self._stores.values())
        puts = [_put(t, source, far=far) for t, source in zip(batch, sources, strict=True)]
        results: list[Result | None] = [None] * len(batch)
        for index, outcome in self._stores[target].put(puts):
            self._note_space(target, outcome)
            results[index] = self._transferred(batch[index], sources[index], outcome)
        return [r for r in results if r is not None]

    def _sources(self, side: Side, batch: Sequence[Transfer], target: Side) -> list[Source | None]:
        files = [(t.path, t.seen) for t in batch if t.seen.kind is Kind.FILE]
        opened = iter(self._stores[side].open_many(files))
        return [self._told(next(opened), t, target) if t.seen.kind is Kind.FILE else None for t in batch]

    def _told(self, source: Source, transfer: Transfer, target: Side) -> Source:
        if transfer.seen.size <= SMALL:
            return source
        return ProgressSource(source, lambda size: self._reporter.moved(target, size))

    def _transferred(self, action: Transfer, source: Source | None, outcome: Outcome) -> Result:
        if not isinstance(outcome, Done) or outcome.entry is None:
            return Result(action, outcome)
        counted = _counted(action, source, outcome)
        read = source.entry if source is not None else action.seen
        amended = self._amended(action, read)
        if amended is None:
            return Result(action, counted)
        row = _agreed(action.source, amended, outcome.entry)
        return Result(action, counted, (SetBase(path=action.path, entry=row),))

    def _amended(self, action: Transfer, read: Entry) -> Entry | None:
        """The source's entry, after it got the executable bit that both sides are to have.

        None where it did not get it: then the sides do not agree, and the former base tells the
        next run whose bit is the newer one.
        """
        if action.executable is None or read.executable in (None, action.executable):
            return read
        amend = SetAttributesRequest(
            path=action.path, expected=read, mtime_ns=None, executable=action.executable
        )
        ((_, outcome),) = self._stores[action.source].set_attributes([amend])
        if isinstance(outcome, Done) and outcome.entry is not None:
            return replace(outcome.entry, digest=read.digest)
        return None

    def _note_space(self, side: Side, outcome: Outcome) -> None:
        """A disk that refuses again and again is full: trying every file would only cost time."""
        full = isinstance(outcome, Failed) and isinstance(outcome.error, NoSpace | QuotaExceeded)
        if full:
            self._no_space[side] += 1
        elif isinstance(outcome, Done):
            self._no_space[side] = 0

    # Keep both

    def _keep_both(self, action: KeepBoth) -> Result:
        """Move the loser aside, then bring each content to where it is missing.

        Each step leaves a state from which a fresh run goes on by itself: after the first the
        loser's side lacks the name and has a new file.
        """
        rename = RenameRequest(origin=action.path, path=action.copy, expected=action.lost)
        ((_, aside),) = self._stores[action.loser].rename([rename])
        if not isinstance(aside, Done) or aside.entry is None:
            return Result(action, aside)
        lost = replace(aside.entry, digest=aside.entry.digest or action.lost.digest)
        steps = [self._winner(action)]
        if not action.one_way:
            steps.append(self._bring(action, action.loser, action.copy, lost))
        failed = next((s.outcome for s in steps if not isinstance(s.outcome, Done)), None)
        done = [s.outcome for s in steps if isinstance(s.outcome, Done)]
        total = Done(
            method=Method.WHOLE if any(d.method is not Method.NONE for d in done) else Method.NONE,
            sent=sum(d.sent for d in done),
            received=sum(d.received for d in done),
        )
        return Result(action, failed or total, tuple(f for s in steps for f in s.facts))

    def _winner(self, action: KeepBoth) -> Result:
        """Put the winner where the loser was."""
        if action.winner.kind is Kind.DIRECTORY:
            creation = MkdirRequest(path=action.path)
            ((_, outcome),) = self._stores[action.loser].make_directories([creation])
            facts = (SetBase(path=action.path, entry=DIRECTORY),) if isinstance(outcome, Done) else ()
            return Result(action, outcome, facts)
        return self._bring(action, action.loser.other, action.path, action.winner)

    def _bring(self, action: KeepBoth, source: Side, path: RelPath, seen: Entry) -> Result:
        transfer = Transfer(
            path=path,
            reason=action.reason,
            source=source,
            seen=seen,
            expected=None,
            executable=seen.executable,
        )
        (result,) = self._transfer(source, [transfer])
        return result


class Respellings:
    """How the names ended that get another spelling in this run, for what is planned at and below them."""

    def __init__(self) -> None:
        self._failed: set[RelPath] = set()
        self._now: dict[tuple[Side, RelPath], tuple[Entry, Entry]] = {}  # as planned on, and since the rename

    def note(self, results: Iterable[Result]) -> None:
        """Some of them were tried."""
        for action, outcome in ((r.action, r.outcome) for r in results):
            if not isinstance(outcome, Done):
                self._failed.add(action.path)
            elif isinstance(action, Move) and outcome.entry is not None:
                self._now[action.side, action.path] = (action.expected, outcome.entry)

    def sort_out(self, group: Sequence[Action]) -> tuple[list[Action], list[Result]]:
        """The actions as they are to be done now, and those that wait until a name is spelt right."""
        if not self._failed and not self._now:
            return list(group), []
        waiting = [a for a in group if self._waits(a)]
        message = "its name, or that of a directory above, is still spelt otherwise on the other side"
        gone = set(map(id, waiting))
        ready = [self._as_now(a) for a in group if id(a) not in gone]
        return ready, [Result(a, Skipped(message=message)) for a in waiting]

    def _waits(self, action: Action) -> bool:
        at = (action.now or action.path) if isinstance(action, Forget) else action.path
        return bool(self._failed) and any(up in self._failed for up in paths.upwards(at))

    def _as_now(self, action: Action) -> Action:
        """The same, planned on the stamp that the rename left."""
        path = action.path
        match action:
            case Transfer():
                source = action.source
                expected = action.expected and self._entry(source.other, path, action.expected)
                return replace(action, seen=self._entry(source, path, action.seen), expected=expected)
            case Touch():
                seen = self._entry(action.side.other, path, action.seen)
                return replace(action, seen=seen, expected=self._entry(action.side, path, action.expected))
            case KeepBoth():
                lost = self._entry(action.loser, path, action.lost)
                return replace(action, lost=lost, winner=self._entry(action.loser.other, path, action.winner))
            case MakeDirectory():
                return replace(
                    action, replaces=action.replaces and self._entry(action.side, path, action.replaces)
                )
            case Delete():
                return replace(action, expected=self._entry(action.side, path, action.expected))
            case Adopt():
                local = self._entry(Side.LOCAL, path, action.local)
                return replace(action, local=local, remote=self._entry(Side.REMOTE, path, action.remote))
            case _:
                return action

    def _entry(self, side: Side, path: RelPath, entry: Entry) -> Entry:
        """Not trusted: the rename may hide a write made just before it."""
        planned, now = self._now.get((side, path), (entry, entry))
        if now is entry or entry.version != planned.version:
            return entry
        return replace(entry, version=now.version, trusted=False)


def _of_one_batch(numbered: tuple[int, Action]) -> tuple[object, ...]:
    """Neighbours of which none can be within another."""
    number, action = numbered
    if isinstance(action, Move) and action.expected.kind is not Kind.DIRECTORY:
        return ("files", action.side)
    return (number,)


def _counted(action: Transfer, source: Source | None, done: Done) -> Done:
    """The outcome with the bytes that crossed, seen from the local side."""
    if action.source is Side.LOCAL:
        return done
    traffic = source.traffic if source is not None else None
    if traffic is None:
        return replace(done, sent=done.received, received=done.sent)
    return replace(done, method=traffic.method, sent=traffic.sent, received=traffic.received)


def _unmovable(result: Result) -> tuple[Action, ...]:
    """What is done instead of a rename that its store can never do: the same without one."""
    if isinstance(result.outcome, Failed) and isinstance(result.outcome.error, Unmovable):
        return result.action.instead if isinstance(result.action, Move) else ()
    return ()


def _side(action: Action) -> Side | None:
    return None if isinstance(action, Transfer | KeepBoth | Adopt | Forget) else action.side


def _pieces(results: Iterable[Result], size: int) -> Iterator[list[Result]]:
    pending = iter(results)
    while piece := list(islice(pending, size)):
        yield piece


def _noted(action: Action) -> Result:
    """What only the memory has to hear of."""
    if isinstance(action, Forget) and action.now:
        return Result(action, Done(), (MoveBase(origin=action.path, path=action.now),))
    if not isinstance(action, Adopt):
        return Result(action, Done(), (ForgetBase(path=action.path),))
    directory = action.local.kind is Kind.DIRECTORY
    row = DIRECTORY if directory else agreement(action.local, action.remote)
    return Result(action, Done(), (SetBase(path=action.path, entry=row),))


def _result(action: Action, outcome: Outcome) -> Result:
    """The outcome of an action on one side, with the facts that a `Done` makes true."""
    return Result(action, outcome, tuple(_facts(action, outcome)) if isinstance(outcome, Done) else ())


def _facts(action: Action, done: Done) -> Iterator[Fact]:
    match action:
        case Delete() | RemoveDirectory():
            yield ForgetBase(path=action.path)
        case MakeDirectory():
            yield SetBase(path=action.path, entry=DIRECTORY)
        case Touch() if done.entry is not None:
            yield SetBase(path=action.path, entry=_agreed(action.side, done.entry, action.seen))
        case Move() if action.respells:
            if action.known:
                yield MoveBase(origin=action.known, path=action.path)
        case Move() if action.expected.kind is Kind.DIRECTORY:
            yield MoveBase(origin=action.origin, path=action.path)
            for adopt in action.below:
                yield SetBase(path=adopt.path, entry=agreement(adopt.local, adopt.remote))
        case Move() if done.entry is not None:
            yield ForgetBase(path=action.origin)
            yield SetBase(path=action.path, entry=_agreed(action.side, done.entry, action.seen))
        case _:
            return


def _agreed(side: Side, here: Entry, there: Entry) -> BaseEntry:
    """The base row for what `side` holds now and the other side showed."""
    return agreement(here, there) if side is Side.LOCAL else agreement(there, here)


def _no_room(action: Transfer, side: Side) -> Failed:
    message = f"{paths.printable(action.path)}: no room for {action.seen.size} bytes on the {side.value} side"
    return Failed(error=NoSpace(message, path=action.path, hint="make room and run again"))


def _creation(action: MakeDirectory) -> MkdirRequest:
    return MkdirRequest(path=action.path, replaces=action.replaces)


def _rename(action: Move) -> RenameRequest:
    return RenameRequest(origin=action.origin, path=action.path, expected=action.expected)


def _amend(action: Touch) -> SetAttributesRequest:
    return SetAttributesRequest(
        path=action.path,
        expected=action.expected,
        mtime_ns=action.mtime_ns,
        executable=action.executable,
    )


def _put(action: Transfer, source: Source | None, *, far: bool) -> WriteRequest:
    seen = action.seen
    lasting = far and source is not None and seen.size >= LASTING
    return WriteRequest(
        path=action.path,
        kind=seen.kind,
        source=source,
        size=seen.size,
        expected=action.expected,
        mtime_ns=seen.mtime_ns,
        executable=action.executable,
        target=seen.target,
        token=_token(action.path, seen) if lasting else b"",
    )


def _token(path: RelPath, seen: Entry) -> bytes:
    """The same for the same content at the source, whatever run asks for it. 8 bytes."""
    named = b"\0".join((path.encode("utf-8", "surrogateescape"), b"%d" % seen.size, seen.version))
    return blake2b(named, digest_size=8).digest()
