"""The unit of systemd's user manager: its text, where it belongs, and the commands that make it known. Pure.

What is left out on purpose, since it would break what people sync or run:
- sandboxes of the file system (ProtectHome, PrivateTmp, ReadWritePaths and their like): roots may be
  anywhere, and in a user's manager they come with a user namespace, where other owners look like nobody;
- UMask=: files that a remote holds no mode for get the user's own;
- NoNewPrivileges= and every filter of system calls, which imply it there: a hook or a secret's command may
  need a program with setuid or setgid (sudo, most mailers). `--harden` adds those for who needs none;
- MemoryMax=: a tree of a million files is no mistake.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from syncer.config import Settings
from syncer.daemon.service.spec import ServiceSpec, Step
from syncer.errors import ConfigError

# --------------------------------------------------------------------------------
#
# Words and paths as systemd's unit files hold them (systemd.syntax(7), systemd.service(5)). Pure.
#
# Three things are read in a command: quotes with C escapes, then `%` specifiers, then `$` variables.


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


NAME = "syncer.service"
VERSION = ("systemctl", "--version")
_STEPS_SINCE = 254  # RestartSteps=

_UNIT = """\
[Unit]
Description=Syncer: keeps folders and their remotes in step

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=kill -HUP $MAINPID
{environment}
# Only the daemon is asked to stop; it ends its hooks itself. It needs 5 s at most, and goes on later.
KillMode=mixed
TimeoutStopSec=30
# It tells every half of this that it is alive; else it is started again.
WatchdogSec=120

# Started again after a crash, a kill, a hang, and after exit 5 (its state could not be used: the disk may
# come back) and 6 (somebody runs a daemon by hand, and will end it). Not after 2 (the config is wrong) and
# 7 (credentials are): these wait for a person, and who tries wrong ones again and again may be locked out.
# 0 is `syncer stop`; 130 and 143 are a clean stop by a signal.
Restart=on-failure
{restart}
RestartPreventExitStatus=2 7
SuccessExitStatus=130 143

# After the programs that a person waits for, yet not only when all else is idle.
Nice=5
IOSchedulingClass=best-effort
IOSchedulingPriority=7
# A core dump would hold credentials.
LimitCORE=0
{hardening}
[Install]
WantedBy=default.target
"""

_HARDENING = """\
# --harden: no hook and no secret's command may need setuid or setgid programs.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""


def environment_file(wanted: ServiceSpec) -> Path:
    """Where a person puts what the service is to find in its environment, such as secrets."""
    return wanted.config.parent / "environment"


def unit(wanted: ServiceSpec, *, version: int = 0) -> str:
    """The unit's text. `version` is systemd's, 0 if unknown: what it would complain of is left out."""
    steps = (
        "RestartSec=2\nRestartSteps=8\nRestartMaxDelaySec=300" if version >= _STEPS_SINCE else "RestartSec=15"
    )
    lines = [f"Environment={assignment(*item)}" for item in sorted(wanted.environment.items())]
    lines += ["# Secrets and other variables, NAME=value; may be missing.",
              f"EnvironmentFile=-{path(str(environment_file(wanted)))}"]  # fmt: skip
    return _UNIT.format(
        command=command(wanted.words),
        environment="\n".join(lines),
        restart=steps,
        hardening=_HARDENING if wanted.harden else "",
    )


def version_of(output: str) -> int:
    """The number in what `systemctl --version` says; 0 if there is none."""
    words = output.split()
    number = words[1] if len(words) > 1 and words[0] == "systemd" else ""
    return int(number) if number.isascii() and number.isdigit() else 0


class UserManager:
    """systemd's user manager, as `installer` sees it. `config_home`: $XDG_CONFIG_HOME (systemd.unit(5))."""

    kind = "systemd"

    def __init__(self, config_home: Path, *, version: int = 0) -> None:
        self.path = config_home / "systemd" / "user" / NAME
        self._version = version

    def text(self, wanted: ServiceSpec) -> str:
        """The definition."""
        return unit(wanted, version=self._version)

    def variables(self, wanted: ServiceSpec) -> Path | None:
        """The file of variables that the service reads."""
        return environment_file(wanted)

    def known(self, *, start: bool, changed: bool) -> tuple[Step, ...]:
        """After it was written: make it known, and with `start` run it now and at every login."""
        reload = Step(words=("systemctl", "--user", "daemon-reload"))
        if not start:
            return (reload,)
        enable = Step(words=("systemctl", "--user", "enable", "--now", NAME))
        # One that runs already would go on as it was begun.
        again = (Step(words=("systemctl", "--user", "try-restart", NAME)),) if changed else ()
        return (reload, enable, *again)

    def before_removal(self) -> tuple[Step, ...]:
        """While it is still there: its [Install] section says what is to be undone."""
        return (Step(words=("systemctl", "--user", "disable", "--now", NAME)),)

    def after_removal(self) -> tuple[Step, ...]:
        """The manager forgets it."""
        return (Step(words=("systemctl", "--user", "daemon-reload")),)

    def remarks(self, settings: Settings) -> tuple[str, ...]:
        """What a person should know of services here."""
        return ("it runs while you are logged in; always: loginctl enable-linger",)
