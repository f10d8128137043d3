"""SFTP servers that lie: each lie ends in an error of ours, soon, and in little memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.errors import StoreError, TransientError
from syncer.stores.sftp.client import SftpClient
from syncer.stores.sftp.errors import status_error
from syncer.stores.sftp.packets import MalformedPacket
from syncer.stores.ssh.location import Destination
from tests.doubles import sftp_server
from tests.real_servers.sshd import scripted


def waited(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true within 20 seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until and not condition():
        time.sleep(0.02)
    return condition()


def connected(folder: Path, mode: str) -> SftpClient:
    """A session with a server of this mode."""
    script = f"exec {sys.executable} -S {sftp_server.__file__} {mode}"
    return SftpClient.connect(Destination(host="box"), scripted(folder, script), timeout=2)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("huge", MalformedPacket), ("empty", MalformedPacket), ("stranger", MalformedPacket),
        ("wrong_type", MalformedPacket), ("ok", MalformedPacket), ("eof", MalformedPacket),
        ("short", MalformedPacket), ("odd_status", TransientError), ("leave", TransientError),
        ("silent", TransientError),
    ],
)  # fmt: skip
def test_a_lie_about_one_path_is_an_error_and_never_an_absence(
    tmp_path: Path, mode: str, kind: type[StoreError]
) -> None:
    begun = time.monotonic()
    with connected(tmp_path, mode) as client, pytest.raises(kind) as caught:
        client.exists(b"x")
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()
    assert time.monotonic() - begun < 30


def test_a_second_answer_ends_the_connection(tmp_path: Path) -> None:
    with connected(tmp_path, "twice") as client:
        assert not client.exists(b"x")
        assert waited(lambda: client.connection.broken)
        with pytest.raises(MalformedPacket):
            client.exists(b"x")


@pytest.mark.parametrize("mode", ["slash", "nul", "nameless", "no_names"])
def test_a_listing_with_what_is_no_name_is_refused_whole(tmp_path: Path, mode: str) -> None:
    with connected(tmp_path, mode) as client, pytest.raises(MalformedPacket):
        list(client.listdir(b"x"))


def test_nothing_of_a_status_text_reaches_the_terminal_unescaped() -> None:
    error = status_error(4, b"\x1b[2J" + b"x" * 10_000, b"a\x1bb", reading=True)
    assert str(error).isprintable() and len(str(error)) < 300
