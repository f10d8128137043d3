"""One story on a real file system of each kind: `python -m tests.integration.in_file_systems KIND FOLDER`.

As root in a mount namespace made by unshare(1), whose mounts concern nobody else. Prints "done" at its end.
The remote side is the file system itself, mounted at the root.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.world import World, call, contents, snapshot

WITHIN = 20.0  # seconds
Mounting = Callable[[Path, Path], None]  # what there is to mount with, and where


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How it is made and mounted, and what it cannot hold.

    `programs` must be there. `make` is called once. `kernel`: the file system of the kernel that it takes.
    """

    programs: tuple[str, ...]
    make: Callable[[Path], None]
    mount: Mounting
    executable: bool = True
    symlinks: bool = True
    colons: bool = True
    folds: bool = False
    keeps_case: bool = True
    snapshots: bool = False
    kernel: str = ""


def run(*words: str | Path) -> str:
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout


def image(size: str, *mkfs: str) -> Callable[[Path], None]:
    def make(home: Path) -> None:
        run("truncate", "-s", size, home / "image")
        run(*mkfs, home / "image")

    return make


def looped(home: Path, place: Path) -> None:
    run("mount", "-o", "loop", home / "image", place)


def by_device(*program: str) -> Mounting:
    """Mounted by a program that wants a device, which goes with the last one who has it open."""

    def mount(home: Path, place: Path) -> None:
        device = run("losetup", "-f", "--show", home / "image").strip()
        try:
            run(*program, device, place)
        finally:
            run("losetup", "-d", device)

    return mount


def directories(*names: str) -> Callable[[Path], None]:
    return lambda home: [(home / name).mkdir() for name in names] and None


def overlay(home: Path, place: Path) -> None:
    """Its upper directory must not lie on an overlay."""
    disk = home / "disk"
    if not disk.exists():
        disk.mkdir()
        run("truncate", "-s", "30M", home / "image")
        run("mkfs.ext4", "-q", home / "image")
        run("mount", "-o", "loop", home / "image", disk)
        for name in ("lower", "upper", "work"):
            (disk / name).mkdir()
    layers = f"lowerdir={disk}/lower,upperdir={disk}/upper,workdir={disk}/work"
    run("mount", "-t", "overlay", "-o", layers, "overlay", place)


SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
)
PROCESSES: list[subprocess.Popen[bytes]] = []


def sshfs(home: Path, place: Path) -> None:
    """Over a pair of sockets to an SFTP server of its own: no network, no key, no sshd."""
    server = next(program for program in SFTP_SERVERS if os.path.exists(program))
    here, there = socket.socketpair()
    mount = ["sshfs", "-f", "-o", "passive,dir_cache=no", f":{home}/far", place]
    for program, end in (([server], there), (mount, here)):
        PROCESSES.append(subprocess.Popen(program, stdin=end, stdout=end, stderr=subprocess.DEVNULL))
        end.close()
    until = time.monotonic() + WITHIN
    while not os.path.ismount(place):
        assert time.monotonic() < until and PROCESSES[-1].poll() is None, "sshfs does not mount"
        time.sleep(0.02)


KINDS = {
    "btrfs": Kind(
        programs=("mkfs.btrfs", "btrfs"),
        make=image("120M", "mkfs.btrfs", "-q", "--mixed"),
        mount=looped,
        snapshots=True,
    ),
    "xfs": Kind(programs=("mkfs.xfs",), make=image("310M", "mkfs.xfs", "-q"), mount=looped),
    "overlay": Kind(programs=("mkfs.ext4",), make=directories(), mount=overlay),
    "mergerfs": Kind(
        programs=("mergerfs",),
        make=directories("one", "two"),
        mount=lambda home, place: run("mergerfs", f"{home}/one:{home}/two", place) and None,
    ),
    "sshfs": Kind(programs=("sshfs",), make=directories("far"), mount=sshfs),
    "ntfs": Kind(
        programs=("mkntfs", "ntfs-3g"),
        make=image("30M", "mkntfs", "-q", "-F", "-f"),
        mount=by_device("ntfs-3g"),
        executable=False,
    ),
    "ntfs without x": Kind(
        programs=("mkntfs", "ntfs-3g"),
        make=image("30M", "mkntfs", "-q", "-F", "-f"),
        mount=by_device("ntfs-3g", "-o", "windows_names,fmask=133"),
        executable=False,
        colons=False,
    ),
    "ntfs without case": Kind(
        programs=("mkntfs", "lowntfs-3g"),
        make=image("30M", "mkntfs", "-q", "-F", "-f"),
        mount=by_device("lowntfs-3g", "-o", "ignore_case"),
        executable=False,
        folds=True,
        keeps_case=False,
    ),
    "vfat": Kind(
        programs=("mkfs.vfat",),
        make=image("40M", "mkfs.vfat", "-F", "32"),
        mount=looped,
        executable=False,
        symlinks=False,
        colons=False,
        folds=True,
        kernel="vfat",
    ),
    "exfat": Kind(
        programs=("mkfs.exfat", "mount.exfat-fuse"),
        make=image("30M", "mkfs.exfat"),
        mount=by_device("mount.exfat-fuse"),
        executable=False,
        symlinks=False,
        colons=False,
        folds=True,
    ),
}


@contextmanager
def mounted(kind: Kind, home: Path, place: Path) -> Iterator[None]:
    kind.mount(home, place)
    try:
        yield
    finally:
        unmount(place)


def unmount(place: Path) -> None:
    """A FUSE program may hold on for a moment."""
    until = time.monotonic() + WITHIN
    while subprocess.run(["umount", place], capture_output=True).returncode:
        assert time.monotonic() < until, f"{place} stays busy"
        time.sleep(0.05)


# -- the story ---------------------------------------------------------------------


def tell(kind: Kind, home: Path) -> None:
    material = home / "material"
    material.mkdir()
    kind.make(material)
    world = World(home / "world")
    with mounted(kind, material, world.path("remote")):
        begin(world, kind)
        change(world, kind)
        cannot_hold(world, kind)
        spelt_anew(world, kind)
        snapshots(world, kind)
        saved_by_rename(world)
    with mounted(kind, material, world.path("remote")):
        assert world.sync("--max-delete", "0").code == 0
        rests(world, kind)
        empty_it(world, kind)


def rests(world: World, kind: Kind) -> None:
    """Both sides hold the same, and a run finds nothing to do."""
    ran = world.sync()
    assert (ran.code, ran.actions) == (0, []), ran
    assert shown(world, "local", kind) == shown(world, "remote", kind)


def shown(world: World, side: str, kind: Kind) -> dict[str, tuple[object, ...]]:
    found = contents(snapshot(world.path(side)))
    return {
        p if kind.keeps_case else p.lower(): node if kind.executable else node[:2]
        for p, node in found.items()
        if "lost+found" not in p
    }


def begin(world: World, kind: Kind) -> None:
    if world.path("remote/lost+found").is_dir():
        world.path("remote/lost+found").rmdir()
    for name in ("a", "b", "c", "d/e", "d/f", "old"):
        world.write(f"local/{name}", f"content of {name}")
    world.write("local/run.sh", "#!/bin/sh\n").chmod(0o755)
    world.write("remote/there", "from there")
    if kind.symlinks:
        world.path("local/link").symlink_to("a")
        world.path("local/dangling").symlink_to("nowhere")
    ran = world.sync()
    assert ran.code == 0, ran
    rests(world, kind)


def change(world: World, kind: Kind) -> None:
    """Renames, edits, deletions and a conflict; the odd side's stamps move, and bits stay."""
    world.path("local/a").rename(world.path("local/renamed"))
    world.path("remote/b").rename(world.path("remote/renamed there"))
    world.write("local/c", "edited here")
    world.write("remote/d/e", "edited there")
    world.write("local/d/f", "one version")
    world.write("remote/d/f", "another version")
    world.path("local/old").unlink()
    for name in ("run.sh", "there"):
        os.utime(world.path(f"remote/{name}"))
    ran = world.sync()
    assert ran.code == 0, ran
    assert {a for a, _ in ran.actions} >= {"move-remote", "move-local"}, ran
    rests(world, kind)
    assert os.access(world.path("local/run.sh"), os.X_OK), "a script lost its bit"
    assert not world.path("local/there").stat().st_mode & 0o111, "a text became executable"
    assert {b"one version", b"another version"} <= world.everything()


def cannot_hold(world: World, kind: Kind) -> None:
    """Said before anything is sent, by each run alike, and nothing piles up."""
    if kind.colons:
        return
    world.write("local/talk: part 1", b"x" * 1_000_000)
    room = os.statvfs(world.path("remote")).f_bfree
    for _ in range(3):
        ran = world.sync()
        assert (ran.code, ran.actions, ran.codes) == (1, [], {"unholdable"}), ran
    assert abs(os.statvfs(world.path("remote")).f_bfree - room) < 20
    world.path("local/talk: part 1").unlink()
    rests(world, kind)


def spelt_anew(world: World, kind: Kind) -> None:
    """Renames that change nothing but case, by either side, of files and of directories around an edit."""
    if not kind.folds:
        return
    for here, there, file, directory in (("local", "remote", "C", "D"), ("remote", "local", "c", "d")):
        respell(world.path(here) / file.swapcase(), file)
        respell(world.path(here) / directory.swapcase(), directory)
        world.write(f"{there}/{directory.swapcase()}/e", f"edited at the {there} side meanwhile")
        ran = world.sync()
        assert ran.code == 0 and not ran.job["conflicts"], ran
        moved = {a for a, _ in ran.actions} - {"upload", "download"}
        assert moved <= ({f"move-{there}"} if kind.keeps_case else {"forget"}), ran
        rests(world, kind)
        if kind.keeps_case:
            assert {file, directory} <= set(os.listdir(world.path(there)))
    if kind.keeps_case:
        respell(world.path("local/c"), "C")
        respell(world.path("local/d"), "D")
        assert {a for a, _ in world.sync().actions} == {"move-remote"}
        undone = call(*world.words("undo", "--yes"))
        assert undone.code == 0 and {"c", "d"} <= set(os.listdir(world.path("remote"))), undone
        assert world.sync().code == 0
        assert {"c", "d"} <= set(os.listdir(world.path("local")))
        rests(world, kind)
    for name in () if kind.keeps_case else ("C", "D"):
        respell(world.path(f"local/{name}"), name.lower())


def snapshots(world: World, kind: Kind) -> None:
    """As snapper makes them: told once, never sent. What was sent of one before is not deleted."""
    if not kind.snapshots:
        return
    top = world.path("remote/.snapshots/1")
    top.mkdir(parents=True)
    world.write("remote/.snapshots/1/info.xml", "<snapshot/>")
    run("btrfs", "subvolume", "snapshot", "-r", world.path("remote"), top / "snapshot")
    ran = world.sync()
    assert (ran.code, ran.codes) == (0, {"unsupported"}), ran
    assert os.listdir(world.path("local/.snapshots/1")) == ["info.xml"]
    assert world.sync().job["problems"] == []
    run("btrfs", "subvolume", "snapshot", world.path("remote"), top / "writable")
    assert world.sync().code == 0
    assert world.path("local/.snapshots/1/writable/c").exists()
    assert not world.path("local/.snapshots/1/writable/.syncer").exists()
    run("btrfs", "property", "set", top / "writable", "ro", "true")
    world.write("local/.snapshots/1/writable/c", "edited where it cannot be written")
    world.write("local/c", "flows")
    for _ in range(2):
        ran = world.sync()
        assert ran.code == 1 and not [a for a, _ in ran.actions if a.startswith("delete")], ran
    assert world.read("remote/c") == b"flows"
    assert world.read("local/.snapshots/1/writable/c") == b"edited where it cannot be written"
    run("btrfs", "property", "set", top / "writable", "ro", "false")
    for name in ("writable", "snapshot"):
        run("btrfs", "subvolume", "delete", top / name)
    world.write("local/c", "edited here")
    world.sync("--yes")
    rests(world, kind)


def respell(place: Path, name: str) -> None:
    """As a user does it, who knows that some file systems do nothing for such a rename."""
    passing = place.with_name("passing")
    place.rename(passing)
    passing.rename(place.with_name(name))


def saved_by_rename(world: World) -> None:
    """An editor saves a file at the root while runs look: on btrfs and sshfs it was taken for deleted."""
    place, beside = world.path("remote/there"), world.path("remote/.saving")
    for number in range(5):
        beside.write_text(f"version {number}")
        with saving(beside, place):
            ran = world.sync()
        assert ("delete-local", "there") not in ran.actions, ran
    assert world.sync().code == 0


@contextmanager
def saving(beside: Path, place: Path) -> Iterator[None]:
    editor = subprocess.Popen(
        [sys.executable, "-c", "import os, sys; os.replace(*sys.argv[1:])", beside, place]
    )
    try:
        yield
    finally:
        assert editor.wait() == 0


def empty_it(world: World, kind: Kind) -> None:
    """Deletions from both sides; what went is in the trash."""
    for side, name in (("local", "c"), ("remote", "there"), ("local", "d/e")):
        world.path(f"{side}/{name}").unlink()
    ran = world.sync("--yes")
    assert ran.code == 0, ran
    rests(world, kind)
    assert b"edited here" in world.everything()


def main(kind: str, home: str) -> None:
    try:
        tell(KINDS[kind], Path(home))
    finally:
        for process in PROCESSES:
            process.terminate()
            process.wait()
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
