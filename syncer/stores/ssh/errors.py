"""Why an `ssh` process ended: its exit status and its last lines as an error with a hint.

Pure. The exit status and the moment (before or after the first byte of the protocol) decide first; texts only
refine, since they change between releases of OpenSSH (they are English in every locale). Status 255 is
ssh's own failure, and also what a remote command that was killed by a signal leaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncer.errors import AuthError, ConfigError, PermanentError, StoreError, TransientError

_NOT_EXECUTABLE, _NOT_FOUND, _SSH_FAILED = 126, 127, 255
_LONGEST_LINE = 300  # characters of a line in a message

_NEW_KEY = 'compare the fingerprint: run "ssh {host}" once by hand'
_LOGIN = "`ssh {host}` must work without a question: use ssh-add, or a key without passphrase"
_REACH = "is the machine on, and is its ssh server reachable from here? Try: ssh {host} true"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshEnd:
    """How an `ssh` process ended.

    `status` is its exit code, negative for a signal, None if it had to be killed by us. `established`: the
    protocol had begun. `noise`: bytes that came on stdout before the protocol. `program`: what was to be
    run at the remote end, for messages ("sftp", "syncer").
    """

    host: str
    status: int | None
    stderr: str
    noise: bytes = b""
    established: bool = False
    program: str = "sftp"


_Kind = type[StoreError] | type[ConfigError]

# Texts of OpenSSH (ssh.c, sshconnect.c, sshconnect2.c, packet.c, readconf.c), the most specific first.
_TEXTS: tuple[tuple[str, _Kind, str, str], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", AuthError, "the host key of {host} changed", ""),
    ("Host key for .* has changed", AuthError, "the host key of {host} changed", ""),
    ("Host key verification failed", AuthError, "the host key of {host} is unknown", _NEW_KEY),
    ("No .* host key is known for", AuthError, "the host key of {host} is unknown", _NEW_KEY),
    ("UNPROTECTED PRIVATE KEY FILE", AuthError, "ssh ignores a private key that others can read",
     "chmod 600 the key file"),
    (r"Permission denied \(|Too many authentication failures|No supported authentication methods",
     AuthError, "{host} refuses the login", _LOGIN),
    (r"Bad configuration option|Bad owner or permissions on|terminating, \d+ bad configuration",
     ConfigError, "ssh refuses its configuration", "see ~/.ssh/config, and `options` of the account"),
    ("Bad port|illegal option|unknown option|hostname contains invalid characters", ConfigError,
     "ssh refuses its command line", "see `options` of the account"),
    ("no matching (?:host key type|key exchange method|cipher|MAC)|Unable to negotiate", PermanentError,
     "{host} and the local ssh share no algorithm", "update the older one of the two"),
    ("subsystem request failed", PermanentError, "{host} offers no {program}",
     "the sshd_config there needs a line like: Subsystem sftp internal-sftp"),
    ("open failed: |Session open refused by peer", PermanentError, "{host} refuses another session",
     "see MaxSessions in its sshd_config"),
    ("Could not resolve hostname", TransientError, "cannot reach {host}: the name cannot be resolved",
     "check the host name, or the alias in ~/.ssh/config"),
    ("Connection refused", TransientError, "cannot reach {host}: the connection is refused", _REACH),
    ("not responding|timed out|Timeout", TransientError, "cannot reach {host}: no answer in time", _REACH),
    ("No route to host|Network is unreachable", TransientError, "cannot reach {host}: no route", _REACH),
    ("closed by|reset by peer|kex_exchange_identification|Broken pipe", TransientError,
     "cannot reach {host}: it closes the connection", _REACH),
)  # fmt: skip


def ssh_error(end: SshEnd) -> StoreError | ConfigError:
    """The error that the end of an `ssh` process stands for."""
    if end.established:
        return TransientError(_message(end, f"the connection to {end.host} broke off"))
    noise = _words(end.noise.decode("utf-8", "replace"))
    if "sftp connections only" in noise:
        return PermanentError(f"{end.host} allows only SFTP", hint="use an sftp: remote")
    if end.status == _NOT_FOUND:
        return PermanentError(
            _message(end, f"{end.program} is not installed on {end.host}, or not in its PATH"),
            hint=f"install {end.program} on {end.host}, or name its path in `command` of the account",
        )
    if end.status == _NOT_EXECUTABLE:
        return PermanentError(
            _message(end, f"{end.program} on {end.host} cannot be executed"), hint="check its permissions"
        )
    if noise:
        return noise_error(end.host, end.noise)
    if end.status is not None and 0 <= end.status < _NOT_EXECUTABLE:
        return PermanentError(
            _message(
                end, f"the login shell on {end.host} ended (exit {end.status}) before {end.program} started"
            ),
            hint=f"look at ~/.bashrc there: `ssh {end.host} true` must succeed and print nothing",
        )
    return _by_text(end)


def noise_error(host: str, noise: bytes) -> PermanentError:
    """Something else than the protocol came on stdout: most often a greeting that a start-up file prints."""
    text = _words(noise.decode("utf-8", "replace"))
    return PermanentError(
        f"the login shell on {host} prints text before the protocol starts: {text[:200]!r}",
        hint=f"`ssh {host} true` must print nothing: look at ~/.bashrc there",
    )


def missing_error(program: str) -> ConfigError:
    """The `ssh` program itself could not be started."""
    return ConfigError(
        f"cannot start {program!r}", hint="install OpenSSH's client, on Debian: apt install openssh-client"
    )


def _by_text(end: SshEnd) -> StoreError | ConfigError:
    for pattern, kind, message, hint in _TEXTS:
        if re.search(pattern, end.stderr):
            names = {"host": end.host, "program": end.program}
            known = re.search(r"^\s*(ssh-keygen -f .* -R .*)$", end.stderr, re.MULTILINE)
            if "changed" in message:
                hint = "if the change is expected, forget the old key" + (
                    f": {_words(known[1])}" if known else ""
                )
            return kind(_message(end, message.format(**names)), hint=hint.format(**names))
    return TransientError(_message(end, f"cannot reach {end.host}"), hint=_REACH.format(host=end.host))


def _message(end: SshEnd, text: str) -> str:
    """With the last line that came on stderr: what a person would paste into a search box."""
    lines = [line for line in map(_words, end.stderr.splitlines()) if line and not set(line) <= set("@")]
    return f"{text}; ssh: {lines[-1][:_LONGEST_LINE]}" if lines else text


def _words(text: str) -> str:
    """On one line, without control characters (the remote end writes them)."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
