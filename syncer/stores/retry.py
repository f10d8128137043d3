"""`RetryingStore`: a store wrapper that repeats calls that failed with a TransientError.

The one `retry_policy` bounds the tries; those that a layer below made of the same request count. A write
whose reply may have been lost is never blindly repeated: first a stat tells whether it took effect. A source
retries by itself. After several failures in a row a circuit breaker opens: calls fail at once, and the run
ends with the first batch that is begun after that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from blake3 import blake3

from syncer.engine.interfaces import (
    DeleteRequest,
    KnownDirectories,
    LocalBasis,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    Scan,
    SetAttributesRequest,
    Source,
    Store,
    TransferStats,
    WriteRequest,
)
from syncer.engine.model import Done, Entry, Failed, Kind, Listing, Method, Outcome, RelPath, Seen
from syncer.errors import LocalError, StoreError, SyncerError, TransientError
from syncer.stores.base import ScanBase, StoreWrapper
from syncer.stores.remote import effects
from syncer.stores.retry_policy import POLICY, Attempts, RetryPolicy

# --------------------------------------------------------------------------------
#
# Circuit breaker: a service that does not answer costs minutes, not hours.
#
# Counts calls in a row that failed after all tries. From `MANY` on nothing is tried more than once, until a
# call succeeds; and if the service does not even answer the probe then, nothing is asked any more.


MANY = 3  # failures in a row


class CircuitBreaker:
    """Safe for several threads. `name` names the service; `probe` is a cheap call, which may raise."""

    def __init__(self, name: Callable[[], str], probe: Callable[[], object]) -> None:
        self._name = name
        self._probe = probe
        self._failures = 0
        self._open_error: TransientError | None = None
        self._lock = threading.Lock()

    @property
    def degraded(self) -> bool:
        """True if calls get one try only."""
        return self._failures >= MANY

    @property
    def open_error(self) -> TransientError | None:
        """The error that all calls fail with; None while the service answers."""
        return self._open_error

    def check(self) -> None:
        """Raises TransientError if the circuit is open."""
        if self._open_error is not None:
            raise self._open_error

    def record_success(self) -> None:
        """A call succeeded: reset the count, and close the circuit."""
        with self._lock:
            self._failures, self._open_error = 0, None

    def record_failure(self, error: TransientError) -> None:
        """A call failed after all its tries; probe the service if too many did in a row."""
        with self._lock:
            self._failures += 1
        if self.degraded and not self._answers():
            with self._lock:
                self._open_error = self._open_error or TransientError(
                    f"{self._name()} does not answer any more: {error.message}",
                    hint="what is left is done by the next run",
                )

    def _answers(self) -> bool:
        try:
            self._probe()
        except TransientError:
            return False
        except SyncerError:
            return True  # a refusal is an answer
        return True


ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class RetryingStore(StoreWrapper):
    """Wraps `inner`; `sleep` takes seconds, as `Clock.sleep` does."""

    def __init__(self, inner: Store, *, sleep: Callable[[float], None], policy: RetryPolicy = POLICY) -> None:
        super().__init__(inner)
        self._sleep = sleep
        self._policy = policy
        self._circuit = CircuitBreaker(lambda: inner.identity, inner.root)

    # -- looking -------------------------------------------------------------

    def root(self) -> RootState | None:
        """Asked even if the circuit is open: every run begins with it."""
        return self._insistently(self.inner.root)

    def create_root(self) -> None:
        self._again(self.inner.create_root)

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self._again(lambda: self.inner.write_root_id(marker, only_first=only_first))

    def scan(self, known: KnownDirectories) -> Scan:
        return _RetryingScan(self.inner.scan(known), self._again)

    def list(self, path: RelPath) -> Listing:
        return self._again(lambda: self.inner.list(path))

    def stat(self, path: RelPath) -> Seen:
        return self._again(lambda: self.inner.stat(path))

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return self._again(lambda: self.inner.left_out(paths))

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return self._again(lambda: self.inner.read_file(path, limit))

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        """Resumes after a failure with the entry at which it occurred."""
        self._circuit.check()
        done = 0
        while done < len(wanted):
            found = self.inner.with_digests(wanted[done:])
            try:
                for seen in found:
                    yield seen
                    done += 1
                return
            except TransientError as error:
                one = partial(self.inner.with_digests, wanted[done : done + 1])
                yield from self._again(lambda one=one: [*one()], failed=error)  # type: ignore[misc]
                done += 1

    def open(self, path: RelPath, expected: Entry) -> Source:
        return _WatchedSource(self.inner.open(path, expected), self._circuit)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [_WatchedSource(source, self._circuit) for source in self.inner.open_many(wanted)]

    def _again(
        self,
        call: Callable[[], ResultT],
        *,
        failed: TransientError | None = None,
        attempts: Attempts | None = None,
    ) -> ResultT:
        """Call until it succeeds; `failed`: the error of the first try, if that was made already."""
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
        attempts.most = 1 if self._circuit.degraded else self._policy.tries
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
                        self._circuit.record_failure(last)
                        raise
        self._circuit.record_success()
        return result

    # -- changing --------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._batches(items, self.inner.put, self._was_written)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._batches(items, self.inner.delete, self._was_deleted)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._batches(items, self.inner.make_directories, self._was_made)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._batches(paths, self.inner.remove_directories, _nothing)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._batches(items, self.inner.rename, self._was_renamed)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._batches(items, self.inner.set_attributes, self._attributes_were_set)

    def _batches(
        self,
        items: Sequence[ItemT],
        send: Callable[[Sequence[ItemT]], Results],
        took_effect: Callable[[ItemT], Outcome | None],
    ) -> Results:
        """Send all items; for each transient failure check whether it took effect, and send it again if not.

        Raises TransientError if the circuit is open; if it opens meanwhile, the remaining items fail.
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
                self._circuit.record_success()
            yield index, outcome
            if self._circuit.open_error is not None:
                break
        if left and (dead := self._circuit.open_error) is not None:
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

    def _was_written(self, item: WriteRequest) -> Outcome | None:
        """Done if the name holds exactly the content that was to be written, and did not before."""
        found = self.inner.stat(item.path)
        if not isinstance(found, Entry) or found.kind is not item.kind:
            return None
        if item.expected is not None and found.version == item.expected.version:
            return None
        if item.kind is Kind.SYMLINK:
            return _done(found) if found.target == item.target else None
        if found.size != item.size or item.source is None:
            return None
        seen = next(iter(self.inner.with_digests([(item.path, found)])), None)
        if isinstance(seen, Entry) and seen.digest is not None and seen.digest == _digest(item.source):
            return _done(seen)
        return None

    def _was_deleted(self, item: DeleteRequest) -> Outcome | None:
        return effects.was_deleted(self.inner.stat(item.path))

    def _was_made(self, item: MkdirRequest) -> Outcome | None:
        return effects.was_made(self.inner.stat(item.path))

    def _was_renamed(self, item: RenameRequest) -> Outcome | None:
        target = self.inner.stat(item.path)
        return effects.was_renamed(item, origin=self.inner.stat(item.origin), target=target)

    def _attributes_were_set(self, item: SetAttributesRequest) -> Outcome | None:
        return effects.was_amended(item, self.inner.stat(item.path))


class _RetryingScan(ScanBase):
    """A scan whose listings are tried again. Stores do that for `changed` themselves, request by request."""

    def __init__(self, inner: Scan, again: Callable[[Callable[[], Listing]], Listing]) -> None:
        self._inner = inner
        self._again = again

    def changed(self) -> Iterable[RelPath]:
        return self._inner.changed()

    def list(self, path: RelPath) -> Listing:
        return self._again(lambda: self._inner.list(path))

    def close(self) -> None:
        self._inner.close()


class _WatchedSource:
    """A source that reports its success or failure to the circuit breaker, and is not begun if it is open."""

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
            self._circuit.record_failure(error)
            raise
        self._circuit.record_success()


def _nothing(path: RelPath) -> None:
    """No check: removing a directory twice is the same as once."""


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
