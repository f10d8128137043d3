"""`completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click

from syncer.cli.options import put, shared


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared
def completion(shell: str) -> int:
    """Print the completion script of SHELL.

    For bash, add to ~/.bashrc: eval "$(syncer completion bash)"
    """
    from click.shell_completion import get_completion_class

    from syncer.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    put(kind(cli, {}, "syncer", "_SYNCER_COMPLETE").source())
    return 0
