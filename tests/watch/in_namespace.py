"""Stories that need a limit or a mount of their own: `python -m tests.watch.in_namespace STORY FOLDER`.

In a user namespace made by unshare(1), whose limits and mounts concern nobody else. Each prints "done" at
its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from tests.watch.recorder import Recorder, watching

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
    heard = Recorder()
    with watching(root, heard, poll=0.05) as watch:
        assert watch.mode == "events"
        (root / "a" / "b" / "c" / "d" / "e" / "f" / "g").mkdir(parents=True)
        heard.until(lambda: watch.mode == "polling" and heard.everywhere > 0)
        heard.forget()
        (root / "a" / "b" / "c" / "d" / "e" / "f" / "g" / "file").write_bytes(b"1")
        heard.until_told("a/b/c/d/e/f/g")
    assert len(heard.said) == 1, heard.said
    assert "fs.inotify.max_user_watches=" in heard.said[0][1]


def too_few_watches_for_one_of_two(root: Path) -> None:
    """Who is refused keeps none of the watches that he had, and does not hurt who was there before."""
    (_LIMITS / "max_inotify_watches").write_text("12")
    small, large = root / "small", root / "large"
    (small / "d").mkdir(parents=True)
    for n in range(20):
        (large / f"{n}").mkdir(parents=True)
    heard, refused = Recorder(), Recorder()
    with watching(small, heard, poll=0.05) as one, watching(large, refused, poll=0.05) as other:
        assert (one.mode, other.mode) == ("events", "polling")
        for n in range(8):
            (small / "d" / f"{n}").mkdir()
        heard.until_told(*(f"d/{n}" for n in range(8)))
        heard.forget()
        (small / "d" / "7" / "f").write_bytes(b"1")
        heard.until_told("d/7")
        (large / "19" / "f").write_bytes(b"1")
        refused.until_told("19")
        assert (one.mode, heard.everywhere, heard.said) == ("events", 0, [])
    assert len(refused.said) == 1, refused.said
    assert "fs.inotify.max_user_watches=" in refused.said[0][1]


def one_instance_for_all(root: Path) -> None:
    """A user who may have one queue of the kernel watches as many folders as he likes."""
    (_LIMITS / "max_inotify_instances").write_text("1")
    folders = [root / f"{n}" for n in range(60)]
    for folder in folders:
        folder.mkdir()
    heard = [Recorder() for _ in folders]
    with ExitStack() as stack:
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        watches = [stack.enter_context(watching(f, h, poll=0.2)) for f, h in zip(folders, heard, strict=True)]
        assert {watch.mode for watch in watches} == {"events"}
        assert len(os.listdir("/proc/self/fd")) <= before[0] + 2
        for folder, each in zip(folders, heard, strict=True):
            (folder / "new").mkdir()
            each.until_told("new")
        heard[0].until(lambda: threading.active_count() <= before[1] + 3)
    assert not any(each.said for each in heard)


def no_instance(root: Path) -> None:
    """Not a single folder may be watched."""
    (_LIMITS / "max_inotify_instances").write_text("0")
    (root / "0").mkdir()
    _looked_at(root, "max_user_instances")


def unmounted(root: Path) -> None:
    """A disk that goes leaves an empty directory; one that comes back is watched again."""
    _mount(root)
    (root / "d").mkdir()
    heard = Recorder()
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
    heard = Recorder()
    with watching(root, heard):
        subprocess.run(["umount", str(root / "d")], check=True)
        heard.until_told("d", "d/under")
        heard.forget()
        (root / "d" / "under" / "f").write_bytes(b"1")
        heard.until_told("d/under")


def mounted_inside(root: Path) -> None:
    """No event tells that a disk is mounted over a directory; what happens on it is heard of all the same."""
    (root / "d").mkdir()
    heard = Recorder()
    with watching(root, heard, poll=0.05):
        _mount(root / "d")
        heard.until(lambda: heard.everywhere > 0)
        heard.forget()
        (root / "d" / "f").write_bytes(b"1")
        heard.until_told("d")
        subprocess.run(["umount", str(root / "d")], check=True)
        heard.until(lambda: heard.everywhere > 0)


def _looked_at(root: Path, setting: str) -> None:
    heard = Recorder()
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
        too_few_watches_for_one_of_two,
        one_instance_for_all,
        no_instance,
        unmounted,
        unmounted_inside,
        mounted_inside,
    )
}

if __name__ == "__main__":
    STORIES[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.write("done\n")
