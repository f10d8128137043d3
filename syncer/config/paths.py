"""Where Syncer looks for its files, and how a path in a config file is read.

`~` and `$NAME` are expanded; a relative path is relative to the config file. Nothing is
opened or made here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from syncer.wording import quoted

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def default_config() -> Path:
    """`$XDG_CONFIG_HOME/syncer/config.toml` (XDG Base Directory Specification 0.8)."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "syncer" / "config.toml"


def default_state_dir() -> Path:
    """`$XDG_STATE_HOME/syncer`."""
    return _xdg("XDG_STATE_HOME", ".local/state") / "syncer"


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    # The specification: a relative path there is invalid and to be ignored.
    return Path(value) if os.path.isabs(value) else Path.home() / fallback


def read_path(value: object, base: Path | None) -> Path:
    """The absolute path a config value means. Raises ValueError."""
    if not isinstance(value, str) or not value:
        raise ValueError(f'{quoted(value)} is not a path; write for example "~/Documents"')
    if "\0" in value:
        raise ValueError("a path cannot hold a NUL")
    text = os.path.expandvars(value)
    unset = _VARIABLE.search(text)
    if unset:
        raise ValueError(f"the environment variable {unset[1].strip('{}')} is not set")
    return absolute(text, base)


def absolute(text: str, base: Path | None = None) -> Path:
    """The path without `~`, `.` and `..`; symlinks in it stay. Raises ValueError."""
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ValueError(f"there is no user {expanded.split('/')[0]}")
    joined = os.path.join(base or Path.cwd(), expanded)
    # Behind a symlink ".." is not the parent that the text shows: then ask the system.
    return Path(os.path.realpath(joined) if ".." in joined.split("/") else os.path.normpath(joined))
