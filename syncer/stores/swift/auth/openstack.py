"""What a Keystone login needs, gathered: an account's keys, then clouds.yaml or else the OS_* variables.

Names are those of the variables, in lower case and without `OS_`: `auth_url`, `project_name`, …
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from syncer.stores.http.origins import same_origin
from syncer.stores.swift.auth.asking import Secret, wanted
from syncer.stores.swift.auth.clouds import Files
from syncer.stores.swift.auth.clouds import cloud as read_cloud

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
    below = _renamed(read_cloud(name, environ, files) if name else _variables(environ))
    if not _same_endpoint(own.get("auth_url"), below.get("auth_url")):
        # A password belongs to the endpoint that it was written down with.
        below = {key: value for key, value in below.items() if key not in _SECRETS}
    if own.get("password"):  # else a credential from elsewhere would be taken in its place
        below = {key: value for key, value in below.items() if not key.startswith("application_credential")}
    found = below | own
    _check(found)
    return found


def _same_endpoint(one: object, other: object) -> bool:
    return not one or not other or same_origin(str(one), str(other))


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    return {key[3:].lower(): value for key, value in environ.items() if key.startswith("OS_") and value}


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
