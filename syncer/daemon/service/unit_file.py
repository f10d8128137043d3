"""A definition's file: written whole or not at all, and never over what a person changed by hand.

The first line that is ours holds a digest of the rest. Where it fits, nobody touched the file; where it does
not, or is missing, only force goes on, and what was there is kept beside it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from enum import Enum
from pathlib import Path

from syncer.errors import LocalError, UsageError

_MARK = "Made by `syncer service install`; changes belong elsewhere. Digest: "
_FOUND = re.compile(r"^(?:# |<!-- )" + re.escape(_MARK) + r"([0-9a-f]{32})(?: -->)?\n", re.MULTILINE)


class UnitFileState(Enum):
    """What stands where the definition belongs."""

    MISSING = "missing"
    CURRENT = "current"  # exactly what would be written
    OUTDATED = "outdated"  # written by us, for something else
    FOREIGN = "foreign"  # changed by hand, or never ours


def marked(text: str) -> str:
    """The text with its digest: a comment at the top, in XML below the declaration."""
    if text.startswith("<?xml"):
        head, _, rest = text.partition("\n")
        return f"{head}\n<!-- {_MARK}{_digest(text)} -->\n{rest}"
    return f"# {_MARK}{_digest(text)}\n{text}"


def state(path: Path, text: str | None = None) -> UnitFileState:
    """How what is there stands to `text` (marked); without one it is ours, or not. Raises LocalError."""
    if path.is_symlink():
        return UnitFileState.FOREIGN  # somebody's own arrangement, or masked
    try:
        there = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return UnitFileState.MISSING
    except OSError as error:
        raise _trouble(path, "read", error) from None
    if there == text:
        return UnitFileState.CURRENT
    return UnitFileState.OUTDATED if is_ours(there) else UnitFileState.FOREIGN


def is_ours(text: str) -> bool:
    """Whether the text is as we wrote it once."""
    found = _FOUND.search(text)
    return found is not None and found[1] == _digest(text[: found.start()] + text[found.end() :])


def write(path: Path, text: str, *, force: bool) -> Path | None:
    """Put the definition there; answers where a person's own is kept. Raises UsageError, LocalError."""
    found = state(path, text)
    if found is UnitFileState.CURRENT:
        return None
    if found is UnitFileState.FOREIGN and not force:
        raise UsageError(
            f"{path} was changed by hand, or is not Syncer's",
            hint="--force replaces it and keeps a copy beside it",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _keep(path) if found is UnitFileState.FOREIGN else None
        _replace(path, text)
    except OSError as error:
        raise _trouble(path, "written", error) from None
    return kept


def remove(path: Path, *, force: bool) -> Path | None:
    """Take the definition away; answers where a person's own is kept. Raises UsageError, LocalError."""
    found = state(path)
    if found is UnitFileState.MISSING:
        return None
    check_removable(path, force=force)
    try:
        if found is UnitFileState.FOREIGN:
            return _keep(path)
        path.unlink()
    except OSError as error:
        raise _trouble(path, "removed", error) from None
    return None


def check_removable(path: Path, *, force: bool) -> None:
    """Raises UsageError where a person's changes would go."""
    if state(path) is UnitFileState.FOREIGN and not force:
        raise UsageError(
            f"{path} was changed by hand, or is not Syncer's",
            hint="--force takes it out of service and keeps a copy beside it",
        )


def _keep(path: Path) -> Path:
    """Give it a name that is free: nobody's copy is written over."""
    number = 0
    while True:
        number += 1
        kept = path.with_name(f"{path.name}.{number}.bak")
        if not os.path.lexists(kept):
            os.rename(path, kept)
            return kept


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".syncer-tmp-", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _trouble(path: Path, what: str, error: OSError) -> LocalError:
    return LocalError(f"{path}: cannot be {what}: {error.strerror}", path=str(path))
