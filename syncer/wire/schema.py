"""JSON schema of the protocol: the engine's values to JSON (`…_out`) and back, checked (`…_in`).

Paths are strings; bytes of names that are not UTF-8 travel as lone surrogates, which JSON escapes (PEP 383).
Versions, tokens and fingerprints are opaque bytes in hex. Entries are lists, not objects: a listing has
thousands of them. Every `…_in` raises PermanentError for anything that `docs/extension.md` does not
describe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import TypeVar

from syncer.engine.interfaces import Capabilities, RootState
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Done,
    Entry,
    Failed,
    Kind,
    Listing,
    Method,
    Outcome,
    Seen,
    Skipped,
    Stale,
)
from syncer.engine.paths import parts
from syncer.errors import (
    BadDelta,
    ChangedUnderUs,
    LocalError,
    NoSpace,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    SyncerError,
    TransientError,
    Unholdable,
    Unmovable,
    Unreadable,
)
from syncer.wire.bounded_json import Json, parse

ValueT = TypeVar("ValueT")

_ERRORS: Mapping[str, type[StoreError | LocalError]] = {
    kind.code: kind
    for kind in (
        TransientError,
        PermanentError,
        NotFound,
        QuotaExceeded,
        Unreadable,
        Unholdable,
        Unmovable,
        BadDelta,
        PreconditionFailed,
        LocalError,
        ChangedUnderUs,
        NoSpace,
    )
}
_METHODS: Mapping[str, Method] = {method.value: method for method in Method}
_WIDEST = 1 << 63
_DAY = 86_400  # seconds
_MOUNTS = 10_000  # mount points inside one root
_LONGEST = 64 << 10  # characters of a path; no system call takes more than 4 KiB of one


def malformed(what: str) -> PermanentError:
    """The error of a message that is not as `docs/extension.md` says; `what` was expected."""
    return PermanentError(f"malformed message: {what} was expected")


def take(value: Json, kind: type[ValueT], what: str) -> ValueT:
    """The value itself if it is of type `kind` (a bool is no int). Raises PermanentError."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise malformed(what)
    return value


def object_in(text: bytes | bytearray) -> dict[str, Json]:
    """A JSON object from its text, which was weighed or is small. Raises PermanentError."""
    try:
        value = parse(text)
    except ValueError as error:
        raise malformed("a JSON object") from error
    return take(value, dict, "a JSON object")


def path_in(value: Json) -> str:
    """A relative path without empty parts, `.`, `..` or NUL; "" is the root. Raises PermanentError."""
    found = take(value, str, "a path")
    if found and (len(found) > _LONGEST or any(p in ("", ".", "..") or "\0" in p for p in parts(found))):
        raise malformed("a path")
    return found


def octets(value: Json, what: str = "bytes in hex", most: int = 4096) -> bytes:
    """At most `most` bytes from hex. Raises PermanentError."""
    text = take(value, str, what)
    try:
        found = bytes.fromhex(text)
    except ValueError:
        raise malformed(what) from None
    if len(found) > most:
        raise malformed(what)
    return found


def number(value: Json, what: str = "a number") -> int:
    """An integer of 0 to 2^63 - 1. Raises PermanentError."""
    found = take(value, int, what)
    if not 0 <= found < _WIDEST:
        raise malformed(what)
    return found


def optional(value: Json, read: Callable[[Json], ValueT]) -> ValueT | None:
    """None for null, else `read(value)`."""
    return None if value is None else read(value)


def _flag(value: Json) -> bool:
    return take(value, bool, "true or false")


def _digest(value: Json) -> bytes:
    found = octets(value, "a digest")
    if len(found) != 32:
        raise malformed("a digest")
    return found


# -- entries -------------------------------------------------------------------


def entry_out(entry: Entry) -> Json:
    """`[kind, size, version, mtime_ns, executable, digest, target, trusted]`."""
    return [
        int(entry.kind),
        entry.size,
        entry.version.hex(),
        entry.mtime_ns,
        entry.executable,
        entry.digest.hex() if entry.digest is not None else None,
        entry.target,
        entry.trusted,
    ]


def file_text(
    size: int, version: bytes, mtime_ns: int, executable: bool | None, digest: bytes | None, *, trusted: bool
) -> str:
    """The JSON text of a file's `entry_out`, made without intermediate objects: listings need it fast."""
    bit = "null" if executable is None else "true" if executable else "false"
    known = f'"{digest.hex()}"' if digest is not None else "null"
    return f'[1,{size},"{version.hex()}",{mtime_ns},{bit},{known},null,{"true" if trusted else "false"}]'


def entry_in(value: Json) -> Entry:
    """Raises PermanentError."""
    if not isinstance(value, list) or len(value) != 8:
        raise malformed("an entry")
    kind, size, version, mtime, executable, digest, target, trusted = value
    return Entry(
        kind=kind_in(kind),
        size=number(size, "a size"),
        version=octets(version, "a version"),
        mtime_ns=optional(mtime, lambda v: take(v, int, "a time")),
        executable=optional(executable, _flag),
        digest=optional(digest, _digest),
        target=optional(target, lambda v: take(v, str, "a target")),
        trusted=_flag(trusted),
    )


def file_entry_in(value: Json) -> Entry:
    """The entry of a file. Raises PermanentError."""
    entry = entry_in(value)
    if entry.kind is not Kind.FILE:
        raise malformed("a file")
    return entry


def kind_in(value: Json) -> Kind:
    """Raises PermanentError."""
    found = take(value, int, "a kind")
    if found not in (1, 2, 3):
        raise malformed("a kind")
    return Kind(found)


def seen_out(seen: Seen) -> Json:
    """An entry, `{"trouble", "message"}` for a blocked one, null for an absent one."""
    if isinstance(seen, BlockedEntry):
        return {"trouble": seen.trouble.value, "message": seen.message}
    return entry_out(seen) if seen is not None else None


def seen_in(value: Json) -> Seen:
    """Raises PermanentError."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return entry_in(value)
    try:
        trouble = BlockReason(value.get("trouble"))
    except ValueError:
        raise malformed("a blocked entry") from None
    return BlockedEntry(trouble, take(value.get("message"), str, "a message"))


def listing_out(listing: Listing) -> Json:
    """`[fingerprint, {name: entry or blocked entry}, [leftover, …]]`, and the mount where there is one."""
    fields: list[Json] = [
        listing.fingerprint.hex() if listing.fingerprint is not None else None,
        {name: seen_out(seen) for name, seen in listing.entries.items()},
        list(listing.leftovers),
    ]
    return [*fields, listing.mount] if listing.mount else fields


def listing_in(value: Json) -> Listing:
    """Raises PermanentError. Which names are safe is judged by the engine."""
    if not isinstance(value, list) or len(value) not in (3, 4) or not isinstance(value[1], dict):
        raise malformed("a listing")
    entries: dict[str, Entry | BlockedEntry] = {}
    for name, child in value[1].items():
        seen = seen_in(child)
        if seen is None:
            raise malformed("an entry")
        entries[name] = seen
    return Listing(
        entries=entries,
        fingerprint=optional(value[0], octets),
        leftovers=tuple(path_in(v) for v in take(value[2], list, "a list of leftovers")),
        mount=_mount(value[3]) if len(value) == 4 else "",
    )


# -- outcomes and errors ---------------------------------------------------------


def error_out(error: SyncerError) -> Json:
    """`{"code", "message", "hint", "path"}`; an error without a code of its own is sent as PermanentError."""
    code = getattr(error, "code", PermanentError.code)
    delay = getattr(error, "retry_after", None)
    fields: dict[str, Json] = {"code": code, "message": error.message, "hint": error.hint, "path": error.path}
    return {**fields, "retry_after": delay} if delay is not None else fields


def error_in(value: Json) -> StoreError | LocalError:
    """Raises PermanentError if it is no error. An unknown code becomes PermanentError too."""
    if not isinstance(value, dict):
        raise malformed("an error")
    texts = [take(value.get(key, ""), str, "an error") for key in ("code", "message", "hint", "path")]
    code, message, hint, path = (text[:4096] for text in texts)
    kind = _ERRORS.get(code, PermanentError)
    delay = value.get("retry_after")
    if kind is TransientError and isinstance(delay, int | float) and not isinstance(delay, bool):
        retry_after = float(min(max(delay, 0), _DAY)) if delay == delay else None  # NaN: none
        return TransientError(message, hint=hint, path=path, retry_after=retry_after)
    return kind(message, hint=hint, path=path)


def outcome_out(outcome: Outcome) -> Json:
    """`["done", entry, method]`, `["stale", message]`, `["failed", error]`, `["skipped", message]`."""
    match outcome:
        case Done():
            return ["done", seen_out(outcome.entry), outcome.method.value]
        case Stale():
            return ["stale", outcome.message]
        case Skipped():
            return ["skipped", outcome.message]
        case Failed():
            return ["failed", error_out(outcome.error)]


def outcome_in(value: Json) -> Outcome:
    """Raises PermanentError. Byte counts do not travel: each end counts what it sent and received."""
    match value:
        case ["done", entry, str(method)] if method in _METHODS:
            return Done(entry=optional(entry, entry_in), method=_METHODS[method])
        case ["stale", str(message)]:
            return Stale(message=message[:4096])
        case ["skipped", str(message)]:
            return Skipped(message=message[:4096])
        case ["failed", error]:
            return Failed(error=error_in(error))
        case _:
            raise malformed("an outcome")


# -- roots and capabilities ---------------------------------------------------------


def root_out(state: RootState | None) -> Json:
    """`{"marker", "device", "empty", "mounts", "folder"}`, null where there is no root."""
    return None if state is None else asdict(state)


def root_in(value: Json) -> RootState | None:
    """Raises PermanentError."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise malformed("a root")
    return RootState(
        marker=take(value.get("marker"), str, "a marker"),
        device=take(value.get("device"), str, "a device"),
        empty=_flag(value.get("empty")),
        mounts=optional(value.get("mounts"), _mounts),
        folder=take(value.get("folder", ""), str, "a folder"),
    )


def _mounts(value: Json) -> dict[str, str]:
    """Mount points with what is mounted there; the root itself is none."""
    if not isinstance(value, dict) or len(value) > _MOUNTS or "" in value:
        raise malformed("mounts")
    return {path_in(point): _mount(identity) for point, identity in value.items()}


def _mount(value: Json) -> str:
    found = take(value, str, "a mount")
    if len(found) > 64:
        raise malformed("a mount")
    return found


def capabilities_out(capabilities: Capabilities) -> Json:
    """All fields by name."""
    return asdict(capabilities)


def capabilities_in(value: Json) -> Capabilities:
    """Missing fields have their defaults, unknown ones are ignored. Raises PermanentError."""
    if not isinstance(value, dict):
        raise malformed("capabilities")
    known = {f.name: f.default for f in fields(Capabilities)}
    accepted = {name: given for name, given in value.items() if name in known}
    for name, given in accepted.items():
        take(given, type(known[name]), f"a value for {name}")
    return Capabilities(**accepted)  # type: ignore[arg-type]
