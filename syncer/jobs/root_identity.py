"""Root identity: check before a run that both roots are those that the state belongs to, or refuse it.

The first run of a pair takes the roots as they are: the remote one is made where it is
missing, both get a marker (one that is there already is adopted, since jobs may share a
folder), and the memory keeps both. Later the roots must be the same. The decision itself is in
`engine.guards`; here are its effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from secrets import token_hex

from syncer.engine import guards
from syncer.engine.interfaces import BaseStore, ForgetBase, RootState, Store
from syncer.engine.model import Side
from syncer.errors import (
    ConfigError,
    GuardTripped,
    NotFound,
    PermanentError,
    StoreError,
    TransientError,
    Unidentified,
)

Names = Mapping[Side, str]  # what to call each root in a message


def admit(
    memory: BaseStore,
    local: Store,
    remote: Store,
    *,
    names: Names,
    accept: bool,
    source: Side | None = None,
) -> Mapping[Side, RootState]:
    """Let the run begin, with markers and memory in place; the answer is the two roots as they are.

    `accept` (--yes) takes replaced roots, and a service's that is gone, as a first run: what was known is
    forgotten, so nothing can be deleted because of it. `source` is the side that a one-way job only reads:
    it is marked if it can be, and known by what the memory keeps if it cannot. Raises GuardTripped,
    ConfigError, StoreError.
    """
    if _is_first(memory):
        return _begin(memory, local, remote, names, source)
    found = {
        side: _marked_again(memory, side, store, _later(store), only_read=side is source)
        for side, store in ((Side.LOCAL, local), (Side.REMOTE, remote))
    }
    refusals = _refusals(memory, found, names, _remakable(remote, found[Side.REMOTE], source))
    if not refusals:
        there = {side: state for side, state in found.items() if state is not None}
        _learn_markers(memory, there)
        guards.remember_folders(memory, there)
        return there
    if not accept or not acceptable(refusals):
        raise refusals[0]
    memory.record([ForgetBase(path="")])
    return _begin(memory, local, remote, names, source)


def refused(
    memory: BaseStore, local: Store, remote: Store, *, names: Names, source: Side | None = None
) -> list[GuardTripped] | None:
    """Why these roots must not be synced; None on a first run, which has no past to compare with."""
    if _is_first(memory):
        return None
    found = {Side.LOCAL: _later(local), Side.REMOTE: _later(remote)}
    for side, store in ((Side.LOCAL, local), (Side.REMOTE, remote)):
        state = found[side]
        if state is not None and _lost_its_marker(memory, side, store, state):
            found[side] = replace(state, marker=guards.remembered(memory, side).marker)
    return _refusals(memory, found, names, _remakable(remote, found[Side.REMOTE], source))


def _marked_again(
    memory: BaseStore, side: Side, store: Store, state: RootState | None, *, only_read: bool
) -> RootState | None:
    """A root that is known and only lost its marker gets the same one again."""
    if state is None or not _lost_its_marker(memory, side, store, state):
        return state
    try:
        store.write_root_id(guards.remembered(memory, side).marker, only_first=True)
    except StoreError as error:
        if not only_read or isinstance(error, TransientError):
            raise
        return state
    return _later(store)


def _lost_its_marker(memory: BaseStore, side: Side, store: Store, state: RootState) -> bool:
    known = guards.remembered(memory, side)
    if state.marker or known.marker == guards.UNMARKED:
        return False
    return guards.lost_its_marker(known, state, store.list("").entries, memory)


def _remakable(remote: Store, seen: RootState | None, source: Side | None) -> bool:
    """Whether a remote root is missing and may be made anew: of a service it is known that it is gone."""
    return seen is None and source is not Side.REMOTE and not remote.identity.startswith("local:")


def _learn_markers(memory: BaseStore, found: Mapping[Side, RootState]) -> None:
    """A source that could not be marked, and was by somebody else, is known by that from now on."""
    for side, state in found.items():
        if state.marker and guards.remembered(memory, side).marker == guards.UNMARKED:
            memory.set(**{f"{side.value}_root": state.marker})


def _is_first(memory: BaseStore) -> bool:
    return guards.is_first(guards.remembered(memory, Side.LOCAL), guards.remembered(memory, Side.REMOTE))


def _refusals(
    memory: BaseStore, found: Mapping[Side, RootState | None], names: Names, remakable: bool
) -> list[GuardTripped]:
    known = {side: guards.remembered(memory, side) for side in Side}
    anew = {Side.LOCAL: False, Side.REMOTE: remakable}
    told = [guards.refusal(s, known[s], found[s], names[s], remakable=anew[s]) for s in Side]
    return [refusal for refusal in told if refusal]


def acceptable(refusals: list[GuardTripped]) -> bool:
    """Whether a person may wave them through: another root yes, a missing one where it can be made anew."""
    return all(refusal.acceptable for refusal in refusals)


def _later(store: Store) -> RootState | None:
    """A root that is no directory (any more) is as missing as one that is gone."""
    try:
        return store.root()
    except Unidentified as error:
        raise ConfigError(error.message, hint=error.hint) from error
    except PermanentError:
        return None


def require_local(store: Store, where: str) -> RootState:
    """The local root of a first run. Raises ConfigError."""
    return _first(store, lambda: _missing_local(where), where)


def check_first(local: Store, remote: Store, names: Names, *, source: Side | None) -> None:
    """What a first run would find wrong with the roots as they are. Raises ConfigError, StoreError."""
    require_local(local, names[Side.LOCAL])
    try:
        seen = remote.root()
    except PermanentError as error:
        raise _no_root(error, names[Side.REMOTE]) from error
    if seen is None and source is Side.REMOTE:
        raise _missing_source(names[Side.REMOTE])


def _begin(
    memory: BaseStore, local: Store, remote: Store, names: Names, source: Side | None
) -> Mapping[Side, RootState]:
    require_local(local, names[Side.LOCAL])
    if source is Side.REMOTE:
        _first(remote, lambda: _missing_source(names[Side.REMOTE]), names[Side.REMOTE])
    else:
        _make_if_missing(remote, names[Side.REMOTE])
    stores = {Side.LOCAL: local, Side.REMOTE: remote}
    found = {side: _marked(stores[side], only_read=side is source) for side in Side}
    guards.remember(memory, found[Side.LOCAL], found[Side.REMOTE])
    return found


def _first(store: Store, missing: Callable[[], ConfigError], where: str) -> RootState:
    try:
        seen = store.root()
    except PermanentError as error:
        raise _no_root(error, where) from error
    if seen is None:
        raise missing()
    return seen


def _no_root(error: PermanentError, where: str) -> ConfigError:
    if isinstance(error, Unidentified):
        return ConfigError(error.message, hint=error.hint)
    return ConfigError(f"{where}: {error.message}", hint=error.hint or "a root must be a folder")


def _missing_local(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: the local folder does not exist", hint="make it, or change `local` to the right folder"
    )


def _missing_source(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: what is to be pulled from does not exist",
        hint="a pull job changes nothing there: make it, or change `remote` to the right place",
    )


def _make_if_missing(remote: Store, where: str) -> None:
    try:
        if remote.root() is None:
            remote.create_root()
    except NotFound as error:
        raise ConfigError(
            f"{where}: the remote folder cannot be made: its parent does not exist",
            hint="make the parent, or change `remote` to the right place",
        ) from error
    except PermanentError as error:
        raise _no_root(error, where) from error


def _marked(store: Store, *, only_read: bool) -> RootState:
    """The root with a marker; one that is there is kept, for another job may know the folder by it.

    `only_read`: one that cannot be written to will do; then the following side alone has a marker.
    """
    seen = store.root()
    if seen is not None and not seen.marker:
        try:
            # Of several first runs at once one marker stands.
            store.write_root_id(token_hex(16), only_first=True)
        except StoreError as error:
            if not only_read or isinstance(error, TransientError):
                raise
            return replace(seen, marker=guards.UNMARKED)
        seen = store.root()
    if seen is None or not seen.marker:
        raise GuardTripped(
            guards.MISSING, "a root vanished while the run began", hint="nothing was changed; run again"
        )
    return seen
