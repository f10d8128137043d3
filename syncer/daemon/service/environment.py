"""Environment of the service: variables and programs that the user's shell has and the service will not.
Pure.

The XDG directories are copied into the definition. Everything else is reported only, since it may be secret:
the user puts it where the service finds it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from syncer.config import Settings
from syncer.config.secrets import Secret

_CARRIED = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_ALWAYS = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "XDG_RUNTIME_DIR"}
_NETWORK = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "ssl_cert_file"}
_PREFIXES = {"v1": "ST_", "keystone": "OS_", "hubic": "HUBIC_", "ovh": "OVH_", "smartfile": "SMARTFILE_API_"}
_PREFIXES["syncer"] = _PREFIXES["smartfile"]
_EXPANDED = {"state_dir", "log", "local", "remote", "ca_file"}  # config keys that may contain variables
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")
_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
Finder = Callable[[str, str | None], str | None]


def carried(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to copy into the definition: without them the daemon would use other directories."""
    return {name: environment[name] for name in _CARRIED if environment.get(name, "").startswith("/")}


def lacking(settings: Settings, text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that the config needs and the service will not have, and the keys that need them.

    `text`: content of the config file.
    """
    found: dict[str, str] = {}
    secrets = [
        (str(secret.where), f"accounts.{name}.{field}")
        for name, field, secret in _all_secrets(settings)
        if secret.source == "env"
    ]
    prefixes = {  # of variables that an account reads where the config has no value
        name: _PREFIXES.get(str(getattr(account, "auth", account.type)))
        for name, account in settings.accounts.items()
    }
    fallbacks = [
        (variable, f"accounts.{name}")
        for name, prefix in prefixes.items()
        if prefix
        for variable in environment
        if variable.startswith(prefix)
    ]
    for name, where in (
        *secrets,
        *fallbacks,
        *((name, where) for name, where in _paths(tomllib.loads(text), "") if name in environment),
        *((name, "the network") for name in environment if name.lower() in _NETWORK),
    ):
        if name not in _ALWAYS and name not in carried(environment):
            found.setdefault(name, where)
    return found


def given(text: str) -> set[str]:
    """The names of variables set in an environment file (`NAME=value` lines)."""
    lines = (line.strip() for line in text.splitlines())
    return {line.partition("=")[0].strip() for line in lines if "=" in line and line[0] not in "#;"}


def unfound(settings: Settings, find: Finder) -> dict[str, str]:
    """Programs in the config without a path that are found by this shell's PATH, but not by a service's."""
    return {
        name: where
        for name, where in _programs(settings)
        if "/" not in name and find(name, None) and not find(name, _PLAIN_PATH)
    }


def _all_secrets(settings: Settings) -> Iterator[tuple[str, str, Secret]]:
    for name, account in settings.accounts.items():
        for field, value in account:
            if isinstance(value, Secret):
                yield name, field, value


def _paths(table: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    for word, value in table.items():
        where = f"{key}.{word}" if key else word
        if isinstance(value, dict):
            yield from _paths(value, where)
        elif isinstance(value, str) and word in _EXPANDED:
            yield from ((one or other, where) for one, other in _VARIABLE.findall(value))


def _programs(settings: Settings) -> Iterator[tuple[str, str]]:
    for job in settings.jobs.values():
        for key, command in settings.hooks(job).items():
            yield command[0], f"{key} of {job.name}"
    for name, field, secret in _all_secrets(settings):
        if secret.source == "command":
            words = secret.where.split() if isinstance(secret.where, str) else secret.where
            yield from ((word, f"accounts.{name}.{field}") for word in words[:1])
