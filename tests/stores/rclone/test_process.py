"""The rclone process: found, old, broken or silent; one password; gone when we are gone."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.errors import AuthError, ConfigError, PermanentError, TransientError
from syncer.stores.rclone.client import RcloneClient
from syncer.stores.rclone.process import RcloneDaemon, RcloneOptions, RcloneVersion, rclone_version
from syncer.stores.rclone.remote import RcloneRemote
from tests.real_servers.rclone import RcloneConfig, environment, programs
from tests.real_servers.sshd import children


def program(folder: Path, script: str) -> RcloneOptions:
    """A script in the place of rclone."""
    path = folder / "rclone"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return RcloneOptions(program=str(path))


def waited(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true within 20 seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until and not condition():
        time.sleep(0.05)
    return condition()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("name", programs())
def test_an_installed_rclone_is_new_enough(name: str) -> None:
    assert rclone_version(RcloneOptions(program=name)) >= RcloneVersion(1, 60)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo rclone v1.53.3-DEV", "1.53.3 is too old: 1.60"),
        ("echo rclone v0.99", "too old"),
        ("echo hello", "does not tell a version"),
        ("exit 1", "does not tell a version"),
    ],
)
def test_an_old_or_wrong_rclone_is_named_with_where_to_get_one(
    tmp_path: Path, script: str, text: str
) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        rclone_version(program(tmp_path, script))
    assert "rclone.org/downloads" in caught.value.hint


def test_a_missing_rclone_is_named_with_where_to_get_one() -> None:
    with pytest.raises(ConfigError, match="not installed") as caught:
        rclone_version(RcloneOptions(program="/nowhere/rclone"))
    assert "rclone.org/downloads" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("echo 'Failed to start: odd' >&2; exit 1", PermanentError, "Failed to start: odd"),
        ("exit 0", PermanentError, "no word of it"),
        ("echo 'unable to decrypt configuration' >&2; exit 1", AuthError, "decrypt"),
        ("echo hello; exec >&- 2>&-; sleep 30", PermanentError, "no word"),
    ],
)
def test_a_daemon_that_does_not_start_is_named(
    tmp_path: Path, script: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        RcloneDaemon(program(tmp_path, script))


def test_a_program_that_is_missing_at_the_start_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        RcloneDaemon(RcloneOptions(program="/nowhere/rclone"))


@pytest.mark.parametrize("name", programs())
def test_no_call_passes_without_the_password(name: str, tmp_path: Path) -> None:
    daemon = RcloneDaemon(RcloneConfig(tmp_path).options(name))
    try:
        for headers in ({}, {"Authorization": "Basic c3luY2VyOnN5bmNlcg=="}):
            connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
            connection.request("POST", "/config/dump", "{}", {"Content-Type": "application/json", **headers})
            assert connection.getresponse().status == 401
            connection.close()
        arguments = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert daemon.password not in arguments
    finally:
        daemon.close()


@pytest.mark.parametrize("name", programs())
def test_rclone_ends_with_us_even_when_we_are_killed(name: str, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from syncer.stores.rclone.process import RcloneDaemon, RcloneOptions\n"
        f"daemon = RcloneDaemon(RcloneOptions(program={name!r}, config={str(tmp_path / 'c')!r}))\n"
        "print(daemon.port, flush=True)\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "c").touch()
    ours = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert ours.stdout and int(ours.stdout.readline()) > 0
    below = children(ours.pid)
    assert len(below) >= 2
    ours.send_signal(signal.SIGKILL)
    ours.wait(20)
    ours.stdout.close()
    try:
        assert waited(lambda: not any(alive(pid) for pid in below))
    finally:
        for pid in filter(alive, below):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", programs())
def test_a_stopped_rclone_is_ended_all_the_same(name: str, tmp_path: Path) -> None:
    daemon = RcloneDaemon(RcloneConfig(tmp_path).options(name))
    below = [
        pid for pid in children(daemon._process.pid) if Path(f"/proc/{pid}/exe").resolve().name == "rclone"
    ]
    assert below
    for pid in below:
        os.kill(pid, signal.SIGSTOP)
    daemon.close()
    assert waited(lambda: not any(alive(pid) for pid in below))
    assert not daemon.alive
    daemon.close()


@pytest.mark.parametrize("name", programs())
def test_a_killed_rclone_is_noticed_by_the_call_under_way(name: str, tmp_path: Path) -> None:
    daemon = RcloneDaemon(RcloneConfig(tmp_path).options(name))
    try:
        client = RcloneClient(daemon)
        assert client.call("rc/noop", {"a": 1}) == {"a": 1}
        for pid in children(daemon._process.pid):
            if Path(f"/proc/{pid}/exe").resolve().name == "rclone":
                os.kill(pid, signal.SIGKILL)
        assert waited(lambda: not daemon.alive)
        with pytest.raises(TransientError, match=r"broke off|ended"):
            client.call("rc/noop", {})
        client.close()
    finally:
        daemon.close()


@pytest.mark.parametrize("name", programs())
def test_an_encrypted_configuration_without_its_password_is_an_auth_error(name: str, tmp_path: Path) -> None:
    config = RcloneConfig(tmp_path)
    config.path.write_text("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\n" + "A" * 200 + "\n")
    try:
        daemon = RcloneDaemon(config.options(name))
    except AuthError:
        return
    client = RcloneClient(daemon)
    try:
        with pytest.raises(AuthError) as caught:
            RcloneRemote(client, "x:y")
        assert "RCLONE_CONFIG_PASS" in caught.value.hint
    finally:
        client.close()
        daemon.close()


def test_closing_the_client_ends_a_call_that_hangs(tmp_path: Path) -> None:
    """Against a listener that never answers, in the place of rclone."""
    import socket
    import threading

    class Mute:
        user = password = log = ""
        alive = True
        port = 0

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Mute.port = listener.getsockname()[1]
        client = RcloneClient(Mute())  # type: ignore[arg-type]
        failed: list[Exception] = []

        def call() -> None:
            try:
                client.call("rc/noop", {})
            except TransientError as error:
                failed.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.2)
        client.close()
        thread.join(10)
        assert not thread.is_alive() and len(failed) == 1
        with pytest.raises(TransientError, match="closed"):
            client.call("rc/noop", {})
        late = RcloneClient(Mute())  # type: ignore[arg-type]
        with pytest.raises(TransientError, match="within 2 s"):
            late.call("rc/noop", {}, timeout=2)
