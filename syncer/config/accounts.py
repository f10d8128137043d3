"""The accounts a config file may name: one frozen model for each kind of service and login.

Only what may be written is settled here. A key that may come from the environment (or
from a file of the service's own) is optional; the stores look there and complain.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from syncer.config.paths import read_path
from syncer.config.secrets import Secret
from syncer.formatting import near, quoted


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not a URL; write for example https://service.example/v3")
    if parts.username is not None:
        raise ValueError("a URL must not hold a user or a password: there are keys for them")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    return read_path(value, (info.context or {}).get("base"))


Text = Annotated[str, AfterValidator(_filled)]
Url = Annotated[str, AfterValidator(_url)]
FilePath = Annotated[Path, BeforeValidator(_path)]


class Account(BaseModel):
    """How to reach a service. `name` is its name in the config file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    # What tells one service and tenant from another; secrets and ways to log in do not.
    telling: ClassVar[tuple[str, ...]] = (
        "auth_url",
        "storage_url",
        "url",
        "api_url",
        "endpoint",
        "user",
        "username",
        "project",
        "cloud",
        "region",
        "key",
        "client_id",
    )
    name: str
    type: str
    insecure: bool = False  # secrets may be sent by plain http

    @property
    def identity(self) -> str:
        """`type:key=value&…` without secrets; the account's name where the config says no more."""
        values = ((key, getattr(self, key, None)) for key in self.telling)
        told = "&".join(f"{key}={value}" for key, value in values if isinstance(value, str))
        return f"{self.type}:{told or self.name}"


class _Swift(Account):
    type: Literal["swift"] = "swift"
    auth: str


class SwiftV1(_Swift):
    """Swift with TempAuth or any v1 login; else ST_AUTH, ST_USER, ST_KEY."""

    auth: Literal["v1"] = "v1"
    auth_url: Url | None = None
    user: Text | None = None
    key: Secret | None = None


class SwiftKeystone(_Swift):
    """Swift behind Keystone v3; else OS_* or clouds.yaml."""

    auth: Literal["keystone"] = "keystone"
    auth_url: Url | None = None
    username: Text | None = None
    user: Text | None = None  # another word for `username`
    password: Secret | None = None
    project: Text | None = None
    user_domain: Text | None = None
    project_domain: Text | None = None
    region: Text | None = None
    interface: Text | None = None
    application_credential_id: Text | None = None
    application_credential_secret: Secret | None = None
    cloud: Text | None = None
    clouds_file: FilePath | None = None
    secure_file: FilePath | None = None


class SwiftHubic(_Swift):
    """Swift behind Hubic's OAuth 2; else HUBIC_*."""

    auth: Literal["hubic"] = "hubic"
    client_id: Text | None = None
    client_secret: Secret | None = None
    username: Text | None = None
    password: Secret | None = None
    refresh_token: Secret | None = None
    api_url: Url | None = None
    redirect_uri: Url | None = None


class SwiftOvh(_Swift):
    """Swift behind OVH's API; else OVH_* and ovh.conf (not that of the current directory)."""

    auth: Literal["ovh"] = "ovh"
    endpoint: Text | None = None
    application_key: Text | None = None
    application_secret: Secret | None = None
    consumer_key: Secret | None = None
    client_id: Text | None = None
    client_secret: Secret | None = None
    project: Text | None = None
    region: Text | None = None
    conf_file: FilePath | None = None


class SwiftToken(_Swift):
    """Swift with a ready storage URL and token."""

    auth: Literal["token"] = "token"
    storage_url: Url
    token: Secret


class SmartFile(Account):
    """SmartFile's API, or `syncer serve`; else SMARTFILE_API_*, then netrc."""

    type: Literal["smartfile"] = "smartfile"
    url: Url | None = None
    key: Text | None = None
    password: Secret | None = None
    client_token: Text | None = None
    client_secret: Secret | None = None
    access_token: Secret | None = None
    access_secret: Secret | None = None
    ca_file: FilePath | None = None


class Orange(Account):
    """Orange Cloud; the tokens are made by `syncer login`."""

    type: Literal["orange"] = "orange"
    client_id: Text
    client_secret: Secret
    redirect_uri: Url
    api_url: Url | None = None
    content_url: Url | None = None
    auth_url: Url | None = None


class Kinds:
    """Which model reads an account, by its `type` and, for swift, `auth`."""

    by_auth: ClassVar[Mapping[str, type[_Swift]]] = {
        "v1": SwiftV1,
        "keystone": SwiftKeystone,
        "hubic": SwiftHubic,
        "ovh": SwiftOvh,
        "token": SwiftToken,
    }
    by_type: ClassVar[Mapping[str, type[Account]]] = {
        "swift": _Swift,
        "smartfile": SmartFile,
        "orange": Orange,
    }

    @classmethod
    def model(cls, table: Mapping[str, Any]) -> type[Account]:
        """The model for a table. Raises KindError naming the key that is wrong."""
        cls._check("type", table, tuple(cls.by_type))
        if table["type"] != "swift":
            return cls.by_type[table["type"]]
        cls._check("auth", table, tuple(cls.by_auth))
        return cls.by_auth[table["auth"]]

    @staticmethod
    def _check(key: str, table: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        value = table.get(key)
        if value is None:
            raise KindError(key, f"is missing; one of {', '.join(allowed)}")
        if not isinstance(value, str) or value not in allowed:
            raise KindError(
                key, f"{quoted(value)} is not known{near(value, allowed)}; one of {', '.join(allowed)}"
            )


class KindError(ValueError):
    """The kind of an account is missing or unknown: `key` tells which of its keys."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
