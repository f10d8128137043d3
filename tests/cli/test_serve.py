"""`syncer serve` as a command: keys, refusals with their exit codes, the line it prints, TLS, signals."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Machine
from tests.server import attacks
from tests.server.conftest import environment, program, serving
from tests.server.extension.processes import peak


@pytest.fixture
def folder(machine: Machine) -> Path:
    made = machine.home / "served"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 signed by itself, and its key."""
    home = tmp_path_factory.mktemp("tls")
    cert, key = home / "cert.pem", home / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_a_key_is_printed_once_listed_without_secrets_and_revoked(machine: Machine, folder: Path) -> None:
    file = machine.home / "private/keys.json"
    words = ("serve", str(folder), "--keys", str(file))
    made = machine.call(*words, "--add-key", "laptop", "--under", "docs", "--read-only", "--json")
    assert made.code == 0 and set(made.document) == {"schema", "key", "password"}
    assert min(len(made.document["key"]), len(made.document["password"])) >= 30
    listed = machine.call(*words, "--list-keys", "--json")
    assert listed.document == {
        "schema": 1,
        "keys": [{"name": "laptop", "under": "docs", "read_only": True}],
    }
    for secret in made.document["key"], made.document["password"]:
        assert secret not in listed.out + listed.err
    assert machine.call(*words, "--list-keys").out == "laptop  /docs  read only\n"
    assert machine.call(*words, "--add-key", "laptop").code == 2
    assert machine.call(*words, "--revoke-key", "laptop").code == 0
    assert machine.call(*words, "--list-keys").out == "no keys\n"
    gone = machine.call(*words, "--revoke-key", "laptop", "--json")
    assert gone.code == 2 and "no key named" in gone.document["error"]["message"]


def test_keys_need_no_folder_where_the_file_is_named(machine: Machine) -> None:
    file = machine.home / "keys.json"
    assert machine.call("serve", "--keys", str(file), "--add-key", "a").code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert machine.call("serve", "--list-keys").code == 2


def test_keys_of_a_folder_lie_in_its_state_directory(machine: Machine, folder: Path) -> None:
    assert machine.call("serve", str(folder), "--add-key", "a").code == 0
    [place] = (machine.state / "serve").iterdir()
    assert (place / "keys.json").exists() and place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--listen", "nowhere"), "names no address"),
        (("--listen", "127.0.0.1:99999"), "names no address"),
        (("--listen", "0.0.0.0:0"), "no TLS"),
        (("--listen", "[::]:0"), "no TLS"),
        (("--cert", "x.pem"), "belong together"),
        (("--cert", "missing.pem", "--key", "missing.pem"), "cannot be used"),
        (("--read-only",), "belong to --add-key"),
        (("--add-key", "a", "--list-keys"), "one at a time"),
        (("--add-key", "a", "--under", "../b"), "no subfolder"),
        (("--state", "served/state"), "lies in the folder"),
        (("--keys", "served/keys"), "lies in the folder"),
        (("--limit", "help"), "per_address (128)"),
        (("--limit", "per_address=many"), "a number"),
        (("--limit", "per_address=0"), "a number"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    machine: Machine, folder: Path, words: tuple[str, ...], said: str
) -> None:
    answer = machine.call("serve", str(folder), *words)
    assert answer.code == 2
    assert said in answer.err and "Traceback" not in answer.err
    assert answer.out == ""


def test_a_folder_that_is_none_is_refused(machine: Machine) -> None:
    (machine.home / "file").write_bytes(b"")
    for words in ((), ("missing",), ("file",)):
        assert machine.call("serve", *words).code == 2


def test_a_malformed_key_file_is_refused(machine: Machine, folder: Path) -> None:
    (machine.home / "keys.json").write_text("{")
    answer = machine.call("serve", str(folder), "--keys", "keys.json")
    assert answer.code == 2 and "malformed" in answer.err


def test_a_taken_port_is_an_error_of_its_own(machine: Machine, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = machine.call("serve", str(folder), "--listen", f"127.0.0.1:{port}", "--json")
    assert answer.code == 5 and answer.document["error"]["exit"] == 5
    assert "cannot listen" in answer.err


def test_tls_is_served_from_1_2_up_and_nothing_without_it(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    cert, key = pair
    options = ("--cert", str(cert), "--key", str(key))
    with serving(tmp_path / "folder", *options, state=tmp_path / "state", ca=cert) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert server.get("api/2/ping").json()["ping"] == "pong"
        assert server.put("api/3/path/data/a", b"x" * 3_000_000).status_code == 201
        assert server.get("api/2/path/data/a").content == b"x" * 3_000_000
        assert not _in_the_clear(server.port).startswith(b"HTTP")
        old = ssl.create_default_context(cafile=str(cert))
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert _version(server.port, old) == "TLSv1.2"


def test_a_private_key_is_not_served(machine: Machine, folder: Path, pair: tuple[Path, Path]) -> None:
    """Every key could fetch it."""
    cert, key = pair
    inside = folder / "key.pem"
    inside.write_bytes(key.read_bytes())
    link = machine.home / "link.pem"
    link.symlink_to(inside)
    for given in (inside, link):
        answer = machine.call("serve", str(folder), "--cert", str(cert), "--key", str(given))
        assert answer.code == 2
        assert "the private key" in answer.err and "lies in the folder" in answer.err


def test_handshakes_that_never_end_take_little_and_nobodys_place(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    """Each cost some 300 KiB for a minute, uncounted."""
    options = ("--cert", str(pair[0]), "--key", str(pair[1]))
    with serving(tmp_path / "folder", *options, state=tmp_path / "state", ca=pair[0]) as server:
        attacks.handshakes(server)
        assert peak(server) < 220 << 20  # 128 that go on, and as many that are just ending


def test_a_limit_is_a_setting_and_who_is_put_off_is_told_so_at_once(tmp_path: Path) -> None:
    options = ("--limit", "per_address=2")
    with serving(tmp_path / "folder", *options, state=tmp_path / "state") as server:
        assert server.get("api/2/ping/").ok, "a connection of a key is no stranger's any more"
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as third:
            answer = third.recv(1000)
        for sock in held:
            sock.close()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after" in answer
        assert b"too many connections" in answer
        assert server.get("api/2/ping/").ok


def _in_the_clear(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            return sock.recv(100)
        except ConnectionResetError:
            return b""


def _version(port: int, context: ssl.SSLContext) -> str | None:
    with (
        socket.create_connection(("127.0.0.1", port)) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as wrapped,
    ):
        return wrapped.version()


def test_a_key_with_a_passphrase_asks_nobody(machine: Machine, folder: Path, pair: tuple[Path, Path]) -> None:
    locked = machine.home / "locked.pem"
    subprocess.run(
        ["openssl", "ec", "-in", str(pair[1]), "-aes256", "-passout", "pass:secret", "-out", str(locked)],
        check=True, capture_output=True,
    )  # fmt: skip
    answer = machine.call("serve", str(folder), "--cert", str(pair[0]), "--key", str(locked))
    assert answer.code == 2 and "passphrase" in answer.err


def test_it_warns_of_a_key_file_that_others_can_read_and_of_one_without_keys(
    machine: Machine, folder: Path
) -> None:
    file = machine.home / "keys.json"
    with socket.create_server(("127.0.0.1", 0)) as taken:  # so that it ends by itself
        words = ("serve", str(folder), "--keys", str(file), "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert "there are no keys" in machine.call(*words).err
        machine.call("serve", "--keys", str(file), "--add-key", "a")
        assert "warning" not in machine.call(*words).err
        file.chmod(0o644)
        assert "can be read by others" in machine.call(*words).err


def test_beyond_this_machine_without_tls_only_if_told_so(tmp_path: Path) -> None:
    options = ("--insecure", "--listen", "0.0.0.0:0")
    with serving(tmp_path / "folder", *options, state=tmp_path / "state") as server:
        assert server.url.startswith("http://0.0.0.0:")


def test_the_line_for_people_names_the_url(machine: Machine, folder: Path) -> None:
    words = program("serve", str(folder), "--listen", "127.0.0.1:0", "-q")
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"serving {os.path.realpath(folder)} at http://127.0.0.1:")
        process.terminate()
        assert process.wait(20) == 143
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def test_it_is_listed_and_explained(machine: Machine) -> None:
    assert "serve" in machine.call("--help").out
    assert "--add-key" in machine.call("serve", "--help").out
