"""Parser of rclone locations: `rclone:NAME:PATH`, a remote of rclone.conf and a folder in it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncer.errors import ConfigError

_HINT = 'write "rclone:NAME:PATH"; `rclone listremotes` shows the names'
_NAME = re.compile(r"[\w.+@][\w.+@ -]*")  # rclone's own rule for names (fs/fspath)


@dataclass(frozen=True, slots=True, kw_only=True)
class RcloneLocation:
    """`remote` is a section of rclone.conf; `path` has no slash at its end, "" is the root of the remote."""

    remote: str
    path: str

    @property
    def fs(self) -> str:
        """As rclone's calls name it. rclone keeps one backend for each text, so only this one is used."""
        return f"{self.remote}:{self.path}"

    @property
    def identity(self) -> str:
        """Known without asking rclone; two names for one place count as two places."""
        return f"rclone:{self.fs}"


def parse_location(text: str) -> RcloneLocation:
    """The location that a `remote = "rclone:…"` names. Raises ConfigError."""
    scheme, _, rest = text.partition(":")
    name, colon, path = rest.partition(":")
    if scheme != "rclone" or not name or not colon:
        if rest.startswith(":"):
            raise ConfigError(
                "a backend written on the line (rclone::BACKEND,...) would show its credentials",
                hint="make a remote of it with `rclone config`, and name that",
            )
        raise ConfigError(f"{text!r} names no remote of rclone", hint=_HINT)
    if "," in name:
        raise ConfigError(f"{text!r}: options of a remote belong into rclone's configuration", hint=_HINT)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be the name of a remote", hint=_HINT)
    if any(char < " " or char == "\x7f" for char in path):
        raise ConfigError(f"{text!r} contains a control character", hint=_HINT)
    names = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in names:
        raise ConfigError(f"{text!r} contains `..`", hint=_HINT)
    return RcloneLocation(remote=name, path=("/" if path.startswith("/") else "") + "/".join(names))
