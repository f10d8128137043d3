"""Stories that need a limit or a mount of their own: `python -m tests.watch.in_namespace STORY FOLDER`.

In a user namespace made by unshare(1), whose limits and mounts concern nobody else. Each prints "done" at
its end.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.watch.hearing import Heard, watching

_LIMITS = Path("/proc/sys/user")


def few_watches_at_first(root: Path) -> None:
    """More directories than may be watched."""
    (_LIMITS / "max_inotify_watches").write_text("5")
    for n in range(10):
        (root / f"{n}").mkdir()
    _looked_at(root, "max_user_watches")


def too_few_watches_later(root: Path) -> None:
    """A directory made in the middle of things is one too many."""
    (_LIMITS / "max_inotify_watches").write_text("5")
    heard = Heard()
    with watching(root, heard, poll=0.05) as watch:
        assert watch.mode == "events"
        (root / "a" / "b" / "c" / "d" / "e" / "f" / "g").mkdir(parents=True)
        heard.until(lambda: watch.mode == "polling" and heard.everywhere > 0)
        heard.forget()
        (root / "a" / "b" / "c" / "d" / "e" / "f" / "g" / "file").write_bytes(b"1")
        heard.until_told("a/b/c/d/e/f/g")
    assert len(heard.said) == 1, heard.said
    assert "fs.inotify.max_user_watches=" in heard.said[0][1]


def no_instance(root: Path) -> None:
    """Not a single folder may be watched."""
    (_LIMITS / "max_inotify_instances").write_text("0")
    (root / "0").mkdir()
    _looked_at(root, "max_user_instances")


def unmounted(root: Path) -> None:
    """A disk that goes leaves an empty directory; one that comes back is watched again."""
    _mount(root)
    (root / "d").mkdir()
    heard = Heard()
    with watching(root, heard, poll=0.05) as watch:
        subprocess.run(["umount", str(root)], check=True)
        heard.until(lambda: heard.everywhere > 0)
        heard.forget()
        (root / "below").mkdir()
        heard.until_told("below")
        heard.forget()
        _mount(root)
        heard.until(lambda: heard.everywhere > 0)
        heard.forget()
        (root / "new").mkdir()
        heard.until_told("new")
        assert watch.mode == "events"


def unmounted_inside(root: Path) -> None:
    """What a disk was mounted over shows again, and is watched."""
    (root / "d" / "under").mkdir(parents=True)
    _mount(root / "d")
    heard = Heard()
    with watching(root, heard):
        subprocess.run(["umount", str(root / "d")], check=True)
        heard.until_told("d", "d/under")
        heard.forget()
        (root / "d" / "under" / "f").write_bytes(b"1")
        heard.until_told("d/under")


def mounted_inside(root: Path) -> None:
    """No event tells that a disk is mounted over a directory; what happens on it is heard of all the same."""
    (root / "d").mkdir()
    heard = Heard()
    with watching(root, heard, poll=0.05):
        _mount(root / "d")
        heard.until(lambda: heard.everywhere > 0)
        heard.forget()
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")
        subprocess.run(["umount", str(root / "d")], check=True)
        heard.until(lambda: heard.everywhere > 0)


def _looked_at(root: Path, setting: str) -> None:
    heard = Heard()
    with watching(root, heard, poll=0.05) as watch:
        assert watch.mode == "polling"
        (root / "0" / "f").write_bytes(b"1")
        heard.until_told("0")
    assert len(heard.said) == 1, heard.said
    assert f"fs.inotify.{setting}=" in heard.said[0][1]


def _mount(place: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)


STORIES = {
    story.__name__: story
    for story in (
        few_watches_at_first,
        too_few_watches_later,
        no_instance,
        unmounted,
        unmounted_inside,
        mounted_inside,
    )
}

if __name__ == "__main__":
    STORIES[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.write("done\n")
