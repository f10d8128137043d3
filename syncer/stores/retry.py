"""A store that tries again what failed for the moment.

Only `TransientError` is tried again, by the one `retry_policy`: tries that a layer below made of the same
request count. A write whose reply may have been lost is never blindly repeated: first a look tells whether
it took effect. A source tries again by itself. Where thing after thing is given up, a `retry` ends the
waiting: what follows fails at once, and the run ends with the first batch that is begun after that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from blake3 import blake3

from syncer.engine.interfaces import (
    DeleteRequest,
    LocalBasis,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    SetAttributesRequest,
    Source,
    Store,
    TransferStats,
    WriteRequest,
)
from syncer.engine.model import Done, Entry, Failed, Kind, Listing, Method, Outcome, RelPath, Seen
from syncer.errors import LocalError, StoreError, SyncerError, TransientError
from syncer.stores.base import StoreWrapper
from syncer.stores.remote import effects
from syncer.stores.retry_policy import POLICY, Attempts, RetryPolicy

# --------------------------------------------------------------------------------
#
# Whether the other side still answers: so that a dead line costs minutes, not hours.
#
# Counts what was given up after all tries, in a row. From `MANY` on nothing is tried more than once, until
# something works again; and if then the other side does not even answer a plain question, nothing is asked
# any more. It asks nothing itself, and knows nothing of stores.


MANY = 3  # things given up in a row


class CircuitBreaker:
    """For several threads. `name`: who is to answer; `probe`: the plain question, which may raise."""

    def __init__(self, name: Callable[[], str], probe: Callable[[], object]) -> None:
        self._name = name
        self._probe = probe
        self._given_up = 0
        self._dead: TransientError | None = None
        self._lock = threading.Lock()

    @property
    def tired(self) -> bool:
        """Whether one try must do."""
        return self._given_up >= MANY

    @property
    def dead(self) -> TransientError | None:
        """Why nothing is to be asked; None while the other side answers."""
        return self._dead

    def check(self) -> None:
        """Raises TransientError if the other side does not answer any more."""
        if self._dead is not None:
            raise self._dead

    def worked(self) -> None:
        """Something did: all is well again."""
        with self._lock:
            self._given_up, self._dead = 0, None

    def gave_up(self, error: TransientError) -> None:
        """Something did not work, however often it was tried."""
        with self._lock:
            self._given_up += 1
        if self.tired and not self._answers():
            with self._lock:
                self._dead = self._dead or TransientError(
                    f"{self._name()} does not answer any more: {error.message}",
                    hint="what is left is done by the next run",
                )

    def _answers(self) -> bool:
        try:
            self._probe()
        except TransientError:
            return False
        except SyncerError:
            return True  # it says no, but it says something
        return True


ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class RetryingStore(StoreWrapper):
    """`sleep` takes seconds, as `Clock.sleep` does."""

    def __init__(self, inner: Store, *, sleep: Callable[[float], None], policy: RetryPolicy = POLICY) -> None:
        super().__init__(inner)
        self._sleep = sleep
        self._policy = policy
        self._circuit = CircuitBreaker(lambda: inner.identity, inner.root)

    # -- looking -------------------------------------------------------------

    def root(self) -> RootState | None:
        """Asked even if nothing else is asked any more: every run begins with it."""
        return self._insistently(self.inner.root)

    def create_root(self) -> None:
        self._again(self.inner.create_root)

    def mark(self, marker: str, *, only_first: bool = False) -> None:
        self._again(lambda: self.inner.mark(marker, only_first=only_first))

    def list(self, path: RelPath) -> Listing:
        return self._again(lambda: self.inner.list(path))

    def look(self, path: RelPath) -> Seen:
        return self._again(lambda: self.inner.look(path))

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return self._again(lambda: self.inner.left_out(paths))

    def read_small(self, path: RelPath, limit: int) -> bytes:
        return self._again(lambda: self.inner.read_small(path, limit))

    def digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        """Goes on where it broke off."""
        self._circuit.check()
        done = 0
        while done < len(wanted):
            found = self.inner.digests(wanted[done:])
            try:
                for seen in found:
                    yield seen
                    done += 1
                return
            except TransientError as error:
                one = partial(self.inner.digests, wanted[done : done + 1])
                yield from self._again(lambda one=one: [*one()], failed=error)  # type: ignore[misc]
                done += 1

    def open(self, path: RelPath, expected: Entry) -> Source:
        return _WatchedSource(self.inner.open(path, expected), self._circuit)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [_WatchedSource(source, self._circuit) for source in self.inner.open_many(wanted)]

    def changed(self, known: Iterable[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        return self.inner.changed(known)

    def _again(
        self,
        call: Callable[[], ResultT],
        *,
        failed: TransientError | None = None,
        attempts: Attempts | None = None,
    ) -> ResultT:
        """Calls until it works; `failed`: how the first try ended, which was made already."""
        self._circuit.check()
        return self._insistently(call, failed=failed, attempts=attempts)

    def _insistently(
        self,
        call: Callable[[], ResultT],
        *,
        failed: TransientError | None = None,
        attempts: Attempts | None = None,
    ) -> ResultT:
        attempts = attempts or Attempts(self._policy)
        attempts.most = 1 if self._circuit.tired else self._policy.tries
        tries = 0
        with attempts.shared():
            while True:
                try:
                    if failed is None:
                        result = call()
                        break
                    first, failed = failed, None
                    raise first
                except TransientError as error:
                    tries += 1
                    try:
                        attempts.wait(error, self._sleep, tries)
                    except TransientError as last:
                        self._circuit.gave_up(last)
                        raise
        self._circuit.worked()
        return result

    # -- changing --------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._batches(items, self.inner.put, self._was_put)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._batches(items, self.inner.delete, self._was_deleted)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._batches(items, self.inner.make_directories, self._was_made)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._batches(paths, self.inner.remove_directories, _nothing)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._batches(items, self.inner.rename, self._was_renamed)

    def amend(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._batches(items, self.inner.amend, self._was_amended)

    def _batches(
        self,
        items: Sequence[ItemT],
        send: Callable[[Sequence[ItemT]], Results],
        took_effect: Callable[[ItemT], Outcome | None],
    ) -> Results:
        """Sends all; what failed for the moment is looked at, and sent again if it did not take effect.

        Raises TransientError if the other side does not answer any more; where it falls silent meanwhile,
        the rest fails.
        """
        if items:
            self._circuit.check()
        left = set(range(len(items)))
        attempts, results = Attempts(self._policy), iter(send(items))
        while True:
            with attempts.shared():
                found = next(results, None)
            if found is None:
                break
            index, outcome = found
            left.discard(index)
            if not isinstance(outcome, Failed):
                attempts.progress()
            if isinstance(outcome, Failed) and isinstance(outcome.error, TransientError):
                outcome = self._insist(items[index], outcome.error, send, took_effect, attempts)
            elif not isinstance(outcome, Failed):
                self._circuit.worked()
            yield index, outcome
            if self._circuit.dead is not None:
                break
        if left and (dead := self._circuit.dead) is not None:
            yield from ((index, Failed(error=dead)) for index in sorted(left))

    def _insist(
        self,
        item: ItemT,
        error: TransientError,
        send: Callable[[Sequence[ItemT]], Results],
        took_effect: Callable[[ItemT], Outcome | None],
        attempts: Attempts,
    ) -> Outcome:
        def once() -> Outcome:
            known = took_effect(item)
            return known if known is not None else _only(send([item]))

        try:
            return self._again(once, failed=error, attempts=attempts)
        except (StoreError, LocalError) as last:
            return Failed(error=last)

    # -- did it take effect? -----------------------------------------------------

    def _was_put(self, item: WriteRequest) -> Outcome | None:
        """Done if the name holds exactly what was to be put (and did not before)."""
        found = self.inner.look(item.path)
        if not isinstance(found, Entry) or found.kind is not item.kind:
            return None
        if item.expected is not None and found.version == item.expected.version:
            return None
        if item.kind is Kind.SYMLINK:
            return _done(found) if found.target == item.target else None
        if found.size != item.size or item.source is None:
            return None
        seen = next(iter(self.inner.digests([(item.path, found)])), None)
        if isinstance(seen, Entry) and seen.digest is not None and seen.digest == _digest(item.source):
            return _done(seen)
        return None

    def _was_deleted(self, item: DeleteRequest) -> Outcome | None:
        return effects.was_deleted(self.inner.look(item.path))

    def _was_made(self, item: MkdirRequest) -> Outcome | None:
        return effects.was_made(self.inner.look(item.path))

    def _was_renamed(self, item: RenameRequest) -> Outcome | None:
        target = self.inner.look(item.path)
        return effects.was_renamed(item, origin=self.inner.look(item.origin), target=target)

    def _was_amended(self, item: SetAttributesRequest) -> Outcome | None:
        return effects.was_amended(item, self.inner.look(item.path))


class _WatchedSource:
    """A source whose end tells whether the other side answers; not even begun if it does not."""

    def __init__(self, inner: Source, circuit: CircuitBreaker) -> None:
        self._inner = inner
        self._circuit = circuit

    @property
    def entry(self) -> Entry:
        return self._inner.entry

    @property
    def traffic(self) -> TransferStats | None:
        return self._inner.traffic

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        self._circuit.check()
        try:
            yield from self._inner.chunks(basis)
        except TransientError as error:
            self._circuit.gave_up(error)
            raise
        self._circuit.worked()


def _nothing(path: RelPath) -> None:
    """Removing a directory twice is the same as once."""


def _only(results: Results) -> Outcome:
    """The outcome of a single item; raises if it failed for the moment."""
    (_, outcome), *_ = results
    if isinstance(outcome, Failed) and isinstance(outcome.error, TransientError):
        raise outcome.error
    return outcome


def _done(entry: Entry) -> Done:
    return Done(entry=entry, method=Method.WHOLE, sent=entry.size)


def _digest(source: Source) -> bytes:
    hasher = blake3()
    for chunk in source.chunks():
        hasher.update(chunk)
    return hasher.digest()
