"""The lock files: what they hold, and the bill of materials that is made of them.

    python -m scripts.locking            writes requirements/*.lock (by uv, with hashes) and sbom.cdx.json
    python -m scripts.locking --sbom     writes sbom.cdx.json only

uv is in `requirements/tools.lock`, and the Makefile installs it from there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "requirements"
SBOM = ROOT / "sbom.cdx.json"
LOCKS = {
    "run": ["pyproject.toml", "requirements/build.in", "--extra", "s3"],
    "dev": [
        "pyproject.toml", "requirements/build.in", "--extra", "s3", "--extra", "server", "--extra", "dev"
    ],
    "tools": ["requirements/tools.in"],
}  # fmt: skip
_PINNED = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?", re.MULTILINE
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One package of a lock file. `name` is normalized (PEP 503)."""

    name: str
    version: str
    hashes: tuple[str, ...]


def pinned(lock: str) -> list[Pinned]:
    """What a lock file (`run`, `dev`, `tools`) holds, in its order."""
    return list(_pinned((FOLDER / f"{lock}.lock").read_text(encoding="utf-8")))


def _pinned(text: str) -> Iterator[Pinned]:
    heads = list(_PINNED.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        block = text[head.start() : following.start() if following else len(text)]
        name = re.sub(r"[-_.]+", "-", head["name"]).lower()
        yield Pinned(name=name, version=head["version"].strip(), hashes=tuple(_HASH.findall(block)))


def sbom() -> str:
    """The bill of materials of a run (CycloneDX 1.6): what `requirements/run.lock` holds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    components = [
        {
            "type": "library",
            "name": one.name,
            "version": one.version,
            "purl": f"pkg:pypi/{one.name}@{one.version}",
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in one.hashes],
        }
        for one in pinned("run")
    ]
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": project["name"]}},
        "components": components,
    }
    return json.dumps(whole, indent=1) + "\n"


def lock() -> None:
    """Renews all lock files. Raises CalledProcessError where uv says no."""
    for name, inputs in LOCKS.items():
        target = FOLDER / f"{name}.lock"
        words = [
            "--universal",
            "--python-version",
            "3.11",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
        ]
        subprocess.run(
            ["uv", "pip", "compile", *inputs, *words, "--upgrade", "--quiet", "-o", str(target)],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def main() -> None:
    """See above."""
    if "--sbom" not in sys.argv[1:]:
        lock()
    SBOM.write_text(sbom(), encoding="utf-8")


if __name__ == "__main__":
    main()
