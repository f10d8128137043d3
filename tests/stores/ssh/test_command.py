"""The command line of ssh: options of the account first, then ours, the host behind `--`."""

from __future__ import annotations

from syncer.stores.ssh.command import SshOptions, command_arguments, subsystem_arguments
from syncer.stores.ssh.location import Destination


def test_the_options_of_the_account_stand_before_ours_so_that_they_win() -> None:
    options = SshOptions(extra=("-o", "ServerAliveInterval=5"))
    arguments = subsystem_arguments(Destination(host="box"), options, "sftp")
    assert arguments.index("ServerAliveInterval=5") < arguments.index("ServerAliveInterval=15")
    assert arguments[-4:] == ["-s", "--", "box", "sftp"]


def test_user_and_port_are_options_and_left_out_where_ssh_chooses() -> None:
    plain = command_arguments(Destination(host="box"), SshOptions(batch=False), "syncer serve")
    assert "-p" not in plain and "-l" not in plain and "BatchMode=yes" not in plain
    full = command_arguments(Destination(host="box", user="me", port=2222), SshOptions(), "true")
    assert full[full.index("-p") + 1] == "2222" and full[full.index("-l") + 1] == "me"
    assert "BatchMode=yes" in full
    assert full[-3:] == ["--", "box", "true"]


def test_nothing_is_forwarded_and_nothing_compressed() -> None:
    arguments = subsystem_arguments(Destination(host="box"), SshOptions(), "sftp")
    assert {"ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "Compression=no"} <= set(arguments)
