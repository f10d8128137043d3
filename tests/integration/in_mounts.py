"""Stories with disks mounted inside a root: `python -m tests.integration.in_mounts STORY FOLDER`.

In a mount namespace made by unshare(1), whose mounts concern nobody else. Each prints "done" at its end.
A disk is a tmpfs that stays mounted beside the roots; what is mounted inside them is a bind mount of it.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from syncer.engine.model import Policy
from syncer.stores.local.filesystem import FileSystem
from tests.simulation.machines import FastClock, Machine
from tests.world import SIDES, Ran, World

PHOTOS = [f"photo-{number:02}.jpg" for number in range(20)]
WITHIN = 60.0  # seconds


# -- disks -----------------------------------------------------------------------


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)


def unmount_busy(place: Path) -> None:
    """Also one in use, as `umount -l` does: what is open on it goes on for a while."""
    if subprocess.run(["umount", str(place)], capture_output=True).returncode:
        subprocess.run(["umount", "-l", str(place)], check=True)


def new_disk(place: Path) -> Path:
    """A file system of its own, mounted outside the roots."""
    place.mkdir()
    mount("-t", "tmpfs", "none", place)
    return place


def agreed(home: Path, side: str, place: str = "photos", **keys: str) -> World:
    """Both sides in step; on `side` the photos are on a disk of their own."""
    world = World(home / "world", **keys)
    disk = new_disk(world.path("disk"))
    world.path(f"{side}/{place}").mkdir(parents=True)
    mount("--bind", disk, world.path(f"{side}/{place}"))
    for name in PHOTOS:
        world.write(f"{side}/{place}/{name}", f"content of {name}")
    world.fill("local", 30, "other")
    world.settle()
    assert world.equal()
    return world


def other(side: str) -> str:
    return "remote" if side == "local" else "local"


def photos(world: World, side: str, place: str = "photos") -> set[str]:
    return {path for path, node in world.side(side).items() if node.kind == "file" and f"{place}/" in path}


def held(world: World, place: str, *words: str) -> Ran:
    """A run in which one mount point waits, and all else flows."""
    ran = world.sync(*words)
    assert ran.code == 4, ran
    assert ran.job["result"] == "held", ran
    assert "Traceback" not in ran.err
    status = world.status()
    assert [(h["guard"], h["paths"]) for h in status["held"]] == [("unmounted", [place])], status
    assert not [a for a in ran.actions if a[1].startswith(place + "/")], ran
    return ran


def waits_and_heals(world: World, side: str, back: Callable[[], object], place: str = "photos") -> None:
    """Nothing is deleted, everything else flows, and as soon as the disk is back all is as it was."""
    before = photos(world, other(side), place)
    world.write(f"{side}/other/new", "new elsewhere")
    world.path(f"{side}/other/file-001").unlink()
    world.write(f"{other(side)}/{place}/photo-00.jpg", "edited meanwhile, longer than it was")
    world.write(f"{other(side)}/{place}/later.jpg", "new meanwhile")
    world.path(f"{other(side)}/{place}/photo-01.jpg").unlink()
    held(world, place)
    assert world.read(f"{other(side)}/other/new") == b"new elsewhere"
    assert not world.path(f"{other(side)}/other/file-001").exists()
    held(world, place)
    left = {path for path in before if not path.endswith("photo-01.jpg")} | {f"{place}/later.jpg"}
    assert photos(world, other(side), place) == left
    back()
    world.settle()
    assert world.equal()
    assert photos(world, side, place) == left
    assert world.read(f"{side}/{place}/photo-00.jpg").startswith(b"edited meanwhile")
    assert world.status()["held"] == []


def _bind(world: World, side: str, place: str = "photos", disk: str = "disk") -> Callable[[], object]:
    def back() -> None:
        world.path(f"{side}/{place}").mkdir(parents=True, exist_ok=True)
        mount("--bind", world.path(disk), world.path(f"{side}/{place}"))

    return back


# -- not mounted today -------------------------------------------------------------


def unmounted_here(home: Path) -> None:
    """A disk inside the local root is not mounted today."""
    world = agreed(home, "local")
    unmount(world.path("local/photos"))
    waits_and_heals(world, "local", _bind(world, "local"))


def unmounted_there(home: Path) -> None:
    """The same in a folder that is the remote."""
    world = agreed(home, "remote")
    unmount(world.path("remote/photos"))
    waits_and_heals(world, "remote", _bind(world, "remote"))


def unmounted_with_its_directory(home: Path) -> None:
    """An automounter removes the mount point too, and the directory above it."""
    world = agreed(home, "local", "media/usb")
    unmount(world.path("local/media/usb"))
    world.path("local/media/usb").rmdir()
    waits_and_heals(world, "local", _bind(world, "local", "media/usb"), "media/usb")
    unmount(world.path("local/media/usb"))
    world.path("local/media/usb").rmdir()
    world.path("local/media").rmdir()
    waits = photos(world, "remote", "media/usb")
    held(world, "media/usb")
    assert photos(world, "remote", "media/usb") == waits
    _bind(world, "local", "media/usb")()
    world.settle()
    assert world.equal()


def a_directory_of_the_same_disk(home: Path) -> None:
    """A bind mount of a folder beside the root has the device number of the root."""
    world = World(home / "world")
    for name in ("elsewhere", "local/photos"):
        world.path(name).mkdir()
    mount("--bind", world.path("elsewhere"), world.path("local/photos"))
    world.fill("local", 30, "other")
    for name in PHOTOS:
        world.write(f"local/photos/{name}", name)
    world.settle()
    unmount(world.path("local/photos"))
    waits_and_heals(world, "local", _bind(world, "local", disk="elsewhere"))


def unmounted_with_something_beneath(home: Path) -> None:
    """The directory beneath holds files of the same names: they are not taken for edits."""
    world = World(home / "world")
    disk = new_disk(world.path("disk"))
    world.path("local/photos").mkdir()
    for name in PHOTOS:
        world.write(f"local/photos/{name}", "what is beneath")
    mount("--bind", disk, world.path("local/photos"))
    for name in PHOTOS:
        world.write(f"local/photos/{name}", f"content of {name}")
    world.fill("local", 30, "other")
    world.settle()
    unmount(world.path("local/photos"))
    waits_and_heals(world, "local", _bind(world, "local"))


def a_deep_part_of_the_tree_alone_changed(home: Path) -> None:
    """The mount point looks as it did, since it holds directories only; what is below it does not."""
    world = agreed(home, "local", "disk-here")
    world.fill("local/disk-here/deep", 12, "er")
    world.settle()
    for name in PHOTOS:
        world.path(f"local/disk-here/{name}").unlink()
    world.settle()
    unmount(world.path("local/disk-here"))
    world.path("local/disk-here/deep/er").mkdir(parents=True)
    held(world, "disk-here")
    assert len(photos(world, "remote", "disk-here")) == 12
    world.path("local/disk-here/deep/er").rmdir()
    world.path("local/disk-here/deep").rmdir()
    _bind(world, "local", "disk-here")()
    world.settle()
    assert world.equal()


# -- something else is mounted -------------------------------------------------------


def another_disk_at_the_same_place(home: Path) -> None:
    """An empty one, and one with other files."""
    world = agreed(home, "local")
    unmount(world.path("local/photos"))
    mount("-t", "tmpfs", "none", world.path("local/photos"))
    held(world, "photos")
    (world.path("local/photos") / "of-another-disk").write_text("somebody's")
    held(world, "photos")
    assert not world.path("remote/photos/of-another-disk").exists()
    unmount(world.path("local/photos"))
    waits_and_heals(world, "local", _bind(world, "local"))


def mounted_over_what_was_synced(home: Path) -> None:
    """A directory of the root became a mount point: what it held is hidden, not deleted."""
    for side in SIDES:
        world = World(home / side)
        world.fill("local", 20, "photos")
        world.fill("local", 30, "other")
        world.settle()
        before = photos(world, other(side))
        mount("-t", "tmpfs", "none", world.path(f"{side}/photos"))
        held(world, "photos")
        assert photos(world, other(side)) == before
        unmount(world.path(f"{side}/photos"))
        world.settle()
        assert world.equal()
        assert photos(world, side) == before


def the_same_disk_under_another_name(home: Path) -> None:
    """What is mounted there has another identity, but its files are the very ones: nothing waits."""
    world = World(home / "world")
    disk = new_disk(world.path("disk"))
    (disk / "a").mkdir()
    world.path("local/photos").mkdir()
    mount("--bind", disk / "a", world.path("local/photos"))
    world.fill("local/photos", 12)
    world.settle()
    unmount(world.path("local/photos"))
    (disk / "a").rename(disk / "b")
    mount("--bind", disk / "b", world.path("local/photos"))
    world.path("local/photos/file-003").unlink()
    world.settle()
    assert world.equal()
    assert not world.path("remote/photos/file-003").exists(), "a deletion on it is one"


def a_new_disk_with_nothing_known_below(home: Path) -> None:
    """A disk that is mounted over an empty directory is synced, and remembered."""
    world = World(home / "world")
    world.fill("local", 30, "other")
    world.path("local/photos").mkdir()
    world.settle()
    disk = new_disk(world.path("disk"))
    mount("--bind", disk, world.path("local/photos"))
    for name in PHOTOS:
        world.write(f"local/photos/{name}", name)
    world.settle()
    unmount(world.path("local/photos"))
    waits_and_heals(world, "local", _bind(world, "local"))


def the_directory_above_was_renamed(home: Path) -> None:
    """The disk is mounted as before, only the directory above it has another name: a rename."""
    world = agreed(home, "local", "media/usb")
    world.path("local/media").rename(world.path("local/drives"))
    world.settle()
    assert world.equal()
    assert len(photos(world, "remote", "drives/usb")) == len(PHOTOS)
    world.path("remote/drives").rename(world.path("remote/back"))
    world.settle()
    assert world.equal()
    unmount(world.path("local/back/usb"))
    held(world, "back/usb")
    assert len(photos(world, "remote", "back/usb")) == len(PHOTOS)


def two_disks_one_inside_the_other(home: Path) -> None:
    """The inner one goes alone, then the outer one with it."""
    world = agreed(home, "local")
    inner = new_disk(world.path("inner"))
    world.path("local/photos/raw").mkdir()
    mount("--bind", inner, world.path("local/photos/raw"))
    world.fill("local/photos/raw", 12)
    world.settle()
    unmount(world.path("local/photos/raw"))
    world.write("local/photos/photo-03.jpg", "edited on the outer disk, which is there")
    held(world, "photos/raw")
    assert world.read("remote/photos/photo-03.jpg").startswith(b"edited")
    assert len(photos(world, "remote", "photos/raw")) == 12
    unmount(world.path("local/photos"))
    held(world, "photos")
    assert len(photos(world, "remote")) == len(PHOTOS) + 12
    _bind(world, "local")()
    _bind(world, "local", "photos/raw", "inner")()
    world.settle()
    assert world.equal()


# -- what the other side does to a mount point ----------------------------------------------


def removed_on_the_other_side(home: Path) -> None:
    """Its files go to the trash; the mount point itself cannot go, and comes back, empty, there."""
    world = agreed(home, "local")
    for name in PHOTOS:
        world.path(f"remote/photos/{name}").unlink()
    world.path("remote/photos").rmdir()
    assert world.sync("--yes").code == 0
    world.settle()
    assert world.equal()
    assert photos(world, "local") == set()
    assert world.path("remote/photos").is_dir()
    assert {f"content of {name}".encode() for name in PHOTOS} <= world.everything(), "in the trash"


def renamed_on_the_other_side(home: Path) -> None:
    """A mount point cannot be renamed: its files move to the new name, and it stays, empty."""
    world = agreed(home, "local")
    world.path("remote/photos").rename(world.path("remote/pictures"))
    for _ in range(3):
        world.sync("--yes")
    world.settle()
    assert world.equal()
    assert len(photos(world, "local", "pictures")) == len(PHOTOS)


def files_move_between_two_disks(home: Path) -> None:
    """A rename there is a copy and a deletion here, where it crosses from one file system to another."""
    world = agreed(home, "local")
    world.path("remote/photos/photo-00.jpg").rename(world.path("remote/other/photo-00.jpg"))
    world.path("remote/other/file-003").rename(world.path("remote/photos/file-003"))
    for _ in range(2):
        world.sync()
    world.settle()
    assert world.equal()
    assert world.path("local/photos/file-003").exists()
    assert not world.path("local/photos/photo-00.jpg").exists()


# -- a person says so ------------------------------------------------------------------


def gone_for_good(home: Path) -> None:
    """--yes takes what is there for what is wanted, and so does a --max-delete that is high enough."""
    for number, words in enumerate((("--yes",), ("--max-delete", "25"))):
        world = agreed(home / str(number), "local") if (home / str(number)).mkdir() is None else None
        assert world is not None
        unmount(world.path("local/photos"))
        held(world, "photos")
        held(world, "photos", "--max-delete", "5")
        ran = world.sync(*words)
        assert ran.code == 0, ran
        assert photos(world, "remote") == set()
        assert {f"content of {name}".encode() for name in PHOTOS} <= world.everything(), "in the trash"
        world.settle()
        assert world.status()["held"] == []


def undone_and_restored_by_hand(home: Path) -> None:
    """`undo` and `trash restore` put nothing beneath a mount point whose disk is not mounted."""
    from tests.world import call

    world = agreed(home, "local")
    for name in PHOTOS[:3]:
        world.path(f"remote/photos/{name}").unlink()
    run = world.settle().job["run"]
    unmount(world.path("local/photos"))
    restored = call(*world.words("trash", "restore", f"photos/{PHOTOS[0]}"))
    assert restored.code != 0, restored
    assert "not mounted" in restored.out + restored.err
    undone = call(*world.words("undo", str(run), "--yes"))
    assert "not mounted" in undone.out + undone.err, undone
    assert list(world.path("local/photos").iterdir()) == []
    _bind(world, "local")()
    assert call(*world.words("undo", str(run), "--yes")).code == 0
    world.settle()
    assert world.equal()
    assert len(photos(world, "remote")) == len(PHOTOS)


def ignored_from_now_on(home: Path) -> None:
    """A mount point that an ignore rule names is nobody's business, mounted or not."""
    world = agreed(home, "local")
    unmount(world.path("local/photos"))
    held(world, "photos")
    world.configure(ignore='["photos/"]')
    world.sync()
    world.settle()
    assert len(photos(world, "remote")) == len(PHOTOS)


def known_from_before_mounts_were_told(home: Path) -> None:
    """A memory that was written by an earlier version takes what is mounted now as it is."""
    world = agreed(home, "local")
    import sqlite3

    with sqlite3.connect(world.database) as database:
        database.execute("DELETE FROM settings WHERE key LIKE '%_mounts'")
    database.close()
    world.write("local/photos/photo-00.jpg", "edited")
    world.settle()
    unmount(world.path("local/photos"))
    held(world, "photos")
    assert len(photos(world, "remote")) == len(PHOTOS)


def what_plan_check_and_explain_say(home: Path) -> None:
    """All of them name the mount point, and change nothing."""
    from tests.world import call

    world = agreed(home, "local")
    unmount(world.path("local/photos"))
    plan = world.plan()
    assert plan.job["actions"] == [], plan
    assert plan.codes == {"unmounted"}, plan
    check = world.check()
    assert check.code != 0
    assert "photos" in check.out
    assert "photo-00.jpg" not in check.out
    explained = call(*world.words("explain", "photos"))
    assert "unmounted" in explained.out, explained
    assert len(photos(world, "remote")) == len(PHOTOS)


# -- a mount that does not answer --------------------------------------------------------


class Sick(FileSystem):
    """A disk on which what is mounted at one place answers nothing but an error."""

    def __init__(self) -> None:
        self.place, self.code, self.names_too, self.network = "", 0, False, False

    def mount_list(self, fd: int) -> tuple[str, str]:
        """A network file system is known by what was mounted, and not asked: it may never answer."""
        place, lines = super().mount_list(fd)
        return place, lines.replace(" - tmpfs none ", " - nfs4 server:/export ") if self.network else lines

    def open_directory(self, name: str, dir_fd: int) -> int:
        self._fail(name, dir_fd)
        return super().open_directory(name, dir_fd)

    def stat(self, name: str, dir_fd: int) -> os.stat_result:
        if self.names_too:
            self._fail(name, dir_fd)
        return super().stat(name, dir_fd)

    def scan(self, fd: int):  # type: ignore[no-untyped-def]
        from syncer.stores.local.filesystem import UNSEEN

        here = os.readlink(f"/proc/self/fd/{fd}")
        for name, found in super().scan(fd):
            sick = self.names_too and f"{here}/{name}" == self.place
            yield name, (UNSEEN if sick else found)

    def _fail(self, name: str, dir_fd: int) -> None:
        if self.place and f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{name}" == self.place:
            raise OSError(self.code, os.strerror(self.code))


def does_not_answer(home: Path) -> None:
    """EIO, ESTALE or ENOTCONN from what is mounted there, when it is opened or even when it is looked at."""
    for side, network in itertools.product(SIDES, (True, False)):
        base = home / f"{side}-{network}"
        for name in ("local/photos", "remote/photos", "keep", "state", "disk"):
            (base / name).mkdir(parents=True)
        mount("-t", "tmpfs", "none", base / "disk")
        mount("--bind", base / "disk", base / side / "photos")
        for name in PHOTOS:
            (base / side / "photos" / name).write_text(name)
        (base / "local/beside").write_text("beside")
        disk = Sick()
        disk.network = network
        machine = Machine(disk, FastClock(), str(base), base / "state")
        assert machine.run().exit_code == 0
        for code in (errno.EIO, errno.ESTALE, errno.ENOTCONN):
            for names_too in (False, True):
                disk.place, disk.code, disk.names_too = str(base / side / "photos"), code, names_too
                (base / "local/beside").write_text(f"edited {code} {names_too}")
                (base / other(side) / "photos" / PHOTOS[0]).write_text(f"edited {code} {names_too}")
                end = machine.run()
                assert end.exit_code == 4, str(end)
                assert end.report is not None
                assert [(h.guard, h.paths) for h in end.report.holds] == [("unmounted", ("photos",))]
                assert (base / "remote/beside").read_text() == f"edited {code} {names_too}"
                assert len(list((base / other(side) / "photos").iterdir())) == len(PHOTOS)
                disk.place = ""
                assert machine.run().exit_code == 0
                edited = (base / side / "photos" / PHOTOS[0]).read_text()
                assert edited == f"edited {code} {names_too}"


def a_dead_mount_that_was_never_synced(home: Path) -> None:
    """A FUSE server that died (ENOTCONN to every look) is a problem of its own; its neighbours sync."""
    world = World(home / "world")
    world.fill("local", 10)
    world.path("local/dead").mkdir()
    fuse_without_a_server(world.path("local/dead"))
    ran = world.sync()
    assert ran.code == 1, ran
    assert [(p["path"], p["side"], p["code"]) for p in ran.job["problems"]] == [
        ("dead", "local", "unreadable")
    ], ran
    assert len(world.side("remote")) == 10
    unmount(world.path("local/dead"))
    world.settle()
    assert world.equal()


def fuse_without_a_server(place: Path) -> None:
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(place), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    os.close(server)


# -- in the middle of a run ----------------------------------------------------------------


class Interfered(FileSystem):
    """A disk on which something is done right before the n-th call of a method."""

    def __init__(self) -> None:
        self.method, self.left = "", 0
        self.act: Callable[[], object] = lambda: None
        self.acted = False

    def before(self, method: str, number: int, act: Callable[[], object]) -> None:
        self.method, self.left, self.act, self.acted = method, number, act, False

    def _called(self, method: str) -> None:
        if method == self.method and not self.acted:
            self.left -= 1
            if self.left < 0:
                self.acted = True
                self.act()

    def open_directory(self, name: str, dir_fd: int) -> int:
        self._called("open_directory")
        return super().open_directory(name, dir_fd)

    def scan(self, fd: int):  # type: ignore[no-untyped-def]
        self._called("scan")
        yield from super().scan(fd)

    def create(self, name: str, dir_fd: int) -> int:
        self._called("create")
        return super().create(name, dir_fd)

    def sync(self, fd: int) -> None:
        self._called("sync")
        super().sync(fd)


def unmounted_at_any_moment_of_a_run(home: Path) -> None:
    """The disk goes before the n-th look or write of a run that has something to do everywhere."""
    refused = 0
    for method in ("open_directory", "scan", "create", "sync"):
        for number in range(100):
            base = home / f"{method}{number}"
            for name in ("local/photos", "remote/photos", "keep", "state", "disk"):
                (base / name).mkdir(parents=True)
            mount("-t", "tmpfs", "none", base / "disk")
            mount("--bind", base / "disk", base / "local/photos")
            for name in PHOTOS[:4]:
                (base / "local/photos" / name).write_text(name)
            (base / "local/beside").write_text("beside")
            disk = Interfered()
            machine = Machine(disk, FastClock(), str(base), base / "state")
            assert machine.run().exit_code == 0
            (base / "local/beside").write_text("edited")
            (base / "local/photos" / PHOTOS[0]).write_text("edited here")
            (base / "remote/photos/from-there").write_text("new there")
            (base / "remote/photos" / PHOTOS[1]).write_text("edited there")
            (base / "remote/photos" / PHOTOS[2]).unlink()
            disk.before(method, number, partial(unmount_busy, base / "local/photos"))
            end = machine.run(policy=Policy())
            refused += getattr(end.error, "guard", "") == "unmounted"
            acted = disk.acted
            disk.before("", 0, lambda: None)
            if acted:
                for _ in range(2):
                    end = machine.run()
                    assert end.exit_code == 4, f"{method} {number}: {end}"
                mount("--bind", base / "disk", base / "local/photos")
            for _ in range(3):
                end = machine.run()
            assert end.exit_code == 0, f"{method} {number}: {end}"
            there = {p.name: p.read_text() for p in (base / "remote/photos").iterdir()}
            here = {p.name: p.read_text() for p in (base / "local/photos").iterdir()}
            assert here == there, (method, number, here, there)
            assert there == {
                PHOTOS[0]: "edited here",
                PHOTOS[1]: "edited there",
                PHOTOS[3]: PHOTOS[3],
                "from-there": "new there",
            }, (method, number, there)
            unmount(base / "local/photos")
            unmount(base / "disk")
            if not acted:
                break
    assert refused, "a run whose disks changed after it looked goes no further"


# -- the daemon, and a server ------------------------------------------------------------------


def until(told: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN
    while not told():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@contextmanager
def process(world: World, *words: str) -> Iterator[subprocess.Popen[str]]:
    started = world.start(*words)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=WITHIN)


def the_daemon(home: Path) -> None:
    """It holds what is not mounted, and goes on by itself as soon as it is."""
    world = agreed(home, "local")
    with process(world, "daemon"):
        until(lambda: (world.status()["daemon"] or {}).get("phase") == "idle")
        unmount(world.path("local/photos"))
        until(lambda: [h["guard"] for h in world.status()["held"]] == ["unmounted"])
        assert len(photos(world, "remote")) == len(PHOTOS)
        world.write("local/other/meanwhile", "flows")
        until(lambda: world.path("remote/other/meanwhile").exists())
        assert [h["paths"] for h in world.status()["held"]] == [["photos"]]
        assert len(photos(world, "remote")) == len(PHOTOS)
        world.write("remote/photos/later.jpg", "new meanwhile")
        _bind(world, "local")()
        until(lambda: world.status()["held"] == [] and world.path("local/photos/later.jpg").exists())
        assert world.equal()
        world.write("local/photos/photo-00.jpg", "edited on the disk that is back")
        until(lambda: world.read("remote/photos/photo-00.jpg") == b"edited on the disk that is back")


@contextmanager
def serving(world: World) -> Iterator[dict[str, str]]:
    """`syncer serve` over the folder `served` of the world; how to reach it."""
    command = [sys.executable, "-m", "syncer", "serve", "--keys", str(world.path("keys")), "--json"]
    told = subprocess.run([*command, "--add-key", "it"], check=True, capture_output=True, text=True).stdout
    key = json.loads(told)
    server = subprocess.Popen(
        [*command, str(world.path("served")), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        yield {"type": "smartfile", "url": url, "key": key["key"], "password": key["password"]}
    finally:
        server.terminate()
        server.communicate(timeout=WITHIN)


def served(home: Path) -> None:
    """The served folder of `syncer serve` has a disk mounted inside it."""
    world = World(home / "world")
    world.path("served/photos").mkdir(parents=True)
    disk = new_disk(world.path("disk"))
    mount("--bind", disk, world.path("served/photos"))
    with serving(world) as account:
        lines = ["[accounts.box]", *(f'{key} = "{value}"' for key, value in account.items())]
        lines += [f'[jobs.it]\nlocal = "{world.path("local")}"\nremote = "box:"']
        world.config.write_text("\n".join([f'state_dir = "{world.home}/state"', *lines, ""]))
        world.config.chmod(0o600)
        for name in PHOTOS:
            world.write(f"local/photos/{name}", name)
        world.fill("local", 30, "other")
        world.settle()
        assert len(list(disk.iterdir())) == len(PHOTOS)
        unmount(world.path("served/photos"))
        world.write("local/other/new", "new")
        world.write("local/photos/later.jpg", "later")
        held(world, "photos")
        assert world.path("served/other/new").exists()
        assert len(photos(world, "local")) == len(PHOTOS) + 1
        assert list(world.path("served/photos").iterdir()) == [], "nothing goes beneath"
        mount("-t", "tmpfs", "none", world.path("served/photos"))
        held(world, "photos")
        unmount(world.path("served/photos"))
        mount("--bind", disk, world.path("served/photos"))
        world.settle()
        assert (disk / "later.jpg").read_text() == "later"
        assert len(photos(world, "local")) == len(PHOTOS) + 1


STORIES = {
    story.__name__: story
    for story in (
        unmounted_here,
        unmounted_there,
        unmounted_with_its_directory,
        a_directory_of_the_same_disk,
        unmounted_with_something_beneath,
        a_deep_part_of_the_tree_alone_changed,
        another_disk_at_the_same_place,
        mounted_over_what_was_synced,
        the_same_disk_under_another_name,
        a_new_disk_with_nothing_known_below,
        the_directory_above_was_renamed,
        two_disks_one_inside_the_other,
        removed_on_the_other_side,
        renamed_on_the_other_side,
        files_move_between_two_disks,
        gone_for_good,
        undone_and_restored_by_hand,
        ignored_from_now_on,
        known_from_before_mounts_were_told,
        what_plan_check_and_explain_say,
        does_not_answer,
        a_dead_mount_that_was_never_synced,
        unmounted_at_any_moment_of_a_run,
        the_daemon,
        served,
    )
}

if __name__ == "__main__":
    STORIES[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.write("done\n")
