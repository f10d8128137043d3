"""Each way in which ssh ends is named, with a hint: texts of OpenSSH 9.2, recorded."""

from __future__ import annotations

import pytest

from syncer.errors import AuthError, ConfigError, PermanentError, TransientError
from syncer.stores.ssh.errors import SshEnd, noise_error, ssh_error

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Offending ED25519 key in /home/me/.ssh/known_hosts:1
  remove with:
  ssh-keygen -f "/home/me/.ssh/known_hosts" -R "[127.0.0.1]:2222"
Host key for [127.0.0.1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "message", "hint"),
    [
        (255, CHANGED, AuthError, "the host key of box changed", 'ssh-keygen -f "/home/me/'),
        (255, "Host key verification failed.\r\n", AuthError, "the host key of box is unknown", "ssh box"),
        (255, "me@box: Permission denied (publickey).\r\n", AuthError, "box refuses the login", "ssh-add"),
        (255, "Received disconnect from ::1: Too many authentication failures", AuthError, "refuses",
         "ssh-add"),
        (255, "Permissions 0644 are too open: UNPROTECTED PRIVATE KEY FILE!", AuthError, "others", "chmod"),
        (255, "ssh: Could not resolve hostname box: Name or service not known", TransientError,
         "cannot reach box: the name cannot be resolved", "~/.ssh/config"),
        (255, "ssh: connect to host box port 22: Connection refused", TransientError,
         "cannot reach box: the connection is refused", "ssh box true"),
        (255, "ssh: connect to host box port 22: Connection timed out", TransientError, "in time", "on"),
        (255, "ssh: connect to host box port 22: No route to host", TransientError, "no route", "on"),
        (255, "kex_exchange_identification: read: Connection reset by peer", TransientError, "closes", "on"),
        (255, "subsystem request failed on channel 0", PermanentError, "box offers no sftp", "Subsystem"),
        (255, "Unable to negotiate with ::1: no matching host key type found", PermanentError,
         "share no algorithm", "update"),
        (255, "/home/me/.ssh/config: line 1: Bad configuration option: frob", ConfigError,
         "ssh refuses its configuration", "~/.ssh/config"),
        (255, "", TransientError, "cannot reach box", "ssh box true"),
        (127, "bash: syncer: command not found", PermanentError, "sftp is not installed on box", "install"),
        (126, "bash: line 1: syncer: Permission denied", PermanentError, "cannot be executed", "permissions"),
        (3, "", PermanentError, "the login shell on box ended (exit 3)", "~/.bashrc"),
        (None, "Timeout, server box not responding.", TransientError, "no answer in time", "on"),
        (-9, "", TransientError, "cannot reach box", "box"),
    ],
)  # fmt: skip
def test_an_end_before_the_protocol_is_named(
    status: int | None, stderr: str, kind: type[Exception], message: str, hint: str
) -> None:
    error = ssh_error(SshEnd(host="box", status=status, stderr=stderr))
    assert type(error) is kind
    assert message in error.message
    assert hint in error.hint


def test_the_last_line_of_ssh_follows_on_one_line_without_control_characters() -> None:
    error = ssh_error(SshEnd(host="box", status=255, stderr="first\nssh: odd \x1b[31mthing\x07\r\n\n"))
    assert error.message == "cannot reach box; ssh: ssh: odd [31mthing"


@pytest.mark.parametrize("status", [0, 1, 127, 255, None, -9])
def test_an_end_within_the_protocol_is_a_broken_connection_whatever_the_status(status: int | None) -> None:
    end = SshEnd(host="box", status=status, stderr="Permission denied (publickey)", established=True)
    error = ssh_error(end)
    assert isinstance(error, TransientError)
    assert "the connection to box broke off" in error.message


def test_a_greeting_on_stdout_is_shown_with_the_place_to_look() -> None:
    error = ssh_error(SshEnd(host="box", status=None, stderr="", noise=b"\x1b[1mWelcome to box!\nHave fun\n"))
    assert "Welcome to box! Have fun" in error.message
    assert "~/.bashrc" in error.hint
    assert len(noise_error("box", b"x" * 100_000).message) < 400


def test_a_host_that_allows_only_sftp_says_so() -> None:
    end = SshEnd(host="box", status=1, stderr="", noise=b"This service allows sftp connections only.\n")
    assert ssh_error(end).message == "box allows only SFTP"
