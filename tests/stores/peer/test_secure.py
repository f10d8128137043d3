"""TLS: a server with a certificate of its own is trusted by `ca_file`, and by nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.server.conftest import serving
from tests.stores.peer.conftest import Machine, tree


def certificate(home: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 signed by itself, and its key."""
    cert, key = home / "cert.pem", home / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_a_certificate_of_our_own_is_trusted_where_the_account_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = certificate(tmp_path)
    options = ("--cert", str(cert), "--key", str(key))
    with serving(tmp_path / "folder", *options, state=tmp_path / "state", ca=cert) as server:
        machine = Machine(
            home=tmp_path / "one", url=server.url, key=server.key, password=server.password,
            below="docs", read=capsys.readouterr, account=f'ca_file = "{cert}"',
        )  # fmt: skip
        machine.configure()
        machine.write("f", b"1")
        machine.sync()
        assert tree(server.folder / "docs") == machine.tree()
        machine.account = ""
        machine.configure()
        answer = machine.call("sync")
        assert answer.code == 3 and "certificate" in answer.out + answer.err
