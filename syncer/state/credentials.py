"""Credential store: tokens of a login, in the system's keyring if there is one, else in a private file.

One JSON document for each account in `tokens/` below the state directory (0700, files 0600). With a keyring
it says only that the values are there. Tokens are never written to the config, the database, a log or a
message.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from syncer.errors import AuthError, StateError
from syncer.state.directory import prepare, replace_file, sync

_SERVICE = "syncer"
_SCHEMA = 1
_LARGEST = 1 << 20  # bytes
_SAFE_NAME = (
    180  # bytes of a file name: the quoted name of an account, ".json", and what a temporary one adds
)


class SystemKeyring(Protocol):
    """A keyring: texts by service and user, as the `keyring` package has them. May raise anything."""

    def get_password(self, service: str, user: str) -> str | None: ...

    def set_password(self, service: str, user: str, password: str) -> None: ...

    def delete_password(self, service: str, user: str) -> None: ...


def system_vault() -> SystemKeyring | None:
    """The keyring of this session; None without the package `keyring`, or without a recommended back end."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        backend = keyring.get_keyring()
        # The package recommends priorities of 1 and more: lower ones store nothing, or store plain text.
        found: SystemKeyring | None = backend if backend.priority >= 1 else None
    except Exception:  # noqa: BLE001 - back ends raise anything; then a file is used
        return None
    return found


class CredentialStore:
    """The tokens of one account, as texts by name.

    They are bound to a `purpose`, such as the service and the application. If the account of the config has
    another purpose now, `load` returns none, so that no token is sent to another service.
    """

    def __init__(
        self, state_dir: Path, account: str, *, vault: Callable[[], SystemKeyring | None] = system_vault
    ) -> None:
        """`vault` returns the keyring when one is needed, or None."""
        name = quote(account, safe="")
        if len(name) > _SAFE_NAME:
            raise StateError(f"the name of the account {account[:40]}… is too long to keep a login for it")
        self.account = account
        self.path = state_dir / "tokens" / f"{name}.json"
        self._find_vault = vault

    def load(self, purpose: str) -> Mapping[str, str] | None:
        """The values last saved for this purpose, or None. Raises AuthError, StateError."""
        document = self._document()
        if document is None or document.get("for") != purpose:
            return None
        if document.get("kept") == "keyring":
            return self._load_from_keyring()
        return _texts(document.get("values"), self._broken)

    def save(self, purpose: str, values: Mapping[str, str]) -> str:
        """Store values durably, in place of the old ones; returns "keyring" or "file". Raises StateError."""
        document: dict[str, object] = {"schema": _SCHEMA, "for": purpose}
        with self._locked():
            if self._save_in_keyring(json.dumps(dict(values))):
                self._write({**document, "kept": "keyring"})
                return "keyring"
            self._write({**document, "kept": "file", "values": dict(values)})
            return "file"

    def forget(self) -> bool:
        """Delete the values of any purpose; False if there were none. Raises AuthError, StateError."""
        if not self.path.parent.is_dir():
            return False
        with self._locked():
            exists = self.path.exists()
            if exists:
                self._delete_from_keyring()  # first: the document says that there are values
            with _translated(self.path):
                self.path.unlink(missing_ok=True)
                sync(self.path.parent)
            return exists

    # -- the keyring ---------------------------------------------------------------

    @property
    def _user(self) -> str:
        return str(self.path)  # differs for accounts of the same name in two state directories

    def _save_in_keyring(self, text: str) -> bool:
        vault = self._find_vault()
        if vault is None:
            return False
        try:
            vault.set_password(_SERVICE, self._user, text)
        except Exception:  # noqa: BLE001 - locked, full, gone: then a file is used
            return False
        return True

    def _load_from_keyring(self) -> Mapping[str, str]:
        try:
            vault = self._find_vault()
            text = vault.get_password(_SERVICE, self._user) if vault else None
        except Exception as error:  # noqa: BLE001 - back ends raise what they like
            raise AuthError(
                f"the keyring with the login of {self.account} failed: {type(error).__name__}",
                hint=f"unlock it, or log in again: syncer login {self.account}",
            ) from None
        if text is None:
            raise AuthError(
                f"the keyring does not hold the login of {self.account} (any more)", hint=self._again
            )
        return _texts(_parsed(text), self._broken)

    def _delete_from_keyring(self) -> None:
        """Also if the document has the values itself: older ones may still be in the keyring."""
        vault = self._find_vault()
        try:
            if vault is not None and vault.get_password(_SERVICE, self._user) is not None:
                vault.delete_password(_SERVICE, self._user)
        except Exception as error:  # noqa: BLE001 - back ends raise what they like
            raise self._stuck(type(error).__name__) from None
        if vault is None:
            try:
                in_keyring = (self._document() or {}).get("kept") == "keyring"
            except AuthError:
                in_keyring = False
            if in_keyring:
                raise self._stuck("it cannot be reached now")

    def _stuck(self, reason: str) -> AuthError:
        return AuthError(
            f"the keyring does not let go of the login of {self.account}: {reason}",
            hint="log out where the keyring is unlocked, so that nothing stays in it",
        )

    # -- the file ------------------------------------------------------------------

    def _document(self) -> Mapping[str, object] | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StateError(f"{self.path} cannot be read: {error.strerror}") from None
        with open(descriptor, "rb") as file, _translated(self.path):
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)  # it was copied or restored without its mode
            document = _parsed(file.read(_LARGEST))
        if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
            raise self._broken
        return document

    def _write(self, document: Mapping[str, object]) -> None:
        with _translated(self.path):
            replace_file(self.path, json.dumps(document).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock `tokens/`: one writer at a time, so that temporary files of a killed one can be deleted."""
        directory = self.path.parent
        prepare(directory)
        with _translated(directory):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _translated(directory):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                for name in os.listdir(directory):
                    if name.startswith(f"{self.path.name}.") and name.endswith(".tmp"):
                        (directory / name).unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    @property
    def _again(self) -> str:
        return f"log in again: syncer login {self.account}"

    @property
    def _broken(self) -> AuthError:
        return AuthError(f"{self.path} is no login that this version understands", hint=self._again)


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _texts(value: object, broken: AuthError) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise broken
    return value


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{path}: the login cannot be kept: {error.strerror}",
            hint="make state_dir writable for this user, or name another one",
        ) from None
