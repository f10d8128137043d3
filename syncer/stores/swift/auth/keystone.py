"""The Keystone login: v3 by password or application credential, v2.0 on old clouds.

Swift's URL comes from the catalogue. keystoneauth1 speaks the protocol. Sources: the Identity API's
references, v3 (`POST /v3/auth/tokens`) and v2.0 (`POST /v2.0/tokens`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, StoreError, TransientError
from syncer.stores.http.failures import error_of
from syncer.stores.http.origins import host_port, same_origin
from syncer.stores.retry_policy import counted
from syncer.stores.swift.auth import Access
from syncer.stores.swift.auth.http import (
    TIMEOUT,
    Secret,
    by_date,
    guarded,
    host_of,
    storage_of,
    wanted,
)

if TYPE_CHECKING:
    from keystoneauth1.identity.base import BaseIdentityPlugin


# -- One cloud's login of a clouds.yaml, as the OpenStack tools read it ---------
#
# The file is the one that the account names, or the first of $OS_CLIENT_CONFIG_FILE, ~/.config/openstack
# and /etc/openstack; secure.yaml from the same places is laid over it, and `profile` names a cloud of
# clouds-public.yaml below it. Unlike those tools, none is taken from the current directory: it may be a
# synced folder, where whoever writes to the other side would choose where the password is sent. Vendor
# profiles shipped with the OpenStack SDK are not known here. Source: "Configuring OpenStack SDK
# Applications" of openstacksdk's documentation.


Table: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What the account names: they are the only ones of their kind then."""

    clouds: Path | None = None
    secure: Path | None = None


def read_cloud(name: str, environ: Mapping[str, str], files: Files | None = None) -> dict[str, str]:
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


# --------------------------------------------------------------------------------
#
# What a Keystone login needs, gathered: an account's keys, then clouds.yaml or else the OS_* variables.
#
# Names are those of the variables, in lower case and without `OS_`: `auth_url`, `project_name`, …


Values: TypeAlias = "dict[str, str | Secret]"
_SECRETS = ("password", "application_credential_secret", "token")
_ALIASES = (  # older names of the same things, and one domain for both user and project
    ("tenant_name", "project_name"),
    ("tenant_id", "project_id"),
    ("endpoint_type", "interface"),
    ("default_domain", "user_domain_id"),
    ("default_domain", "project_domain_id"),
    ("domain_name", "user_domain_name"),
    ("domain_id", "user_domain_id"),
)


def gathered(
    environ: Mapping[str, str],
    cloud: str | None,
    given: Mapping[str, str | Secret | None],
    files: Files | None = None,
) -> Values:
    """`given` laid over the named cloud, or over the variables; OS_CLOUD counts where no auth_url is given.

    Raises AuthError for a cloud that is unknown, and for what is missing in the end.
    """
    own = {key: value for key, value in given.items() if value}
    name = cloud or (None if own.get("auth_url") else environ.get("OS_CLOUD"))
    if name:
        below = _renamed(read_cloud(name, environ, files))
    else:
        below = _renamed({k[3:].lower(): v for k, v in environ.items() if k.startswith("OS_") and v})
    ours, theirs = own.get("auth_url"), below.get("auth_url")
    if ours and theirs and not same_origin(str(ours), str(theirs)):
        # A password belongs to the endpoint that it was written down with.
        below = {key: value for key, value in below.items() if key not in _SECRETS}
    if own.get("password"):  # else a credential from elsewhere would be taken in its place
        below = {key: value for key, value in below.items() if not key.startswith("application_credential")}
    found = below | own
    _check(found)
    return found


def _renamed(words: Mapping[str, str]) -> Values:
    found: Values = dict(words)
    for old, new in _ALIASES:
        if old in found:
            found.setdefault(new, found[old])
    # `publicURL` is the v2.0 way of saying `public`.
    if "interface" in found:
        found["interface"] = str(found["interface"]).removesuffix("URL")
    return found


def _check(found: Values) -> None:
    wanted("keystone", auth_url=found.get("auth_url"))
    if found.get("application_credential_secret"):
        ident = found.get("application_credential_id") or found.get("application_credential_name")
        wanted("keystone", application_credential_id=ident)
        return
    user = found.get("username") or found.get("user_id")
    project = found.get("project_name") or found.get("project_id")
    wanted("keystone", username=user, password=found.get("password"), project=project)


_DEFAULT_DOMAIN = "default"  # the id of the domain that every Keystone begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class KeystoneLogin:
    """What a login needs; names and ids as Keystone has them, "" where not given.

    `auth_url` ends in /v3 or /v2.0, or the version is found out. `secret` is the password, or that of the
    application credential where its id or name is given. No `region_name`: the first that offers Swift.
    """

    auth_url: str
    secret: Secret = field(repr=False)
    clock: Clock = field(repr=False)
    username: str = ""
    user_id: str = ""
    user_domain_name: str = ""
    user_domain_id: str = ""
    project_name: str = ""
    project_id: str = ""
    project_domain_name: str = ""
    project_domain_id: str = ""
    application_credential_id: str = ""
    application_credential_name: str = ""
    region_name: str = ""
    interface: str = "public"
    identity_api_version: str = ""
    cacert: str = ""
    insecure: bool = False

    @classmethod
    def settled(
        cls,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        cloud: str | None = None,
        files: Files | None = None,
        insecure: bool = False,
        **given: str | Secret | None,
    ) -> KeystoneLogin:
        """By what is `given` (named as the OS_* variables are), a cloud of clouds.yaml, or the variables.

        Raises AuthError for what is missing.
        """
        found = gathered(environ, cloud, given, files)
        guarded("keystone", str(found["auth_url"]), key="auth_url", insecure=insecure)
        credential = found.get("application_credential_secret")
        secret = credential or found["password"]
        plain = str(secret)
        names = {f.name for f in fields(cls)} - {"secret", "clock", "insecure"}
        words = {key: str(value) for key, value in found.items() if key in names}
        if not credential:
            words |= {"application_credential_id": "", "application_credential_name": ""}
        covered = secret if callable(secret) else (lambda: plain)
        return cls(secret=covered, clock=clock, insecure=insecure, **words)

    def log_in(self) -> Access:
        """As `Login.log_in`; the catalogue's `object-store` for interface and region is the storage URL."""
        import requests
        from keystoneauth1 import exceptions
        from keystoneauth1.session import Session

        from syncer.stores.http.adapter import GuardedAdapter

        try:
            plugin = self._plugin()
            with requests.Session() as sending:
                for scheme in ("http://", "https://"):
                    sending.mount(scheme, GuardedAdapter(connections=1))
                session = Session(
                    auth=plugin,
                    session=sending,
                    verify=self.cacert or True,
                    timeout=TIMEOUT[1],
                    user_agent="syncer",
                    connect_retries=0,
                )
                found = plugin.get_access(session)
            url = found.service_catalog.url_for(
                service_type="object-store", interface=self.interface, region_name=self.region_name or None
            )
        except exceptions.ClientException as error:
            raise self._translated(error) from None
        if not found.auth_token or not url:
            raise AuthError(f"{self._host}: the login gave no token", hint="check auth_url (or OS_AUTH_URL)")
        return Access(
            storage_url=storage_of(url, insecure=self.insecure),
            token=found.auth_token,
            expires_at=by_date(found.expires, self.clock),
        )

    def free_space(self) -> int | None:
        return None

    @property
    def _host(self) -> str:
        return host_of(self.auth_url)

    @property
    def _by_credential(self) -> bool:
        return bool(self.application_credential_id or self.application_credential_name)

    def _plugin(self) -> BaseIdentityPlugin:
        base, _, last = self.auth_url.rstrip("/").rpartition("/")
        named = last if last.lower() in ("v2.0", "v3") else ""
        version = (self.identity_api_version or named).lower().lstrip("v")
        if version in ("2", "2.0"):
            return self._v2()
        v3_url = f"{base}/v3" if named else f"{base}/{last}/v3"
        if self._by_credential:
            return self._credential(v3_url)
        return self._password(v3_url if version.startswith("3") else "")

    def _v2(self) -> BaseIdentityPlugin:
        from keystoneauth1.identity import v2

        url, tenant_id, tenant_name = self.auth_url, self.project_id or None, self.project_name or None
        if self.user_id:
            return v2.Password(
                url, None, self.secret(), self.user_id, tenant_id=tenant_id, tenant_name=tenant_name
            )
        return v2.Password(url, self.username, self.secret(), tenant_id=tenant_id, tenant_name=tenant_name)

    def _credential(self, url: str) -> BaseIdentityPlugin:
        from keystoneauth1.identity import v3

        return v3.ApplicationCredential(
            url,
            self.secret(),
            application_credential_id=self.application_credential_id or None,
            application_credential_name=self.application_credential_name or None,
            user_id=self.user_id or None,
            username=self.username or None,
            user_domain_id=self.user_domain_id or (None if self.user_domain_name else _DEFAULT_DOMAIN),
            user_domain_name=self.user_domain_name or None,
        )

    def _password(self, v3_url: str) -> BaseIdentityPlugin:
        """For v3, or (no URL) for whatever version the service offers."""
        from keystoneauth1.identity import generic, v3

        words = {
            "user_id": self.user_id or None,
            "username": self.username or None,
            "user_domain_id": self.user_domain_id or (None if self.user_domain_name else _DEFAULT_DOMAIN),
            "user_domain_name": self.user_domain_name or None,
            "password": self.secret(),
        }
        project = {
            "project_id": self.project_id or None,
            "project_name": self.project_name or None,
            "project_domain_id": self.project_domain_id
            or (None if self.project_domain_name else _DEFAULT_DOMAIN),
            "project_domain_name": self.project_domain_name or None,
        }
        kind = v3.Password if v3_url else generic.Password
        made: BaseIdentityPlugin = kind(v3_url or self.auth_url, **words, **project)  # type: ignore[arg-type]
        return made

    def _translated(self, error: Exception) -> StoreError:
        from keystoneauth1 import exceptions

        if isinstance(error, exceptions.CatalogException):
            host_port = ", ".join(filter(None, (self.interface, self.region_name)))
            return AuthError(
                f"{self._host}: the catalogue shows no object store ({host_port})",
                hint="check region, interface and project (or OS_REGION_NAME, OS_INTERFACE, OS_PROJECT_NAME)",
            )
        if isinstance(error, exceptions.ConnectFailure | exceptions.ConnectionError):
            reached = error_of(error, self.auth_url, request=f"login {self.auth_url}")
            if isinstance(reached, TransientError):
                return reached
            hint = reached.hint.replace("`ca_file` of the account", "OS_CACERT, or cacert in clouds.yaml")
            return AuthError(reached.message, hint=hint)
        return self._of_status(error, getattr(error, "http_status", 0))

    def _of_status(self, error: Exception, status: int) -> StoreError:
        if status in (408, 429) or status >= 500:
            after = getattr(error, "retry_after", None)
            said = f"{host_port(self.auth_url)}: Keystone answers {status}"
            return counted(TransientError(said, retry_after=after or None), f"login {self.auth_url}")
        if status in (401, 403):
            return AuthError(f"{self._host}: the login is refused ({status})", hint=self._to_check())
        return AuthError(
            f"{self._host}: no Keystone login there ({type(error).__name__})",
            hint="check auth_url (or OS_AUTH_URL); it usually ends in /v3",
        )

    def _to_check(self) -> str:
        if self._by_credential:
            return (
                "check application_credential_id and application_credential_secret "
                "(or OS_APPLICATION_CREDENTIAL_*)"
            )
        return "check username, password, project, domains (or OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME)"
