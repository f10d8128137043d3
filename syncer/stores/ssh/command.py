"""The command line of `ssh`: which options every connection gets, and in which order.

Pure. `ssh` takes the first value that it meets for an option: the options of the account stand first, then
those of this module, and `~/.ssh/config` comes last. So a dead network is noticed within a minute even
where the user's own configuration says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncer.stores.ssh.location import Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class SshOptions:
    """How `ssh` is started.

    `program` is the command with its first arguments; `extra` are arguments that stand before all others, as
    `("-F", "/path/config")` or `("-o", "ProxyJump=gate")`. `batch`: never ask, for a daemon, cron or
    `--json`; else `ssh` may ask on the terminal for a passphrase or about a host key. The times are whole
    seconds.
    """

    program: tuple[str, ...] = ("ssh",)
    extra: tuple[str, ...] = ()
    batch: bool = True
    connect_timeout: int = 20
    alive_interval: int = 15
    alive_count: int = 4


def subsystem_arguments(at: Destination, options: SshOptions, name: str) -> list[str]:
    """The command line that starts a subsystem of the server (`sftp`) on a pipe."""
    return [*_options(at, options), "-s", "--", at.host, name]


def command_arguments(at: Destination, options: SshOptions, command: str) -> list[str]:
    """The command line that runs `command` by the login shell at the remote end, without a terminal."""
    return [*_options(at, options), "--", at.host, command]


def _options(at: Destination, options: SshOptions) -> list[str]:
    settings = {
        "ServerAliveInterval": options.alive_interval,
        "ServerAliveCountMax": options.alive_count,
        "ConnectTimeout": options.connect_timeout,
        "Compression": "no",  # bodies are compressed where it pays; ssh's own zlib takes ten times as long
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "EscapeChar": "none",
        "RequestTTY": "no",
        **({"BatchMode": "yes"} if options.batch else {}),
    }
    return [
        *options.program,
        *options.extra,
        "-T",
        *(part for name, value in settings.items() for part in ("-o", f"{name}={value}")),
        *(("-p", str(at.port)) if at.port else ()),
        *(("-l", at.user) if at.user else ()),
    ]
