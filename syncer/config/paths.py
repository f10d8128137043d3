"""Default locations of the config file and the state directory; expansion of paths in the config file.

`~/` and `$NAME` are expanded; a relative path is relative to the config file. Nothing is
opened or made here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from syncer.errors import ConfigError
from syncer.formatting import quoted

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def default_config() -> Path:
    """`$XDG_CONFIG_HOME/syncer/config.toml` (XDG Base Directory Specification 0.8)."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "syncer" / "config.toml"


def default_state_dir() -> Path:
    """`$XDG_STATE_HOME/syncer`."""
    return _xdg("XDG_STATE_HOME", ".local/state") / "syncer"


def home() -> Path:
    """The user's home directory. Raises ConfigError where `HOME` names none: nothing is guessed."""
    named = os.environ.get("HOME")
    if named is None:
        try:
            return Path.home()  # by the system's list of users
        except RuntimeError:
            named = ""
    if not os.path.isabs(named):
        told = f"is no absolute path ({quoted(named)})" if named else "is empty"
        raise ConfigError(
            f"the environment variable HOME {told}: the home directory is not known",
            hint="set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME, to absolute paths",
        )
    return Path(named)


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    # The specification: a relative path there is invalid and to be ignored.
    return Path(value) if os.path.isabs(value) else home() / fallback


def read_path(value: object, base: Path | None) -> Path:
    """The absolute path of a config value. Raises ValueError."""
    if not isinstance(value, str) or not value:
        raise ValueError(f'{quoted(value)} is not a path; write for example "~/Documents"')
    if "\0" in value:
        raise ValueError("a path cannot hold a NUL")
    refuse_other_homes(value)
    text = os.path.expandvars(value)
    unset = _VARIABLE.search(text)
    if unset:
        raise ValueError(f"the environment variable {unset[1].strip('{}')} is not set")
    return absolute(text, base)


def refuse_other_homes(value: str) -> None:
    """Raises ValueError for `~name`: in a config file that may be meant as either."""
    if value.startswith("~") and value[1:2] not in ("", "/"):
        raise ValueError(
            f'{quoted(value)}: only "~/" is expanded; write the folder in full, or {quoted("./" + value)}'
        )


def absolute(text: str, base: Path | None = None) -> Path:
    """The path without a leading `~/`, `.` and `..`; symlinks in it stay. Raises ValueError.

    Nothing else is expanded: what a user kept from the shell is meant as it is written.
    """
    if not text:
        raise ValueError("a path cannot be empty")
    if text == "~" or text.startswith("~/"):
        try:
            text = str(home()) + text[1:]
        except ConfigError as error:
            raise ValueError(error.message) from None
    if base is None and not os.path.isabs(text):
        try:
            base = Path.cwd()
        except FileNotFoundError:
            raise ValueError(
                f"{quoted(text)}: the working directory was removed; write an absolute path"
            ) from None
    joined = os.path.join(base, text) if base else text
    # Behind a symlink ".." is not the parent that the text shows: then ask the system.
    return Path(os.path.realpath(joined) if ".." in joined.split("/") else os.path.normpath(joined))
