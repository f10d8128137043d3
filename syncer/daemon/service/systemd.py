"""systemd user unit: its text with the quoting of systemd.syntax(7), its path, and the systemctl commands.
Pure.

Left out on purpose, since it would break what users sync or run:
- sandboxes of the file system (ProtectHome, PrivateTmp, ReadWritePaths and their like): roots may be
  anywhere, and in a user's manager they come with a user namespace, where files of other users appear as
  nobody's;
- UMask=: files without a mode at the remote get the user's own umask;
- NoNewPrivileges= and every filter of system calls, which imply it there: a hook or a secret's command may
  need a program with setuid or setgid (sudo, most mailers). `--harden` adds them for users without such
  programs;
- MemoryMax=: a tree of a million files is legitimate.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from syncer.config import Settings
from syncer.daemon.service.spec import ServiceSpec, Step
from syncer.errors import ConfigError

# Quoting (systemd.syntax(7), systemd.service(5)): systemd reads a command line in three steps, quotes with C
# escapes, then `%` specifiers, then `$` variables.
_NAMED = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}
_NOT_IN_A_PROGRAM = "\"'\\$"  # systemd refuses a program's path with quotes; `$` is read differently there
_ENV = "/usr/bin/env"


def command(words: Sequence[str]) -> str:
    """Quote a command line. Raises ConfigError if systemd cannot express the path of the program."""
    program = words[0]
    if not any(c in _NOT_IN_A_PROGRAM or not c.isprintable() for c in program):
        quoted = program.replace("%", "%%")
        if any(c.isspace() for c in quoted):
            quoted = f'"{quoted}"'
        return " ".join([quoted, *map(argument, words[1:])])
    if "=" in program:  # `env` would take it for a variable
        raise ConfigError(
            f"systemd cannot be told to run {program!r}",
            hint="install Syncer at a path without quotes, dollar signs and control characters",
        )
    return " ".join([_ENV, *map(argument, words)])


def argument(word: str) -> str:
    """Quote one argument, so that systemd expands, splits and unescapes nothing in it."""
    return _quoted(word.replace("%", "%%").replace("$", "$$"))


def assignment(name: str, value: str) -> str:
    """Quote `NAME=value` for Environment=, where `$` has no special meaning."""
    return _quoted(f"{name}={value}".replace("%", "%%"))


def path(value: str) -> str:
    """Quote a path for EnvironmentFile=, where it takes the rest of the line. Raises ConfigError."""
    if not value.isprintable() or value != value.strip():
        raise ConfigError(
            f"systemd cannot be told of {value!r}",
            hint="keep the config file at a path without control characters and blanks at its ends",
        )
    return value.replace("%", "%%")


def _quoted(word: str) -> str:
    if word and all(c.isascii() and (c.isalnum() or c in "-_./:=@+,%") for c in word):
        return word
    quoted = ""
    for char in word:
        if char in _NAMED:
            quoted += _NAMED[char]
        elif char.isprintable():
            quoted += char
        else:
            quoted += "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
    return f'"{quoted}"'


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
    """The file in which the user sets variables of the service, such as secrets."""
    return wanted.config.parent / "environment"


def unit(wanted: ServiceSpec, *, version: int = 0) -> str:
    """The text of the unit. `version` of systemd, 0 if unknown: settings it lacks are omitted."""
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
    """The version number in the output of `systemctl --version`; 0 if there is none."""
    words = output.split()
    number = words[1] if len(words) > 1 and words[0] == "systemd" else ""
    return int(number) if number.isascii() and number.isdigit() else 0


class UserManager:
    """The `installer.Manager` for systemd --user. `config_home`: $XDG_CONFIG_HOME (systemd.unit(5))."""

    kind = "systemd"

    def __init__(self, config_home: Path, *, version: int = 0) -> None:
        self.path = config_home / "systemd" / "user" / NAME
        self._version = version

    def text(self, wanted: ServiceSpec) -> str:
        """The text of the definition."""
        return unit(wanted, version=self._version)

    def variables(self, wanted: ServiceSpec) -> Path | None:
        """The file of variables that the service reads."""
        return environment_file(wanted)

    def known(self, *, start: bool, changed: bool) -> tuple[Step, ...]:
        """The commands after the file was written: load, and with `start` run now and at every login."""
        reload = Step(words=("systemctl", "--user", "daemon-reload"))
        if not start:
            return (reload,)
        enable = Step(words=("systemctl", "--user", "enable", "--now", NAME))
        # A running service would keep its old definition.
        again = (Step(words=("systemctl", "--user", "try-restart", NAME)),) if changed else ()
        return (reload, enable, *again)

    def before_removal(self) -> tuple[Step, ...]:
        """Stop and disable, while the unit file exists: its [Install] section says what to undo."""
        return (Step(words=("systemctl", "--user", "disable", "--now", NAME)),)

    def after_removal(self) -> tuple[Step, ...]:
        """Unload the removed unit."""
        return (Step(words=("systemctl", "--user", "daemon-reload")),)

    def remarks(self, settings: Settings) -> tuple[str, ...]:
        """Notes for the user about services on this system."""
        return ("it runs while you are logged in; always: loginctl enable-linger",)
