"""Writes down how a released Syncer speaks and what it stores, for the tests of tests/compat.

    python scripts/record_release.py

Takes the release out of this repository's history (`tests.compat.programs.COMMIT`) and writes, below
`tests/compat/COMMIT`:

    client.json.gz    what its client asks its server, and the answers
    server.json.gz    what its server answers today's client
    home.tar.gz       the state directories of a client and a server after a few runs, with both folders

The contents are made up, the key is one of a server that never was in reach of anybody.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.compat import story  # noqa: E402
from tests.compat.programs import COMMIT, TODAY, Home, Program, released  # noqa: E402
from tests.compat.recording import Recorder, save  # noqa: E402
from tests.doubles.serving import Served  # noqa: E402

TARGET = ROOT / "tests" / "compat" / COMMIT


def main() -> int:
    """See above."""
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        old = released(base)
        if old is None:
            print(f"{COMMIT} is not in the history of this clone", file=sys.stderr)
            return 1
        record(base / "client", old, client=old, target=TARGET / "client.json.gz")
        record(base / "server", old, client=TODAY, target=TARGET / "server.json.gz")
        keep_home(base / "client", TARGET / "home.tar.gz")
    return 0


def record(base: Path, server: Program, *, client: Program, target: Path) -> None:
    """The story of a client, as it passes a recorder."""
    folder, state = base / "folder", base / "server"
    (folder / "docs").mkdir(parents=True)
    key = server.add_key(folder, state)
    story.begin(folder / "docs")
    with server.serving(folder, state=state) as served:
        other = Home(base=base / "other").configure(served.url, *key)
        server.sync(other)  # so that the root has its marker
        recorder = Recorder(served.url)
        with Served(recorder) as front:
            home = Home(base=base / "home").configure(front.url, *key)
            for chapter in story.CHAPTERS:
                for side, path, content in chapter:
                    if side == "local":
                        home.write(path, content)
                    else:
                        recorder.hand(folder / "docs", path, content)
                client.sync(home)
    save(recorder.steps, target)


def keep_home(base: Path, target: Path) -> None:
    """The directories of client and server as a small archive that is the same each time it is packed."""
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for place in sorted(p for top in ("home", "folder", "server") for p in (base / top).rglob("*")):
            member = archive.gettarinfo(str(place), str(place.relative_to(base)))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            data = place.read_bytes() if member.isreg() else b""
            archive.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
