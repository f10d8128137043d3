"""Entry point: parse the command line, call the command, return the exit code.

No traceback is printed, except for an unexpected error under -vv.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click

from syncer import __version__, exit_codes
from syncer.cli.common import (
    CliContext,
    error_document,
    print_err,
    print_error,
    print_json,
    print_out,
    shared,
    stdout_failed,
    stdout_state,
)
from syncer.errors import SyncerError, UsageError

# name: (module, one line of help). A module is imported when its command is called.
COMMANDS = {
    "sync": ("sync", "Bring both sides in step."),
    "plan": ("sync", "Show what sync would do, and why."),
    "apply": ("sync", "Run a saved plan, or what you left of it."),
    "daemon": ("daemon", "Keep jobs in step from now on, woken by changes on either side."),
    "pause": ("daemon", "Let the daemon leave jobs alone."),
    "resume": ("daemon", "Let the daemon go on with them."),
    "flush": ("daemon", "Let the daemon look at everything now."),
    "stop": ("daemon", "End the daemon."),
    "status": ("status", "Last success, open conflicts, problems, what the daemon does."),
    "conflicts": ("conflicts", "List, show and resolve open conflicts."),
    "explain": ("explain", "What is known of one path, and what happens next."),
    "check": ("explain", "Compare both sides by content, change nothing."),
    "history": ("status", "What ran, and what it did."),
    "undo": ("undo", "Take a run back."),
    "trash": ("trash", "List, restore and empty what sync replaced or deleted."),
    "pairs": ("pairs", "List and forget what is remembered of pairs of roots."),
    "config": ("config", "Check or show the config file."),
    "serve": ("serve", "Serve a folder to other machines, as a delta server."),
    "init": ("init", "Write a first config file, or add a job to it."),
    "login": ("login", "Log in to an account of the config."),
    "logout": ("login", "Remove what login kept for an account."),
    "doctor": ("doctor", "Probe this machine, the config, the folders and the accounts."),
    "ls": ("browse", "List what is at a place of an account."),
    "quota": ("browse", "How much room an account has."),
    "gc": ("gc", "List and remove pieces of large files in Swift that nothing refers to."),
    "service": ("service", "Run the daemon at every login (systemd, launchd)."),
    "completion": ("main", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A click group that lists its commands without importing their modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"syncer.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from syncer.formatting import near

            raise click.UsageError(f"there is no command {args[0]!r}{near(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="syncer", message="%(prog)s %(version)s")
@shared
def cli() -> None:
    """Keep a folder and a remote store in step, both ways, and never lose a byte.

    syncer sync LOCAL REMOTE needs no config; syncer sync [JOB...] runs the jobs of the config file.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    _open_standard_streams()
    stdout_state.reset()
    words = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(100_000, 20, 20)  # saves a tenth of a run's time: many values, few cycles
    session = CliContext()
    _dump_stacks_on_usr1()
    code = _called(words, session)
    if stdout_state.lost:
        print_err(f"syncer: the answer cannot be written to stdout: {stdout_state.reason}")
        code = code or exit_codes.FATAL
    return code


def _called(words: list[str], session: CliContext) -> int:
    try:
        code = cli.main(args=words, prog_name="syncer", standalone_mode=False, obj=session)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        print_err(error.format_message())
        return 2
    except click.ClickException as error:
        return _ended(_usage(error), words)
    except SyncerError as error:
        return _ended(error, words)
    except (KeyboardInterrupt, click.Abort):
        print_err("syncer: stopped")
        return 130
    except SystemExit:  # click raises it if the reader of --help went away (EPIPE)
        stdout_failed(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
        return 0
    except OSError as error:
        if not _is_of_stdout(error):
            return _unexpected(error, session, words)
        stdout_failed(error)
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort: a short message instead of a traceback
        return _unexpected(error, session, words)


def _open_standard_streams() -> None:
    """Open closed standard streams on /dev/null: else the next opened file would get their output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115


def _is_of_stdout(error: OSError) -> bool:
    """Whether click raised it while it printed `--help` or `--version`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not click.echo.__code__:
        trace = trace.tb_next
    return trace is not None


def _usage(error: click.ClickException) -> UsageError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"see {context.command_path} --help" if context else "see syncer --help"
    return UsageError(" ".join(error.format_message().split()).rstrip("."), hint=hint)


def _ended(error: SyncerError, words: Sequence[str]) -> int:
    print_error(error)
    if "--json" in words:  # parsing may have failed before the option
        print_json(error_document(error))
    return exit_codes.exit_code(error)


def _unexpected(error: Exception, session: CliContext, words: Sequence[str]) -> int:
    if session.verbose >= 2:
        import traceback

        traceback.print_exc()
    message = f"unexpected {type(error).__name__}: {error}"
    hint = "this is a bug of Syncer; nothing is lost. Run again with -vv and report what it prints"
    return _ended(SyncerError(message, hint=hint), words)


def _dump_stacks_on_usr1() -> None:
    """Print the stacks of all threads on stderr at SIGUSR1, to find out why a process hangs."""
    import faulthandler
    import signal

    if hasattr(signal, "SIGUSR1"):
        try:
            faulthandler.register(signal.SIGUSR1, all_threads=True)
        except (OSError, ValueError, AttributeError):  # stderr is no real file (tests, embedders)
            return


# -- `completion` ----------------------------------------------------------------


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared
def completion(shell: str) -> int:
    """Print the completion script of SHELL.

    For bash, add to ~/.bashrc: eval "$(syncer completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    print_out(kind(cli, {}, "syncer", "_SYNCER_COMPLETE").source())
    return 0
