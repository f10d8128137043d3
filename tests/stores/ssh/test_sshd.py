"""ssh against a real sshd: what a login that fails is called, and that no process stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from syncer.errors import AuthError, ConfigError, PermanentError, TransientError, Unreadable
from syncer.stores.sftp.client import SftpClient
from syncer.stores.ssh.command import SshOptions, command_arguments
from syncer.stores.ssh.location import Destination
from syncer.stores.ssh.process import SshProcess
from tests.real_servers.sshd import Sshd, keygen, scripted


def waited(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it becomes true within this time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def failure(at: Destination, options: SshOptions) -> Exception:
    """What a login raises that must fail."""
    with pytest.raises((AuthError, ConfigError, PermanentError, TransientError)) as caught:
        SftpClient.connect(at, options, timeout=10)
    return caught.value


def test_a_login_gives_the_protocol(sshd: Sshd) -> None:
    with SftpClient.connect(sshd.destination, sshd.options()) as client:
        assert client.realpath(b".").startswith(b"/")


def test_a_command_s_bytes_come_back_as_they_went(sshd: Sshd) -> None:
    arguments = command_arguments(sshd.destination, sshd.options(), "cat")
    with SshProcess(arguments, host="box", program="cat", own_session=True, timeout=20) as process:
        sent = bytes(range(256)) * 1000
        process.write(sent)
        got = b""
        while len(got) < len(sent):
            got += process.read(1 << 16, 20)
        assert got == sent


def test_a_key_that_the_server_does_not_know_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    error = failure(sshd.destination, sshd.options(key=keygen(tmp_path / "other")))
    assert isinstance(error, AuthError) and "refuses the login" in str(error)


def test_a_key_with_a_passphrase_does_not_hang_without_a_terminal(sshd: Sshd, tmp_path: Path) -> None:
    begun = time.monotonic()
    error = failure(sshd.destination, sshd.options(key=keygen(tmp_path / "other", passphrase="secret")))
    assert isinstance(error, AuthError) and "passphrase" in error.hint
    assert time.monotonic() - begun < 15


def test_an_unknown_host_key_is_named(sshd: Sshd, tmp_path: Path) -> None:
    error = failure(sshd.destination, sshd.options(known=tmp_path / "none"))
    assert isinstance(error, AuthError) and "is unknown" in str(error)


def test_a_changed_host_key_is_named_with_the_command_that_forgets_it(sshd: Sshd, tmp_path: Path) -> None:
    public = keygen(tmp_path / "other").with_suffix(".pub").read_text().split()[:2]
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{sshd.port} {' '.join(public)}\n")
    error = failure(sshd.destination, sshd.options(known=known))
    assert isinstance(error, AuthError) and "changed" in str(error)
    assert f'ssh-keygen -f "{known}" -R' in error.hint


def test_a_name_that_does_not_resolve_and_a_port_where_nothing_listens(sshd: Sshd) -> None:
    unresolved = failure(Destination(host="no-such-host.invalid"), sshd.options())
    assert isinstance(unresolved, TransientError) and "cannot be resolved" in str(unresolved)
    refused = failure(replace(sshd.destination, port=1), sshd.options())
    assert isinstance(refused, TransientError) and "is refused" in str(refused)


def test_a_server_without_the_subsystem_says_so(sshd: Sshd) -> None:
    options = sshd.options()
    process = SshProcess(
        [*options.program, *options.extra, "-T", "-p", str(sshd.port), "-s", "--", "127.0.0.1", "nothing"],
        host="box", program="sftp", own_session=True, timeout=20,
    )  # fmt: skip
    assert process.read(10, 20) == b""
    error = process.failure()
    process.close()
    assert isinstance(error, PermanentError) and "offers no sftp" in str(error)


def test_a_command_that_is_missing_there_is_named(sshd: Sshd) -> None:
    arguments = command_arguments(sshd.destination, sshd.options(), "exec no-such-program --stdio")
    with SshProcess(arguments, host="box", program="syncer", own_session=True, timeout=20) as process:
        assert process.read(10, 20) == b""
        error = process.failure()
    assert isinstance(error, PermanentError) and "syncer is not installed on box" in str(error)


def test_a_forced_command_that_prints_is_named(tmp_path: Path) -> None:
    with Sshd(tmp_path, ["ForceCommand echo Welcome to this machine; cat"]) as server:
        error = failure(server.destination, server.options())
    assert isinstance(error, PermanentError) and "Welcome to this machine" in str(error)


def test_a_banner_and_a_hardened_server_disturb_nothing(tmp_path: Path) -> None:
    (tmp_path / "banner").write_text("Authorized use only!\n")
    lines = [
        f"Banner {tmp_path / 'banner'}",
        "DisableForwarding yes",
        "ForceCommand internal-sftp",
        "MaxSessions 1",
    ]
    with Sshd(tmp_path, lines, authorized="restrict") as server:
        with SftpClient.connect(server.destination, server.options()) as client:
            assert client.exists(b"/")
        error = failure(server.destination, server.options(key=keygen(tmp_path / "other")))
        assert "Permission denied" in str(error)


def test_a_missing_ssh_program_is_a_config_error(sshd: Sshd) -> None:
    error = failure(sshd.destination, SshOptions(program=("/nowhere/ssh",)))
    assert isinstance(error, ConfigError) and "openssh-client" in error.hint


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("exit 0", PermanentError, "ended (exit 0)"),
        ("echo hello; sleep 60", PermanentError, "hello"),
        ("head -c 9 >/dev/null; printf 'ab'", PermanentError, "'ab'"),
        ("head -c 9 >/dev/null; printf '\\0\\0\\0\\5\\2\\0\\0\\0\\2'; sleep 60", PermanentError, "version 3"),
        ("head -c 9 >/dev/null; printf '\\0\\0\\0\\5\\145\\0\\0\\0\\2'; cat", PermanentError, "version 3"),
        ("head -c 9 >/dev/null; printf '\\0\\0\\0\\11\\2\\0\\0\\0\\3\\377\\377\\377\\377'; cat",
         PermanentError, "too early"),
        ("echo 'Connection reset by peer' >&2; exit 255", TransientError, "closes"),
        ("yes | head -c 3000000 >&2; exit 255", TransientError, "cannot reach"),
        ("yes; sleep 60", PermanentError, "y y y"),
    ],
)  # fmt: skip
def test_programs_that_are_no_ssh_are_given_up(
    tmp_path: Path, script: str, kind: type[Exception], text: str
) -> None:
    error = failure(Destination(host="box"), scripted(tmp_path, script))
    assert isinstance(error, kind) and text in str(error)


def test_no_process_is_left_when_this_one_is_killed(sshd: Sshd, tmp_path: Path) -> None:
    options = sshd.options()
    code = (
        "import sys, time\n"
        "from syncer.stores.sftp.client import SftpClient\n"
        "from syncer.stores.ssh.command import SshOptions\n"
        "from syncer.stores.ssh.location import Destination\n"
        f"at = Destination(host='127.0.0.1', port={sshd.port})\n"
        f"client = SftpClient.connect(at, SshOptions(extra={options.extra!r}))\n"
        "print(client.connection._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    pid = int(child.stdout.readline())
    sessions = sshd.sessions()
    assert sessions
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    child.stdout.close()
    assert waited(lambda: not alive(pid))
    assert waited(lambda: not set(sessions) & set(sshd.sessions()))


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_session_killed_at_the_server_is_a_broken_connection(sshd: Sshd) -> None:
    with SftpClient.connect(sshd.destination, sshd.options()) as client:
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(TransientError, match="broke off"):
            client.lstat(b"/")
        with pytest.raises(TransientError, match="broke off"):
            client.lstat(b"/")


def test_a_dead_network_is_noticed_by_ssh_itself(sshd: Sshd) -> None:
    options = replace(sshd.options(), alive_interval=1, alive_count=1)
    with SftpClient.connect(sshd.destination, options) as client:
        stopped = sshd.sessions()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TransientError, match="not responding"):
                client.lstat(b"/")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGKILL)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """ssh lives, the server behind it hangs: keep-alive is answered by somebody else."""
    greeting = "head -c 9 >/dev/null; printf '\\0\\0\\0\\5\\2\\0\\0\\0\\3'; exec sleep 600"
    begun = time.monotonic()
    client = SftpClient.connect(Destination(host="box"), scripted(tmp_path, greeting), timeout=1)
    with client, pytest.raises(TransientError, match="did not answer for 1 s"):
        client.lstat(b"/")
    assert time.monotonic() - begun < 20


def test_a_pipe_that_nobody_empties_is_given_up(tmp_path: Path) -> None:
    arguments = list(scripted(tmp_path, "exec sleep 600").program)
    process = SshProcess(arguments, host="box", program="sftp", own_session=True, timeout=1)
    with process, pytest.raises(TransientError, match="did not answer for 1 s"):
        process.write(bytes(8 << 20))
    assert not alive(process.pid)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a server as somebody else")
def test_a_server_that_an_ordinary_user_started_is_as_good() -> None:
    """By PAM: without it, sshd takes an account whose shadow entry it cannot read for a locked one."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (private := Path(folder) / "private").mkdir(mode=0o700)
        with (
            Sshd(Path(folder) / "sshd", ["UsePAM yes"], user="nobody") as server,
            SftpClient.connect(server.destination, server.options()) as client,
        ):
            assert client.exists(b"/")
            with pytest.raises(Unreadable, match="Permission denied"):
                list(client.listdir(bytes(private)))
            with pytest.raises(PermanentError, match="Permission denied"):
                client.mkdir(bytes(private / "x"))
