"""Programs that write into a synced folder, each in its own way, and a reader at the other side.

What they write says itself whether it is whole: it begins with the digest of all that follows.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from syncer.engine.paths import PRIVATE, TEMPORARY

_DIGEST = 64  # hexadecimal digits


def whole(seed: str, size: int) -> bytes:
    """A content that can be told from a part of it, or from a mixture of two."""
    body = seed.encode() + b"\n" + blake3(seed.encode()).digest(size)
    return blake3(body).hexdigest().encode() + body


def is_whole(data: bytes) -> bool:
    return blake3(data[_DIGEST:]).hexdigest().encode() == data[:_DIGEST]


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads everything in a folder again and again, as a program there would: from `with` to its end."""

    root: Path
    reads: int = 0
    torn: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Reader:
        self._thread = threading.Thread(target=self._work, name=f"reader of {self.root}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(60)

    def _work(self) -> None:
        while not self._stop.is_set():
            for folder, subs, files in os.walk(self.root):
                if folder == str(self.root) and PRIVATE in subs:
                    subs.remove(PRIVATE)
                for name in files:
                    if not name.startswith(TEMPORARY):
                        self._read(Path(folder, name))
            time.sleep(0.01)

    def _read(self, place: Path) -> None:
        with suppress(FileNotFoundError):
            data = place.read_bytes()
            self.reads += 1
            if not is_whole(data):
                self.torn.append(f"{place}: {len(data)} bytes, {data[:100]!r}")


def save(place: Path, data: bytes) -> None:
    """A temporary beside it, fsync(2), rename(2): a careful editor."""
    beside = place.with_name(f".{place.name}.tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, place)


def save_as_vim(place: Path, data: bytes) -> None:
    """The old file aside, a new one made whole and put in its place, the old one deleted."""
    aside = place.with_name(f"{place.name}~")
    os.rename(place, aside)
    beside = place.with_name("4913")  # vim's own name for a try
    beside.write_bytes(data)
    os.rename(beside, place)
    aside.unlink()


def git(folder: Path, *words: str) -> str:
    """Runs git there, with nobody's config; what it says."""
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def a_repository(folder: Path, *, commits: int, files: int) -> list[str]:
    """A repository made there whose commits differ in much: which ones there are, the oldest first."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    for number in range(commits):
        for place in range(files):
            if (place + number) % 3:
                _change(folder / f"d{place % 7}" / f"s{place % 3}" / f"f{place}.txt", number)
            elif number:
                (folder / f"d{place % 7}" / f"s{place % 3}" / f"f{place}.txt").unlink(missing_ok=True)
        git(folder, "add", "-A")
        git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", str(number))
    return git(folder, "rev-list", "--reverse", "HEAD").split()


def _change(place: Path, number: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{place.name} line {line}" for line in range(60)]
    lines[number % 60] = f"changed in {number}"
    place.write_text("\n".join(lines), encoding="utf-8")
