"""Desktop notifications: their commands, the limit per minute, and no markup from names."""

from __future__ import annotations

import time
from pathlib import Path

from syncer.daemon.events import EventKind
from syncer.daemon.hooks import Call, Hooks
from syncer.daemon.notifications import DesktopNotifications, command_for, words
from tests.server.clocks import Moved

CALL = Call(job="docs", event=EventKind.CONFLICT, at=0, paths=("a\n<b>.txt",), message="both & kept")


def found(name: str) -> str:
    return f"/bin/{name}"


def test_no_name_of_a_file_is_shown_to_every_user_of_the_machine() -> None:
    """Arguments of a command are in the list of processes; so is a message, which names files."""
    title, body = words(CALL)
    assert (title, body) == (
        "Conflict: docs", "1 path: changed on both sides; `syncer conflicts` lists them"
    )  # fmt: skip
    for event in EventKind:
        call = Call(job="docs", event=event, at=0, paths=("taxes.ods",), message="taxes.ods: unreadable")
        assert "taxes" not in "".join(words(call)), event
    assert command_for(title, "<b>&", find=found, platform="linux") == (
        "/bin/notify-send", "--app-name=Syncer", "--", "Conflict: docs", "&lt;b&gt;&amp;",
    )  # fmt: skip


def test_on_macos_the_words_are_arguments_and_no_part_of_the_script() -> None:
    command = command_for('"; do evil', "body", find=found, platform="darwin")
    assert command is not None
    assert command[0] == "/bin/osascript"
    assert command[-3:] == ("--", '"; do evil', "body")
    assert not any("evil" in word for word in command[:-2])


def test_several_paths_are_a_number() -> None:
    many = Call(job="docs", event=EventKind.GUARD, at=0, paths=("a", "b"), more=1000, message="many")
    assert words(many) == (
        "Sync held back: docs",
        "1,002 paths: held back; `syncer status` says what and why",
    )


def test_without_a_program_for_it_nothing_is_shown() -> None:
    assert command_for("t", "b", find=lambda name: None, platform="linux") is None
    assert command_for("t", "b", find=lambda name: None, platform="darwin") is None
    DesktopNotifications(Hooks(), find=lambda name: None).show(CALL)


def test_of_many_words_a_few_are_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    log = tmp_path / "said"
    program = tmp_path / "notify-send"
    program.write_text(f"""#!/bin/sh\nprintf '%s\\n' "$4" >> '{log}'\n""")
    program.chmod(0o755)
    clock, hooks = Moved(), Hooks()
    desktop = DesktopNotifications(
        hooks, clock=clock, find=lambda name: str(tmp_path / name), platform="linux"
    )

    def shown(number: int) -> int:
        """How many lines there are, once `number` of them or more are."""
        deadline = time.monotonic() + 20
        while not log.exists() or len(log.read_text().splitlines()) < number:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return len(log.read_text().splitlines())

    for number in range(1, 5):
        desktop.show(CALL)
        assert shown(number) == number
    for _ in range(3):
        desktop.show(CALL)
    clock.pass_(61)
    desktop.show(CALL)
    assert shown(5) == 5
    assert log.read_text().splitlines()[-1].endswith("lists them (and 3 messages before)")
    hooks.stop()
