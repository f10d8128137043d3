"""What a service will lack that a person's shell has: variables, and programs found by PATH. Pure.

A secret is never copied into a definition. What is carried over is where things are (XDG); the rest is
named, so that a person can put it where the service finds it.
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
_EXPANDED = {"state_dir", "log", "local", "remote", "ca_file"}  # keys whose values may name variables
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")
_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
Finder = Callable[[str, str | None], str | None]


def carried(environment: Mapping[str, str]) -> dict[str, str]:
    """What the definition says itself: without it the daemon would look for its files elsewhere."""
    return {name: environment[name] for name in _CARRIED if environment.get(name, "").startswith("/")}


def lacking(settings: Settings, text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are, or have to be, set here and will not be there, and what needs them.

    `text` is that of the config file.
    """
    found: dict[str, str] = {}
    for name, where in (
        *_secrets(settings),
        *_fallbacks(settings, environment),
        *((name, where) for name, where in _paths(tomllib.loads(text), "") if name in environment),
        *((name, "the network") for name in environment if name.lower() in _NETWORK),
    ):
        if name not in _ALWAYS and name not in carried(environment):
            found.setdefault(name, where)
    return found


def given(text: str) -> set[str]:
    """Names that a file of variables sets."""
    lines = (line.strip() for line in text.splitlines())
    return {line.partition("=")[0].strip() for line in lines if "=" in line and line[0] not in "#;"}


def unfound(settings: Settings, find: Finder) -> dict[str, str]:
    """Programs that the config names without their path and that only this shell's PATH finds."""
    return {
        name: where
        for name, where in _programs(settings)
        if "/" not in name and find(name, None) and not find(name, _PLAIN_PATH)
    }


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, field, secret in _all_secrets(settings):
        if secret.source == "env":
            yield str(secret.where), f"accounts.{name}.{field}"


def _all_secrets(settings: Settings) -> Iterator[tuple[str, str, Secret]]:
    for name, account in settings.accounts.items():
        for field, value in account:
            if isinstance(value, Secret):
                yield name, field, value


def _fallbacks(settings: Settings, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What an account takes from the environment where the config says nothing."""
    for name, account in settings.accounts.items():
        prefix = _PREFIXES.get(str(getattr(account, "auth", account.type)))
        if prefix:
            yield from ((word, f"accounts.{name}") for word in environment if word.startswith(prefix))


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
