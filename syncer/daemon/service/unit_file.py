"""Definition file of the service: written atomically, and never over changes that were made by hand.

A comment in the file contains a digest of the rest. If it does not match or is missing, the file was changed
or is not Syncer's: then it is replaced only with `force`, and a backup is kept beside it.
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
    """State of the file at the path of the definition."""

    MISSING = "missing"
    CURRENT = "current"  # exactly what would be written
    OUTDATED = "outdated"  # written by Syncer, with other content
    FOREIGN = "foreign"  # changed by hand, or not Syncer's


def marked(text: str) -> str:
    """The text with its digest in a comment at the top (in XML below the declaration)."""
    if text.startswith("<?xml"):
        head, _, rest = text.partition("\n")
        return f"{head}\n<!-- {_MARK}{_digest(text)} -->\n{rest}"
    return f"# {_MARK}{_digest(text)}\n{text}"


def state(path: Path, text: str | None = None) -> UnitFileState:
    """State of the file, compared with `text` (from `marked`) if given. Raises LocalError."""
    if path.is_symlink():
        return UnitFileState.FOREIGN  # set up by the user, or a masked unit
    try:
        found = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return UnitFileState.MISSING
    except OSError as error:
        raise _trouble(path, "read", error) from None
    if found == text:
        return UnitFileState.CURRENT
    return UnitFileState.OUTDATED if is_ours(found) else UnitFileState.FOREIGN


def is_ours(text: str) -> bool:
    """Whether the digest in the text matches: Syncer wrote it, and nobody changed it."""
    found = _FOUND.search(text)
    return found is not None and found[1] == _digest(text[: found.start()] + text[found.end() :])


def write(path: Path, text: str, *, force: bool) -> Path | None:
    """Write the definition; returns the backup of a file changed by hand. Raises UsageError, LocalError."""
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
        descriptor, temporary = tempfile.mkstemp(prefix=".syncer-tmp-", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise _trouble(path, "written", error) from None
    return kept


def remove(path: Path, *, force: bool) -> Path | None:
    """Remove the definition; returns the backup of a file changed by hand. Raises UsageError, LocalError."""
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
    """Raises UsageError if the file was changed by hand and `force` is not set."""
    if state(path) is UnitFileState.FOREIGN and not force:
        raise UsageError(
            f"{path} was changed by hand, or is not Syncer's",
            hint="--force takes it out of service and keeps a copy beside it",
        )


def _keep(path: Path) -> Path:
    """Rename the file to a backup name that is free."""
    number = 0
    while True:
        number += 1
        kept = path.with_name(f"{path.name}.{number}.bak")
        if not os.path.lexists(kept):
            os.rename(path, kept)
            return kept


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _trouble(path: Path, what: str, error: OSError) -> LocalError:
    return LocalError(f"{path}: cannot be {what}: {error.strerror}", path=str(path))
