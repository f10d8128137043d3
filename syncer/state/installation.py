"""Installation id: identifies one state directory on one machine, for names that must not collide.

A random number in the state directory, hashed with the id of the machine and the path of the directory: state
directories are copied to other machines and to other paths, and a copy must have another id.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import Final

_NAME: Final = "installation"
_MACHINE: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_LONGEST: Final = 200  # bytes that are read of either file


def installation(state_dir: Path) -> str:
    """32 hex digits. The random number is created on first use, if the state directory exists."""
    path = state_dir / _NAME
    random = _read(path) or _create(path) or _read(path)
    text = f"{random}\0{_machine()}\0{os.path.realpath(state_dir)}"
    return blake2b(os.fsencode(text), digest_size=16).hexdigest()


def tag(state_dir: Path, word: str) -> str:
    """Eight hex digits for one name within this installation, such as a pair's id."""
    return blake2b(f"{installation(state_dir)}\0{word}".encode(), digest_size=4).hexdigest()


def machine() -> str:
    """16 hex digits that identify this machine; "" if the system has no machine id."""
    text = _machine()
    return blake2b(text.encode(), digest_size=8).hexdigest() if text else ""


def _create(path: Path) -> str:
    """Write a new number, never in place of another; "" if nothing can be written.

    The file is linked to its name when it is complete, so that a run that dies leaves none or a whole one.
    """
    fresh = path.with_name(f"{_NAME}.{token_hex(8)}.tmp")
    text = token_hex(16)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return ""
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return ""  # another run was faster: its number counts
        except OSError:
            os.rename(
                fresh, path
            )  # no hard links here; RACE: of two first runs at once the later one's stands
        return _read(path)
    except OSError:
        return ""
    finally:
        fresh.unlink(missing_ok=True)


def _machine() -> str:
    return next((text for path in _MACHINE if (text := _read(path))), "")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode("ascii", "replace").strip()
    except OSError:
        return ""
