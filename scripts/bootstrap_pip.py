"""Puts pip into a virtual environment whose Python came without `ensurepip` (Debian's, bare).

`python bootstrap_pip.py DIR`, called by setup.sh where nothing better is left. It fetches pip's wheel
from the package index that `PIP_INDEX_URL` names (the simple API of PEP 503),
compares its SHA-256, and lets that pip install itself. Without the variable it says so and ends with 1.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

INDEX = os.environ.get("PIP_INDEX_URL", "").rstrip("/")
PAGE = f"{INDEX}/pip/"
LINK = re.compile(r'<a\s[^>]*href="([^"#]+)#sha256=([0-9a-f]{64})"[^>]*>')
RELEASE = re.compile(r"/pip-(\d+(?:\.\d+)*)-py3-none-any\.whl$")  # no pre-releases


def newest() -> tuple[str, str]:
    """Address and SHA-256 of the newest release's wheel."""
    with urlopen(PAGE, timeout=60) as answer:
        page = answer.read().decode()
    found = [
        (tuple(map(int, name[1].split("."))), urljoin(PAGE, link[1]), link[2])
        for link in LINK.finditer(page)
        if (name := RELEASE.search(link[1])) and "data-yanked" not in link[0]
    ]
    _, address, digest = max(found)
    return address, digest


def main() -> int:
    """Installs pip into the environment named by the first argument."""
    if not INDEX:
        print("PIP_INDEX_URL names no package index to fetch pip from", file=sys.stderr)
        return 1
    address, digest = newest()
    with urlopen(address, timeout=60) as answer:
        wheel = answer.read()
    if hashlib.sha256(wheel).hexdigest() != digest:
        print(f"{address} is not what the index says it is", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / address.rpartition("/")[2]
        path.write_bytes(wheel)
        python = Path(sys.argv[1]) / "bin" / "python"
        options = ("--quiet", "--disable-pip-version-check")
        return subprocess.run([python, path / "pip", "install", *options, path], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
