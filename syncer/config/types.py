"""Types of config values, for pydantic: paths, locations, sizes, durations, commands, patterns.

Paths are relative to the config file, which comes as `base` in the context. Whatever is wrong is a
ValueError that says what would be right; `parser` adds where it stood.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo

from syncer.config.paths import absolute, read_path, refuse_other_homes
from syncer.config.settings import Location, choose
from syncer.engine.gitignore import check_own
from syncer.engine.model import ConflictPolicy, MaxDelete, Mode
from syncer.formatting import parse_duration, parse_duration_or_none, parse_max_delete, parse_size, quoted

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _base(info: ValidationInfo) -> Path | None:
    return (info.context or {}).get("base")


def _path(value: object, info: ValidationInfo) -> Path:
    return value if isinstance(value, Path) else read_path(value, _base(info))


def _location(value: object, info: ValidationInfo) -> Location:
    return value if isinstance(value, Location) else Location.parse(value, _base(info))


def _patterns(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f'{quoted(value)} is not a list of patterns; write for example ["*.tmp", "build/"]')
    check_own(value)
    return tuple(value)


def _limit(value: object) -> MaxDelete:
    return value if isinstance(value, MaxDelete) else parse_max_delete(value)


def _command(value: object, info: ValidationInfo) -> tuple[str, ...]:
    """A command as words. Its program, where it is a path, is read as every path of the file is."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{quoted(value)} cannot be cut into words: {error}") from None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError('is not a command; write for example "notify-me --loud" or ["notify-me", "--loud"]')
    if any("\0" in word for word in words) or (words and not words[0]):
        raise ValueError("a command cannot hold a NUL, nor begin with an empty word")
    if words and (words[0].startswith("~") or "/" in words[0]):
        refuse_other_homes(words[0])
        words = [str(absolute(words[0], _base(info))), *words[1:]]
    return tuple(words)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(v, str) and _NAME.fullmatch(v) for v in value
    ):
        raise ValueError(f'{quoted(value)} is not a list of variables; write for example ["SSH_AUTH_SOCK"]')
    return tuple(value)


def _log(value: object, info: ValidationInfo) -> Path | None:
    return None if value == "" else _path(value, info)


def _loopback(value: object) -> str:
    """HOST:PORT that only this machine reaches."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 1 << 16
    good = number < 1 << 16 and _is_loopback(host)
    if not isinstance(value, str) or (value and not good):
        raise ValueError(
            f'{quoted(value)} is no address of this machine alone; write for example "127.0.0.1:9765" '
            'or "[::1]:9765"; "" for none'
        )
    return value


def _is_loopback(host: str) -> bool:
    """A name could lead anywhere tomorrow: besides numbers only `localhost` will do."""
    number = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in number and number == host:
        return False  # an IPv6 address needs brackets before a port
    try:
        return host == "localhost" or ipaddress.ip_address(number).is_loopback
    except ValueError:
        return False


FolderPath = Annotated[Path, BeforeValidator(_path)]
Size = Annotated[int, BeforeValidator(parse_size)]
Duration = Annotated[float, BeforeValidator(parse_duration)]
DurationOrNone = Annotated[float, BeforeValidator(parse_duration_or_none)]
Command = Annotated[tuple[str, ...], BeforeValidator(_command)]
RemotePlace = Annotated[Location, BeforeValidator(_location)]
Policy = Annotated[ConflictPolicy, BeforeValidator(lambda value: choose(ConflictPolicy, value))]
Way = Annotated[Mode, BeforeValidator(lambda value: choose(Mode, value))]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]
Limit = Annotated[MaxDelete, BeforeValidator(_limit)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
LogPath = Annotated[Path | None, BeforeValidator(_log)]
Address = Annotated[str, BeforeValidator(_loopback)]
