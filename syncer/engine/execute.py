"""The executor: carries a plan out phase by phase, and records each fact after it became true.

The stores check every expectation again and return outcomes; a base row is written only for a `Done`, which
is durable by the store's contract. Nothing is decided here. One thread writes the base; transfers run in a
small pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from itertools import groupby, islice

from syncer.engine import paths
from syncer.engine.changes import DIRECTORY, agreement
from syncer.engine.interfaces import (
    BaseStore,
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
SMALL = 1 << 20  # bytes; progress of smaller files is reported when they are done
LASTING = 8 << 20  # bytes from which on a broken-off transfer between machines can be resumed
FACTS = 1000  # base rows in one transaction, for actions that only change the base
FULL_AFTER = 3  # writes refused for lack of space after which a side is taken to be full


@dataclass(slots=True)
class ProgressSource:
    """A source that reports how many bytes were read from it."""

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


class Executor:
    """Runs one plan. `before_deletes` is called before a phase that takes anything away; it may raise."""

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
        """Carry out all actions; yield the report of each as soon as the base has recorded it."""
        for phase, group in phases(actions):
            # The roots are identified once more right before anything is taken away: a disk may have gone
            # since.
            if phase in (Phase.CLEAR_FILES, Phase.DELETES, Phase.REMOVALS):
                self._before_deletes()
            # Actions at a name whose new spelling could not be given wait: their paths do not exist yet.
            ready, waiting = self._respelt.sort_out(group)
            yield from self._recorded(waiting)
            for reports in self._phase(phase, ready):
                # A rename that its store can never do is replaced by the deletion and the transfer that it
                # stood for. They are ordered anew, since a deletion comes after all transfers.
                instead = [a for r in reports for a in _instead(r)]
                yield from self._recorded([r for r in reports if not _instead(r)])
                if instead:
                    yield from self.run(ordered(instead))

    def _recorded(self, reports: Sequence[ActionReport]) -> Iterator[ActionReport]:
        """Record the facts of one batch in one transaction, then report its actions.

        The stores have made every `Done` durable, so a base row never states more than what a power cut
        leaves. If the process dies before this transaction, the next run finds equal content and adopts it.
        """
        facts = [fact for r in reports for fact in r.facts]
        if facts:
            self._memory.record(facts)
        for r in reports:
            if isinstance(r.action, Transfer) and r.action.seen.size <= SMALL:
                self._reporter.moved(r.action.source.other, r.action.seen.size)
            self._reporter.finished(r.action, r.outcome)
            yield r

    def _phase(self, phase: Phase, group: Sequence[Action]) -> Iterator[Sequence[ActionReport]]:
        """The reports of one phase, in batches."""
        match phase:
            case Phase.SPELLINGS:
                return self._spellings(group)
            case Phase.FORGET | Phase.ADOPT:
                return _pieces(map(_noted, group), FACTS)
            case Phase.KEEP_BOTH:
                return ([self._keep_both(a)] for a in group if isinstance(a, KeepBoth))
            case Phase.TRANSFERS:
                return self._transfers([a for a in group if isinstance(a, Transfer)])
            case _:
                return self._on_sides(group)

    def _on_sides(self, group: Sequence[Action]) -> Iterator[list[ActionReport]]:
        """Actions of one type, side by side, in batches of bounded length."""
        for side in Side:
            mine = [a for a in group if _side(a) is side]
            for start in range(0, len(mine), BATCH_FILES):
                batch = mine[start : start + BATCH_FILES]
                outcomes = self._apply(self._stores[side], batch)
                yield [_report(a, outcomes[i]) for i, a in enumerate(batch)]

    def _apply(self, store: Store, group: Sequence[Action]) -> dict[int, Outcome]:
        """One batch of actions of one type on one store; they are the store's requests."""
        match group[0]:
            case Delete():
                return dict(store.delete([a for a in group if isinstance(a, Delete)]))
            case RemoveDirectory():
                return dict(store.remove_directories([a.path for a in group]))
            case MakeDirectory():
                return dict(store.make_directories([a for a in group if isinstance(a, MakeDirectory)]))
            case Move():
                return dict(store.rename([a for a in group if isinstance(a, Move)]))
            case _:
                return dict(store.set_attributes([a for a in group if isinstance(a, Touch)]))

    def _spellings(self, group: Sequence[Action]) -> Iterator[list[ActionReport]]:
        """Parents before children, each known by its new path before the next: only files go together."""
        for _, neighbours in groupby(enumerate(group), key=_of_one_batch):
            ready, waiting = self._respelt.sort_out([action for _, action in neighbours])
            yield waiting
            for action in ready:
                if not isinstance(action, Move):
                    yield [_noted(action)]
            for reports in self._on_sides(ready):
                self._respelt.note(reports)
                yield reports

    # Transfers

    def _transfers(self, transfers: Sequence[Transfer]) -> Iterator[list[ActionReport]]:
        """All transfers, batch by batch; on a bounded pool if there are workers, reports as they come.

        At the first error that ends the run no new batch is begun; those that run are waited for.
        """
        queue = (
            (side, batch)
            for side in Side
            for batch in batches(
                [t for t in transfers if t.source is side], most=BATCH_FILES, size=BATCH_BYTES
            )
        )
        if self._workers <= 1:
            for side, batch in queue:
                yield self._transfer(side, batch)
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="transfer") as pool:
            running: set[Future[list[ActionReport]]] = {
                pool.submit(self._transfer, *job) for job in islice(queue, self._workers)
            }
            while running:
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                # One new batch for each that ended, so that at most `workers` run at once.
                running |= {pool.submit(self._transfer, *job) for job in islice(queue, len(ready))}
                for future in ready:
                    yield future.result()

    def _transfer(self, side: Side, batch: Sequence[Transfer]) -> list[ActionReport]:
        """Bring a batch from `side` to the other side."""
        target = side.other
        store = self._stores[target]
        if self._no_space[target] >= FULL_AFTER:
            full = Skipped(message=f"the {target.value} side is full")
            return [ActionReport(action=t, outcome=full) for t in batch]
        # A transfer that does not fit is refused before it starts, so that a disk is not filled in vain.
        room = store.free_space()
        fitting: list[Transfer] = []
        reports: list[ActionReport] = []
        for transfer in batch:
            if room is not None and transfer.seen.size > room:
                reports.append(ActionReport(action=transfer, outcome=_no_room(transfer, target)))
                continue
            room = None if room is None else room - transfer.seen.size
            fitting.append(transfer)
        if not fitting:
            return reports
        sources = self._sources(side, fitting)
        far = not all(store.capabilities.local for store in self._stores.values())
        requests = [_write_request(t, source, far=far) for t, source in zip(fitting, sources, strict=True)]
        done: dict[int, ActionReport] = {}
        for index, outcome in store.put(requests):
            self._note_space(target, outcome)
            done[index] = self._transferred(fitting[index], sources[index], outcome)
        return [*reports, *(done[index] for index in sorted(done))]

    def _sources(self, side: Side, batch: Sequence[Transfer]) -> list[Source | None]:
        """The content of each file, None for symlinks; large files report their progress as they are read."""
        files = [(t.path, t.seen) for t in batch if t.seen.kind is Kind.FILE]
        opened = iter(self._stores[side].open_many(files))
        sources: list[Source | None] = []
        for transfer in batch:
            source = next(opened) if transfer.seen.kind is Kind.FILE else None
            if source is not None and transfer.seen.size > SMALL:
                source = ProgressSource(source, partial(self._reporter.moved, side.other))
            sources.append(source)
        return sources

    def _transferred(self, action: Transfer, source: Source | None, outcome: Outcome) -> ActionReport:
        if not isinstance(outcome, Done) or outcome.entry is None:
            return ActionReport(action=action, outcome=outcome)
        counted = _counted(action, source, outcome)
        # The row gets the digest of the bytes that were read, not of those that were planned on.
        read = source.entry if source is not None else action.seen
        amended = self._with_executable(action, read)
        if amended is None:
            return ActionReport(action=action, outcome=counted)
        row = _agreed(action.source, amended, outcome.entry)
        return ActionReport(action=action, outcome=counted, facts=(SetBase(path=action.path, entry=row),))

    def _with_executable(self, action: Transfer, read: Entry) -> Entry | None:
        """The source's entry, after it got the executable bit that both sides are to have.

        None where it did not get it: then the sides do not agree, and the former base tells the
        next run whose bit is the newer one.
        """
        if action.executable is None or read.executable in (None, action.executable):
            return read
        request = SetAttributesRequest(
            path=action.path, expected=read, mtime_ns=None, executable=action.executable
        )
        ((_, outcome),) = self._stores[action.source].set_attributes([request])
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

    def _keep_both(self, action: KeepBoth) -> ActionReport:
        """Move the losing file aside, then bring each content to the side where it is missing.

        The rename comes first, so the losing content has a name at every moment. Each step leaves a state
        from which a fresh run goes on by itself: after the rename the loser's side lacks the name and has a
        new file.
        """
        ((_, aside),) = self._stores[action.loser].rename(
            [RenameRequest(origin=action.path, path=action.copy, expected=action.lost)]
        )
        if not isinstance(aside, Done) or aside.entry is None:
            return ActionReport(action=action, outcome=aside)
        lost = replace(aside.entry, digest=aside.entry.digest or action.lost.digest)
        if action.winner.kind is Kind.DIRECTORY:
            ((_, made),) = self._stores[action.loser].make_directories([MkdirRequest(path=action.path)])
            agreed = (SetBase(path=action.path, entry=DIRECTORY),) if isinstance(made, Done) else ()
            steps = [ActionReport(action=action, outcome=made, facts=agreed)]
        else:
            steps = [self._bring(action, action.loser.other, action.path, action.winner)]
        if not action.one_way:
            steps.append(self._bring(action, action.loser, action.copy, lost))
        # The rows of the steps that are done are recorded even if the other one failed: they are true.
        failed = next((s.outcome for s in steps if not isinstance(s.outcome, Done)), None)
        done = [s.outcome for s in steps if isinstance(s.outcome, Done)]
        total = Done(
            method=Method.WHOLE if any(d.method is not Method.NONE for d in done) else Method.NONE,
            sent=sum(d.sent for d in done),
            received=sum(d.received for d in done),
        )
        facts = tuple(f for s in steps for f in s.facts)
        return ActionReport(action=action, outcome=failed or total, facts=facts)

    def _bring(self, action: KeepBoth, source: Side, path: RelPath, seen: Entry) -> ActionReport:
        """Bring one of the two contents to the other side, where `path` must be free."""
        transfer = Transfer(
            path=path,
            reason=action.reason,
            source=source,
            seen=seen,
            expected=None,
            executable=seen.executable,
        )
        (report,) = self._transfer(source, [transfer])
        return report


class Respellings:
    """Outcomes of renames that change only the spelling, for the actions planned at and below these names."""

    def __init__(self) -> None:
        self._failed: set[RelPath] = set()
        self._now: dict[tuple[Side, RelPath], tuple[Entry, Entry]] = {}  # as planned on, and since the rename

    def note(self, results: Iterable[ActionReport]) -> None:
        """Take in the reports of some of these renames."""
        for action, outcome in ((r.action, r.outcome) for r in results):
            if not isinstance(outcome, Done):
                self._failed.add(action.path)
            elif isinstance(action, Move) and outcome.entry is not None:
                self._now[action.side, action.path] = (action.expected, outcome.entry)

    def sort_out(self, group: Sequence[Action]) -> tuple[list[Action], list[ActionReport]]:
        """The actions with updated expectations, and reports for those that wait for a failed rename."""
        if not self._failed and not self._now:
            return list(group), []
        waiting = [a for a in group if self._waits(a)]
        message = "its name, or that of a directory above, is still spelt otherwise on the other side"
        gone = set(map(id, waiting))
        ready = [self._as_now(a) for a in group if id(a) not in gone]
        return ready, [ActionReport(action=a, outcome=Skipped(message=message)) for a in waiting]

    def _waits(self, action: Action) -> bool:
        at = (action.now or action.path) if isinstance(action, Forget) else action.path
        return bool(self._failed) and any(up in self._failed for up in paths.upwards(at))

    def _as_now(self, action: Action) -> Action:
        """The action, expecting the version that the entry has since the rename."""
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
        """The entry with its new version, untrusted: the rename may hide a write made just before it."""
        planned, now = self._now.get((side, path), (entry, entry))
        if now is entry or entry.version != planned.version:
            return entry
        return replace(entry, version=now.version, trusted=False)


def _of_one_batch(numbered: tuple[int, Action]) -> tuple[object, ...]:
    """Group key: renames of files may go together, since none of them can be within another."""
    number, action = numbered
    if isinstance(action, Move) and action.expected.kind is not Kind.DIRECTORY:
        return ("files", action.side)
    return (number,)


def _counted(action: Transfer, source: Source | None, done: Done) -> Done:
    """The outcome with the bytes that crossed the wire, as sent and received by the local side."""
    if action.source is Side.LOCAL:
        return done
    traffic = source.traffic if source is not None else None
    if traffic is None:
        return replace(done, sent=done.received, received=done.sent)
    return replace(done, method=traffic.method, sent=traffic.sent, received=traffic.received)


def _instead(report: ActionReport) -> tuple[Action, ...]:
    """The actions that replace a rename which its store can never do: the deletion and the transfer."""
    if isinstance(report.outcome, Failed) and isinstance(report.outcome.error, Unmovable):
        return report.action.instead if isinstance(report.action, Move) else ()
    return ()


def _side(action: Action) -> Side | None:
    return None if isinstance(action, Transfer | KeepBoth | Adopt | Forget) else action.side


def _pieces(results: Iterable[ActionReport], size: int) -> Iterator[list[ActionReport]]:
    pending = iter(results)
    while piece := list(islice(pending, size)):
        yield piece


def _noted(action: Action) -> ActionReport:
    """The report of an action that changes only the base."""
    if isinstance(action, Forget) and action.now:
        return ActionReport(
            action=action, outcome=Done(), facts=(MoveBase(origin=action.path, path=action.now),)
        )
    if not isinstance(action, Adopt):
        return ActionReport(action=action, outcome=Done(), facts=(ForgetBase(path=action.path),))
    directory = action.local.kind is Kind.DIRECTORY
    row = DIRECTORY if directory else agreement(action.local, action.remote)
    return ActionReport(action=action, outcome=Done(), facts=(SetBase(path=action.path, entry=row),))


def _report(action: Action, outcome: Outcome) -> ActionReport:
    """The outcome of an action on one side, with the facts that a `Done` makes true."""
    return ActionReport(
        action=action,
        outcome=outcome,
        facts=tuple(_facts(action, outcome)) if isinstance(outcome, Done) else (),
    )


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
    """The base row for an entry that `side` holds now (`here`) and the other side showed (`there`)."""
    return agreement(here, there) if side is Side.LOCAL else agreement(there, here)


def _no_room(action: Transfer, side: Side) -> Failed:
    message = f"{paths.printable(action.path)}: no room for {action.seen.size} bytes on the {side.value} side"
    return Failed(error=NoSpace(message, path=action.path, hint="make room and run again"))


def _write_request(action: Transfer, source: Source | None, *, far: bool) -> WriteRequest:
    seen = action.seen
    # A token makes the target keep the part that arrived, if the connection breaks: worth it for large files
    # between machines only.
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
    """Names the content of a transfer across runs: a hash of path, size and version, 8 bytes."""
    named = b"\0".join((path.encode("utf-8", "surrogateescape"), b"%d" % seen.size, seen.version))
    return blake2b(named, digest_size=8).digest()
