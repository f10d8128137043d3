"""Words and paths as systemd's unit files hold them (systemd.syntax(7), systemd.service(5)). Pure.

Three things are read in a command: quotes with C escapes, then `%` specifiers, then `$` variables.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from syncer.errors import ConfigError

_NAMED = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}
_NOT_IN_A_PROGRAM = "\"'\\$"  # systemd refuses a program's path with quotes; `$` is read differently there
_ENV = "/usr/bin/env"


def command(words: Sequence[str]) -> str:
    """A command line. Raises ConfigError for a program that systemd could not be told of."""
    program = words[0]
    if not any(c in _NOT_IN_A_PROGRAM or not c.isprintable() for c in program):
        return " ".join([_program(program), *map(argument, words[1:])])
    if "=" in program:  # `env` would take it for a variable
        raise ConfigError(
            f"systemd cannot be told to run {program!r}",
            hint="install Syncer at a path without quotes, dollar signs and control characters",
        )
    return " ".join([_ENV, *map(argument, words)])


def argument(word: str) -> str:
    """One argument: nothing in it is expanded, split or unescaped."""
    return _quoted(word.replace("%", "%%").replace("$", "$$"))


def assignment(name: str, value: str) -> str:
    """`NAME=value` for Environment=, where `$` means nothing."""
    return _quoted(f"{name}={value}".replace("%", "%%"))


def path(value: str) -> str:
    """A path that takes the rest of its line, for EnvironmentFile=. Raises ConfigError."""
    if not value.isprintable() or value != value.strip():
        raise ConfigError(
            f"systemd cannot be told of {value!r}",
            hint="keep the config file at a path without control characters and blanks at its ends",
        )
    return value.replace("%", "%%")


def _program(program: str) -> str:
    text = program.replace("%", "%%")
    return f'"{text}"' if any(c.isspace() for c in text) else text


def _quoted(word: str) -> str:
    if word and all(c.isascii() and (c.isalnum() or c in "-_./:=@+,%") for c in word):
        return word
    return '"' + "".join(map(_escaped, word)) + '"'


def _escaped(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
