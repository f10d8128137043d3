"""API key file: add, list and revoke keys; verify passwords.

The file holds scrypt hashes (RFC 7914), never a password. It is replaced atomically and durably under a
lock, so that two commands at once lose no key. `auth` limits failed logins.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import scrypt
from hmac import compare_digest
from pathlib import Path
from typing import Final

from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.errors import ConfigError, StoreError, UsageError
from syncer.server.folder import Key, checked

_SCHEMA: Final = 1
_COST: Final = {
    "n": 2**14,
    "r": 8,
    "p": 1,
}  # 16 MiB and some 40 ms: OWASP's floor for scrypt is of this order
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_KEY_LENGTH, _PASSWORD_LENGTH = 32, 48  # SmartFile's own client refuses less than 30
_LETTERS: Final = string.ascii_letters + string.digits
_MAX_FILE: Final = 8 << 20
_MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key of the file, with the hash of its password."""

    key: Key
    token: str  # what a client sends as the user name
    salt: bytes
    hash: bytes

    def verifies(self, password: bytes) -> bool:
        """Whether the password is right. Takes the same time for every password."""
        return compare_digest(_hashed(password, self.salt), self.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The user name and password of a new key. Shown once, and in no log."""

    token: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(***)"


UNKNOWN_KEY: Final = KeyRecord(key=Key(name=""), token="", salt=bytes(_SALT_BYTES), hash=bytes(_HASH_BYTES))
"""Verifies no password, in the time that a real key takes."""


class KeyFile:
    """The key file of one server. Each method reads it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[KeyRecord, ...]:
        """All keys in the order they were made; none if there is no file. Raises ConfigError."""
        try:
            with self.path.open("rb") as file:
                text = file.read(_MAX_FILE + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigError(f"the key file {self.path} cannot be read: {error.strerror}") from error
        try:
            if len(text) > _MAX_FILE:
                raise ValueError("it is too large")
            document = json.loads(text)
            if document["schema"] != _SCHEMA:
                raise ValueError(f"its schema is {document['schema']!r}, this version knows {_SCHEMA}")
            return tuple(_record(line) for line in document["keys"])
        except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            raise ConfigError(
                f"the key file {self.path} is malformed ({type(error).__name__}: {error})",
                hint="restore it from a backup, or delete it and make the keys anew with --add-key",
            ) from error

    def add(self, name: str, *, under: RelPath = "", read_only: bool = False) -> Credentials:
        """Add a key. Raises UsageError for an invalid name or one that exists, ConfigError."""
        if not name or len(name) > _MAX_NAME or not name.isprintable() or name != name.strip():
            raise UsageError(
                f"{printable(name)!r} is no name for a key",
                hint=f"use up to {_MAX_NAME} printable characters without blanks around them",
            )
        new = Key(name=name, under=_confined(under), read_only=read_only)
        credentials = Credentials(token=_random(_KEY_LENGTH), password=_random(_PASSWORD_LENGTH))
        salt = secrets.token_bytes(_SALT_BYTES)
        record = KeyRecord(
            key=new, token=credentials.token, salt=salt, hash=_hashed(credentials.password.encode(), salt)
        )
        with self._changing() as records:
            if any(r.key.name == name for r in records):
                raise UsageError(
                    f"there is a key named {name!r} in {self.path} already",
                    hint="choose another name, or revoke that one first with --revoke-key",
                )
            self._write((*records, record))
        return credentials

    def revoke(self, name: str) -> Key:
        """Remove a key. Raises UsageError if there is none of that name, ConfigError."""
        with self._changing() as records:
            gone = [r for r in records if r.key.name == name]
            if not gone:
                known = ", ".join(r.key.name for r in records) or "none"
                raise UsageError(f"there is no key named {name!r} in {self.path}", hint=f"there are: {known}")
            self._write([r for r in records if r.key.name != name])
        return gone[0].key

    def exposed(self) -> bool:
        """Whether others than the owner can read the file."""
        try:
            return bool(self.path.stat().st_mode & 0o077)
        except OSError:
            return False

    def stamp(self) -> tuple[int, ...]:
        """Changes when the file is written; (0,) if there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return (0,)
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    @contextmanager
    def _changing(self) -> Iterator[tuple[KeyRecord, ...]]:
        """The keys as they are, under the lock of all commands that write the file. Raises ConfigError."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{self.path.parent} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()
        finally:
            os.close(lock)

    def _write(self, records: Sequence[KeyRecord]) -> None:
        lines = [
            {
                "name": record.key.name,
                "under": record.key.under,
                "read_only": record.key.read_only,
                "key": record.token,
                "salt": record.salt.hex(),
                "scrypt": record.hash.hex(),
            }
            for record in records
        ]
        text = json.dumps({"schema": _SCHEMA, "keys": lines}, indent=1).encode()
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            _save(fresh, text)
            fresh.replace(self.path)
            # The new name is durable before the key is shown, and a revoked key cannot come back.
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise ConfigError(f"the key file {self.path} cannot be written: {error.strerror}") from error


def _record(line: dict[str, object]) -> KeyRecord:
    if not isinstance(line["read_only"], bool):
        raise ValueError("read_only is neither true nor false")
    key = Key(name=str(line["name"]), under=_confined(str(line["under"])), read_only=line["read_only"])
    salt, hashed = bytes.fromhex(str(line["salt"])), bytes.fromhex(str(line["scrypt"]))
    if len(hashed) != _HASH_BYTES or not line["key"]:
        raise ValueError(f"the entry {key.name!r} is not complete")
    return KeyRecord(key=key, token=str(line["key"]), salt=salt, hash=hashed)


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _hashed(password: bytes, salt: bytes) -> bytes:
    return scrypt(password, salt=salt, **_COST, maxmem=64 << 20, dklen=_HASH_BYTES)


def _confined(under: RelPath) -> RelPath:
    """The path of a subfolder as a user wrote it. Raises UsageError."""
    try:
        return checked(under.strip("/"))
    except StoreError:
        raise UsageError(
            f"{printable(under)!r} is no subfolder of the served folder",
            hint='write it relative to the folder, for example "alice/docs"',
        ) from None


def _save(path: Path, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
