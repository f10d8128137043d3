"""Models of accounts (pydantic): one frozen model for each built-in service and login.

They say which keys a table `[accounts.NAME]` may have. A key that may come from the environment (or from a
file of the service's own) is optional; the stores look there, and raise AuthError.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from syncer.config.paths import read_path
from syncer.config.secrets import Secret


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
    """How to reach a service. `name` is the account's name in the config file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    # Keys that tell one service and tenant from another; secrets and ways to log in do not.
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
    def unusable(self) -> str:
        """Why no store can be made of this account; "" for one that can be used."""
        return ""

    @property
    def identity(self) -> str:
        """`type:key=value&…` without secrets; the account's name where the config says no more."""
        values = ((key, getattr(self, key, None)) for key in self.telling)
        text = "&".join(f"{key}={value}" for key, value in values if isinstance(value, str))
        return f"{self.type}:{text or self.name}"


class SwiftAccount(Account):
    """What all logins of Swift share."""

    type: Literal["swift"] = "swift"
    auth: str


class SwiftV1(SwiftAccount):
    """Swift with TempAuth or any v1 login; else ST_AUTH, ST_USER, ST_KEY."""

    auth: Literal["v1"] = "v1"
    auth_url: Url | None = None
    user: Text | None = None
    key: Secret | None = None


class SwiftKeystone(SwiftAccount):
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


class SwiftHubic(SwiftAccount):
    """Swift behind Hubic's OAuth 2; else HUBIC_*."""

    auth: Literal["hubic"] = "hubic"
    client_id: Text | None = None
    client_secret: Secret | None = None
    username: Text | None = None
    password: Secret | None = None
    refresh_token: Secret | None = None
    api_url: Url | None = None
    redirect_uri: Url | None = None


class SwiftOvh(SwiftAccount):
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


class SwiftToken(SwiftAccount):
    """Swift with a ready storage URL and token."""

    auth: Literal["token"] = "token"
    storage_url: Url
    token: Secret


class SmartFile(Account):
    """SmartFile's API (`smartfile`), or `syncer serve` (`syncer`); else SMARTFILE_API_*, then netrc.

    A server of one's own was of type `smartfile` before the type `syncer` was there, and may still be.
    """

    type: Literal["smartfile", "syncer"] = "smartfile"
    url: Url | None = None
    key: Text | None = None
    password: Secret | None = None
    client_token: Text | None = None
    client_secret: Secret | None = None
    access_token: Secret | None = None
    access_secret: Secret | None = None
    ca_file: FilePath | None = None

    @property
    def identity(self) -> str:
        """The same for both types, so that the state of a pair is found after a change of the word."""
        return f"smartfile:{super().identity.partition(':')[2]}"


class Orange(Account):
    """Orange Cloud; the tokens are made by `syncer login`."""

    type: Literal["orange"] = "orange"
    client_id: Text
    client_secret: Secret
    redirect_uri: Url
    api_url: Url | None = None
    content_url: Url | None = None
    auth_url: Url | None = None


class PluginAccount(Account):
    """What is added to the `Config` of an installed account type: `name`, `type` and `insecure`."""

    # TOML has no type for a path or an enum: a plug-in's own fields may convert text.
    model_config = ConfigDict(strict=False)

    @property
    def identity(self) -> str:
        """`type:key=value&…` of all plain values: which of them tell two services apart is not known here."""
        values = [
            f"{key}={value}"
            for key, value in self
            if key not in Account.model_fields and isinstance(value, str | int | Path)
        ]
        return f"{self.type}:{'&'.join(values) or self.name}"


class UnusableAccount(Account):
    """An account whose plug-in is installed and cannot be loaded: only jobs that use it fail, by `reason`."""

    reason: str

    @property
    def unusable(self) -> str:
        return f'type = "{self.type}" cannot be used: {self.reason}'


SWIFT_LOGINS: Mapping[str, type[SwiftAccount]] = {  # by the key `auth`
    "v1": SwiftV1,
    "keystone": SwiftKeystone,
    "hubic": SwiftHubic,
    "ovh": SwiftOvh,
    "token": SwiftToken,
}
