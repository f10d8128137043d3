"""A given storage URL and token: there is no login; renewal only reads the token again."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncer.errors import AuthError
from syncer.stores.swift.auth import Access
from syncer.stores.swift.auth.http import Secret, guarded, host_of, storage_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticTokenProvider:
    """A `TokenProvider`. `token` is called each time: one from a file or a command may have changed."""

    storage_url: str
    token: Secret = field(repr=False)
    insecure: bool = False

    def open(self) -> Access:
        guarded("swift", self.storage_url, key="storage_url", insecure=self.insecure)
        url = storage_of(self.storage_url, insecure=self.insecure)
        return Access(storage_url=url, token=self.token())

    def renew(self, spent: Access) -> Access:
        """The token as it is now, if it is another one. Raises AuthError if it is not."""
        access = self.open()
        if access.token == spent.token:
            raise AuthError(
                f"{host_of(self.storage_url)}: the token is refused or expired",
                hint="put a new one into `token` of the account, or let Syncer log in (another `auth`)",
            )
        return access

    def free_space(self) -> int | None:
        return None
