"""What every door must do: open the real Swift, and open it again when its token died."""

from __future__ import annotations

import requests

from syncer.stores.swift.auth import Access, TokenProvider
from tests.swift.server import Swift


def works(access: Access) -> bool:
    """Whether Swift takes it; anything but yes and 401 fails."""
    headers = {"X-Auth-Token": access.token}
    status = requests.head(access.storage_url, headers=headers, timeout=20).status_code
    assert status in (200, 204, 401), status
    return status != 401


def opens_again(door: TokenProvider, swift: Swift) -> None:
    """The token of TempAuth dies, Swift says 401, the door finds another."""
    access = door.open()
    assert works(access)
    swift.expire()
    assert not works(access)
    assert door.open() is access, "nobody told the door yet"
    another = door.renew(access)
    assert works(another) and another.token != access.token
    assert door.open() is another
