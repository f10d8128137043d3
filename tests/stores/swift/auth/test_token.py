"""The door without a login: a ready token."""

from __future__ import annotations

import pytest

from syncer.errors import AuthError
from syncer.stores.swift.auth.token import StaticTokenProvider
from tests.stores.swift.auth.opening import works
from tests.swift.server import Swift


def test_it_opens_until_the_token_dies(swift: Swift) -> None:
    url, token = swift.log_in()
    door = StaticTokenProvider(storage_url=url + "/", token=lambda: token)
    access = door.open()
    assert works(access) and access.storage_url == url
    swift.expire()
    assert not works(access)
    with pytest.raises(AuthError, match="refused or expired") as caught:
        door.renew(access)
    assert "`token`" in caught.value.hint
    assert token not in repr(door) + repr(access) + repr(caught.value)


def test_a_new_token_laid_down_meanwhile_is_taken(swift: Swift) -> None:
    url, token = swift.log_in()
    found = [token]
    door = StaticTokenProvider(storage_url=url, token=lambda: found[-1])
    spent = door.open()
    swift.expire()
    found.append(swift.log_in()[1])
    assert works(door.renew(spent))
