"""One cloud's login of a clouds.yaml, as the OpenStack tools read it.

The file is the one that the account names, or the first of $OS_CLIENT_CONFIG_FILE, ~/.config/openstack and
/etc/openstack; secure.yaml from the same places is laid over it, and `profile` names a cloud of
clouds-public.yaml below it. Unlike those tools, none is taken from the current directory: it may be a synced
folder, where whoever writes to the other side would choose where the password is sent.
Vendor profiles shipped with the OpenStack SDK are not known here.
Source: "Configuring OpenStack SDK Applications" of openstacksdk's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from syncer.errors import AuthError

Table: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What the account names: they are the only ones of their kind then."""

    clouds: Path | None = None
    secure: Path | None = None


def cloud(name: str, environ: Mapping[str, str], files: Files | None = None) -> dict[str, str]:
    """The cloud's settings by the names that OS_* variables have, in lower case and without the prefix.

    Raises AuthError if there is no such cloud, or a file cannot be read.
    """
    found = _merged(name, environ, files or Files())
    flat = {key: value for key, value in found.items() if not isinstance(value, dict | list)}
    flat |= found.get("auth") or {}
    if isinstance(regions := found.get("regions"), list) and "region_name" not in flat and regions:
        first = regions[0]
        flat["region_name"] = first.get("name") if isinstance(first, dict) else first
    return {key: str(value) for key, value in flat.items() if value is not None}


def _merged(name: str, environ: Mapping[str, str], files: Files) -> Table:
    named = files.clouds or _named(environ, "OS_CLIENT_CONFIG_FILE")
    clouds = _section("clouds.yaml", "clouds", environ, named)
    if name not in clouds:
        raise AuthError(
            f"no cloud named {name!r} in clouds.yaml",
            hint=f"known: {', '.join(sorted(clouds)) or 'none, or no clouds.yaml was found'}",
        )
    named = files.secure or _named(environ, "OS_CLIENT_SECURE_FILE")
    secrets = _section("secure.yaml", "clouds", environ, named)
    own = _over(clouds[name], secrets.get(name) or {})
    profile = own.pop("profile", None) or own.pop("cloud", None)
    public = _section("clouds-public.yaml", "public-clouds", environ, None) if profile else {}
    return _over(public.get(profile) or {}, own)


def _named(environ: Mapping[str, str], variable: str) -> Path | None:
    return Path(environ[variable]) if environ.get(variable) else None


def _section(file: str, section: str, environ: Mapping[str, str], named: Path | None) -> Table:
    for path in [named] if named else _places(file, environ):
        if path.is_file():
            found = _load(path).get(section)
            return found if isinstance(found, dict) else {}
    return {}


def _places(file: str, environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or Path.home())
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "openstack" / file
    yield Path("/etc/openstack") / file


def _load(path: Path) -> Table:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # The parser's own words may quote a line with a password.
        raise AuthError(f"cannot read {path}: {type(error).__name__}") from None
    return found if isinstance(found, dict) else {}


def _over(below: Table, above: Table) -> Table:
    """`above` laid over `below`, tables within as well."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
