"""OVH: a new consumer key, with the least rights, that a person has to validate before it works.

Source: OVH's API, `POST /auth/credential` (not signed). Of a key that does not work the API does not say
whether it is still to be validated or was refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import quote

from syncer.errors import AuthError, StoreError, TransientError
from syncer.stores.swift.auth.ovh import Outdated, OvhLogin, translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A key, and the page where a person validates it."""

    key: str = field(repr=False)
    url: str


def rules(login: OvhLogin) -> list[tuple[str, str]]:
    """Method and path of each call that a run makes: a named project needs no list of them."""
    project = login.project or login.configured("project")
    if project:
        return [("POST", f"/cloud/project/{quote(project, safe='')}/storage/access")]
    return [("GET", "/cloud/project"), ("POST", "/cloud/project/*/storage/access")]


def request(login: OvhLogin) -> Pending:
    """Asks for a new key. Raises AuthError, TransientError."""
    import ovh

    try:
        wanted = login.client().new_consumer_key_request()
        for method, path in rules(login):
            wanted.add_rule(method, path)
        found = wanted.request()
    except (ovh.APIError, ovh.InvalidRegion) as error:
        raise _settled(translated(error)) from None
    except AttributeError:
        # The package looks for a message in whatever JSON an error brought, a list too.
        raise TransientError("ovh: an error that is not in the API's form") from None
    except (KeyError, TypeError):
        found = None  # the package takes the key out of whatever the answer was
    fields = found if isinstance(found, dict) else {}
    key, url = fields.get("consumerKey"), fields.get("validationUrl")
    if not isinstance(key, str) or not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise AuthError("ovh: the API gave no consumer key", hint="check endpoint and application_key")
    return Pending(key=key, url=url)


def validated(login: OvhLogin, pending: Pending) -> bool:
    """Whether the key works by now. Raises AuthError where it never will, TransientError."""
    import ovh

    [(method, path), *_] = rules(login)
    try:
        # The very call that it is for: the API has none that tells the state of a key without a right to it.
        client = replace(login, consumer_key=lambda: pending.key).client()
        client.call(method, path)
    except ovh.InvalidCredential:
        return False
    except (ovh.APIError, ovh.InvalidRegion) as error:
        raise _settled(translated(error)) from None
    except AttributeError:
        raise TransientError("ovh: an error that is not in the API's form") from None
    return True


def _settled(error: Exception) -> StoreError:
    found = error.final if isinstance(error, Outdated) else error
    assert isinstance(found, StoreError)
    return found
