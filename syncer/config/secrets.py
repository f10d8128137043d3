"""`Secret`: a value from the config file, the environment, a file, a command or the keyring.

A `Secret` never shows its value in `str`, `repr`, logs or dumps, and looks it up only
when `reveal` is called. Nothing is ever written: keeping tokens is the stores' affair.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncer.config.paths import read_path
from syncer.config.permissions import others_may_write
from syncer.errors import AuthError, ConfigError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, ValidationInfo
    from pydantic_core import CoreSchema

_log = logging.getLogger(__name__)
SOURCES = ("env", "file", "command", "keyring")
MASK = "********"
_SHAPES = 'a secret is "text", {env = "NAME"}, {file = "PATH"}, {command = "…"} or {keyring = "SERVICE/USER"}'


class Secret:
    """A value to be kept secret: `source` is `text` or one of SOURCES, `where` what it names there."""

    __slots__ = ("_base", "_value", "source", "where")

    def __init__(self, source: str, where: str | tuple[str, ...], *, base: Path | None = None) -> None:
        self.source = source
        self.where: str | tuple[str, ...] = "" if source == "text" else where
        self._value: str | None = str(where) if source == "text" else None
        self._base = base or Path()

    @classmethod
    def parse(cls, value: object, base: Path | None = None) -> Secret:
        """From the config's value; files are relative to `base`. Raises ValueError, without the value."""
        if isinstance(value, str) and value:
            return cls("text", value)
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError(_SHAPES)
        [(source, where)] = value.items()
        if source not in SOURCES:
            raise ValueError(_SHAPES)
        if (
            source == "command"
            and isinstance(where, list)
            and where
            and all(isinstance(w, str) for w in where)
        ):
            return cls(source, tuple(where), base=base)
        if not isinstance(where, str) or not where:
            raise ValueError(_SHAPES)
        if source == "keyring" and not all(where.partition("/")):
            raise ValueError('keyring names a service and a user: {keyring = "SERVICE/USER"}')
        return cls(source, where, base=base)

    @property
    def literal(self) -> bool:
        """Whether the value itself stands in the config file."""
        return self.source == "text"

    def reveal(self) -> str:
        """The value. Raises AuthError where it cannot be had, ConfigError for a missing extra."""
        if self._value is None:
            self._value = {
                "env": self._from_environment,
                "file": self._from_file,
                "command": self._from_command,
                "keyring": self._from_keyring,
            }[self.source]()
        return self._value

    def _from_environment(self) -> str:
        value = os.environ.get(str(self.where), "")
        if not value:
            raise AuthError(
                f"the environment variable {self.where} is not set",
                hint=f"set it, for example: export {self.where}=…",
            )
        return value

    def _from_file(self) -> str:
        try:
            path = read_path(self.where, self._base.absolute())
        except ValueError as error:
            raise AuthError(f"the secret file {self.where}: {error}") from None
        try:
            if others_may_write(path):
                _log.warning("others may write the secret file %s: chmod 600 it", path)
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise AuthError(f"cannot read the secret file {path}: {reason}") from None
        return self._filled(value, f"the secret file {path} is empty")

    def _from_command(self) -> str:
        name = "of the config"
        try:
            words = list(self.where) if isinstance(self.where, tuple) else shlex.split(self.where)
            name = repr(words[0])
            done = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=120, text=True)
        except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
            status = getattr(error, "returncode", None)
            why = f"it ended with status {status}" if status is not None else type(error).__name__
            raise AuthError(f"the command {name} gave no secret: {why}") from None
        return self._filled(done.stdout.rstrip("\r\n"), f"the command {name} printed no secret")

    def _from_keyring(self) -> str:
        try:
            import keyring
        except ImportError:
            raise ConfigError(
                "the keyring package is not installed",
                hint="pip install 'syncer-delta[keyring]', or use {env}, {file} or {command}",
            ) from None
        service, _, user = str(self.where).partition("/")
        try:
            value = keyring.get_password(service, user)
        except Exception as error:  # noqa: BLE001 - keyring's back ends raise what they like
            raise AuthError(f"the keyring failed: {type(error).__name__}") from None
        return self._filled(value or "", f"the keyring holds nothing for {self.where}")

    @staticmethod
    def _filled(value: str, complaint: str) -> str:
        if not value:
            raise AuthError(complaint)
        return value

    def describe(self) -> str | dict[str, str | list[str]]:
        """As `config show` prints it: the place, never the value."""
        if self.literal:
            return MASK
        return {self.source: list(self.where) if isinstance(self.where, tuple) else self.where}

    def __repr__(self) -> str:
        return f"Secret({MASK})" if self.literal else f"Secret({self.source})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self.source, self.where, self._value if self.literal else None) == (
            other.source,
            other.where,
            other._value if other.literal else None,
        )

    def __hash__(self) -> int:
        return hash((self.source, self.where))

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret is not to be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def validate(value: object, info: ValidationInfo) -> Secret:
            return value if isinstance(value, Secret) else cls.parse(value, (info.context or {}).get("base"))

        return core_schema.with_info_plain_validator_function(validate)
