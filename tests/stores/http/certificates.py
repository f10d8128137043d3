"""Certificates for a test, made by the system's openssl: an authority, and what it signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Files in PEM."""

    authority: Path
    certificate: Path
    key: Path


def made(folder: Path, *, name: str = "127.0.0.1", days: int = 30) -> Made:
    """For a host or an address; with negative `days` it has expired already."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    certificate, key, request = folder / "server.pem", folder / "server.key", folder / "server.csr"
    _run("req", "-x509", *_NEW, "-days", "30", "-subj", "/CN=A test's authority",
         "-keyout", authority_key, "-out", authority)  # fmt: skip
    _run(
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        f"/CN={name}",
        "-keyout",
        key,
        "-out",
        request,
    )
    kind = "IP" if name[0].isdigit() else "DNS"
    (folder / "extensions").write_text(f"subjectAltName={kind}:{name}\n")
    times = ["-days", str(days)]
    _run("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial",
         "-extfile", folder / "extensions", "-out", certificate, *times)  # fmt: skip
    return Made(authority=authority, certificate=certificate, key=key)


def _run(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)
