"""Parser of remote locations: `ssh:user@host:/path`, `sftp:host:docs`, `sftp://user@host:2222/path`.

Pure. The first form is that of scp: a path without a leading slash is below the home directory at the remote
end. The second is a URL: `/~/docs` is below the home directory, everything else is absolute. An IPv6 address
stands in brackets. A host may be an alias of `~/.ssh/config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncer.errors import ConfigError

SSH, SFTP = "ssh", "sftp"

_FORM = 'write "{scheme}:user@host:/path" or "{scheme}://user@host:port/path"; user and port may be left out'
_SCP = re.compile(r"(?:(?P<user>[^/:\[\]]*)@)?(?P<host>\[[^\]]*\]|[^/:@\[\]]*):(?P<path>.*)", re.DOTALL)
_URL = re.compile(
    r"//(?:(?P<user>[^/:\[\]]*)@)?(?P<host>\[[^\]]*\]|[^/:@\[\]]*)(?::(?P<port>[^/]*))?(?P<path>/.*)?",
    re.DOTALL,
)
# Characters that could reach a shell by a ProxyCommand with %h or %r (CVE-2023-51385); OpenSSH 9.6 refuses
# them too.
_HOST = re.compile(r"[\w.%:][\w.%:-]*")
_USER = re.compile(r"[^-\s'\"`$\\;&<>|(){}\x00-\x20\x7f][^\s'\"`$\\;&<>|(){}\x00-\x1f\x7f]*")
_DEFAULT_PORT, _LARGEST_PORT = 22, 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What `ssh` connects to. `user` "" and `port` 0 leave the choice to `~/.ssh/config`."""

    host: str
    user: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for what `ssh` could take for an option, or a shell for a command."""
        if not _HOST.fullmatch(self.host):
            raise ConfigError(f"{self.host!r} is not a host name", hint="a host name, an alias or an address")
        if self.user and not _USER.fullmatch(self.user):
            raise ConfigError(
                f"{self.user!r} is not a user name", hint="blanks, quotes and -x are not allowed"
            )
        if not 0 <= self.port <= _LARGEST_PORT:
            raise ConfigError(f"{self.port} is not a port", hint=f"a number from 1 to {_LARGEST_PORT}")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A folder behind ssh. `path` is absolute, or relative to the remote home ("" is the home itself)."""

    scheme: str
    destination: Destination
    path: str

    @property
    def identity(self) -> str:
        """The same for every spelling of one location; an alias is not resolved (no network)."""
        at = self.destination
        port = 0 if at.port == _DEFAULT_PORT else at.port
        same = Destination(host=at.host.lower(), user=at.user, port=port)
        return f"{self.scheme}://{same}{self.path if self.path.startswith('/') else f'/~/{self.path}'}"


def parse_location(text: str) -> Location:
    """The location that a `remote = "…"` of scheme `ssh:` or `sftp:` names. Raises ConfigError."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in (SSH, SFTP):
        raise ConfigError(f"{text!r} is not a location of ssh or sftp", hint=_FORM.format(scheme=SSH))
    hint = _FORM.format(scheme=scheme)
    if any(char < " " or char == "\x7f" for char in rest):
        raise ConfigError(f"{text!r} contains a control character", hint=hint)
    found = _URL.fullmatch(rest) if rest.startswith("//") else _SCP.fullmatch(rest)
    if not found or not found["host"].strip("[]"):
        raise ConfigError(f"{text!r} names no host and path", hint=hint)
    port = found.groupdict().get("port")
    if port is not None and not re.fullmatch(r"0*[1-9][0-9]{0,4}", port, re.ASCII):
        raise ConfigError(f"{text!r}: {port!r} is not a port", hint=hint)
    if not found["path"] or (rest.startswith("//") and found["path"] == "/"):
        raise ConfigError(f"{text!r} names no path", hint=f"{hint}; the home directory itself is /~/")
    return Location(
        scheme=scheme,
        destination=Destination(
            host=found["host"].strip("[]"), user=found["user"] or "", port=int(port) if port else 0
        ),
        path=_normal(found["path"]),
    )


def _normal(path: str) -> str:
    """Without doubled slashes and dots that name nothing; `..` stays, since a symlink may stand before it."""
    for home in ("/~/", "~/"):
        if f"{path}/".startswith(home):
            path = path[len(home) :].lstrip("/")
            break
    names = [name for name in path.split("/") if name not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(names)
