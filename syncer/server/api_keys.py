"""API keys in a file: made, listed, revoked; read and checked by a running server.

The file holds scrypt hashes (RFC 7914) of the passwords, never a password. It is written beside itself, made
durable and renamed, under a lock, so that two commands at once lose no key. Who may
try how often is settled by `auth`.
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
class Record:
    """One line of the file: who (`key`), where to, and the hash of the password."""

    key: Key
    token: str  # what a client sends as its name
    salt: bytes
    hash: bytes

    def verifies(self, password: bytes) -> bool:
        """Costs the same for every password."""
        return compare_digest(_hashed(password, self.salt), self.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a new key is used with. Shown once, and in no log."""

    token: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(***)"


NOBODY: Final = Record(key=Key(name=""), token="", salt=bytes(_SALT_BYTES), hash=bytes(_HASH_BYTES))
"""Verifies nothing, at the cost of a real one."""


class KeyFile:
    """The file of one server. Each method reads it afresh."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Record, ...]:
        """In the order they were made; none where there is no file. Raises ConfigError."""
        try:
            with self.path.open("rb") as file:
                text = file.read(_MAX_FILE + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigError(f"the key file {self.path} cannot be read: {error.strerror}") from error
        return tuple(self._parsed(text))

    def add(self, name: str, *, under: RelPath = "", read_only: bool = False) -> Credentials:
        """Raises UsageError for a name that is taken or none, ConfigError."""
        new = Key(name=_named(name), under=_confined(under), read_only=read_only)
        made = Credentials(token=_random(_KEY_LENGTH), password=_random(_PASSWORD_LENGTH))
        salt = secrets.token_bytes(_SALT_BYTES)
        record = Record(key=new, token=made.token, salt=salt, hash=_hashed(made.password.encode(), salt))
        with self._changing() as records:
            if any(r.key.name == name for r in records):
                raise UsageError(
                    f"there is a key named {name!r} in {self.path} already",
                    hint="choose another name, or revoke that one first with --revoke-key",
                )
            self._write((*records, record))
        return made

    def revoke(self, name: str) -> Key:
        """Raises UsageError for a name that is not there, ConfigError."""
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
        """Equal while the file was not written; (0,) where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return (0,)
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    @contextmanager
    def _changing(self) -> Iterator[tuple[Record, ...]]:
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

    def _write(self, records: Sequence[Record]) -> None:
        text = json.dumps({"schema": _SCHEMA, "keys": [_line(r) for r in records]}, indent=1).encode()
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            _save(fresh, text)
            fresh.replace(self.path)
            _sync(self.path.parent)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise ConfigError(f"the key file {self.path} cannot be written: {error.strerror}") from error

    def _parsed(self, text: bytes) -> Iterator[Record]:
        try:
            if len(text) > _MAX_FILE:
                raise ValueError("it is too large")
            document = json.loads(text)
            if document["schema"] != _SCHEMA:
                raise ValueError(f"its schema is {document['schema']!r}, this version knows {_SCHEMA}")
            yield from [_record(line) for line in document["keys"]]
        except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            raise ConfigError(
                f"the key file {self.path} is malformed ({type(error).__name__}: {error})",
                hint="restore it from a backup, or delete it and make the keys anew with --add-key",
            ) from error


def _line(record: Record) -> dict[str, object]:
    key = record.key
    return {
        "name": key.name,
        "under": key.under,
        "read_only": key.read_only,
        "key": record.token,
        "salt": record.salt.hex(),
        "scrypt": record.hash.hex(),
    }


def _record(line: dict[str, object]) -> Record:
    if not isinstance(line["read_only"], bool):
        raise ValueError("read_only is neither true nor false")
    key = Key(name=str(line["name"]), under=_confined(str(line["under"])), read_only=line["read_only"])
    salt, hashed = bytes.fromhex(str(line["salt"])), bytes.fromhex(str(line["scrypt"]))
    if len(hashed) != _HASH_BYTES or not line["key"]:
        raise ValueError(f"the entry {key.name!r} is not complete")
    return Record(key=key, token=str(line["key"]), salt=salt, hash=hashed)


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _hashed(password: bytes, salt: bytes) -> bytes:
    return scrypt(password, salt=salt, **_COST, maxmem=64 << 20, dklen=_HASH_BYTES)


def _named(name: str) -> str:
    if not name or len(name) > _MAX_NAME or not name.isprintable() or name != name.strip():
        raise UsageError(
            f"{printable(name)!r} is no name for a key",
            hint=f"use up to {_MAX_NAME} printable characters without blanks around them",
        )
    return name


def _confined(under: RelPath) -> RelPath:
    """A subfolder as a user writes it, as a path. Raises UsageError."""
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


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
