"""The list of mounts of the system: which of them a walk from a root comes upon, and their identities."""

from __future__ import annotations

import os
from pathlib import Path

from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.mounts import UNKNOWN, Table, inside, parse

HEAD = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"


class Listed(FileSystem):
    """A real directory on a system whose list of mounts a test writes."""

    def __init__(self, root: Path, lines: str) -> None:
        self.root, self.lines, self.ids = str(root), lines, {}

    def mount_list(self, fd: int) -> tuple[str, str]:
        return self.root, HEAD + self.lines

    def mount_id(self, fd: int) -> int:
        return self.ids.get(fd, 1)


def found(tmp_path: Path, lines: str) -> dict[str, str]:
    fs = Listed(tmp_path, lines.replace("ROOT", str(tmp_path)))
    fd = fs.open_root(str(tmp_path))
    try:
        seen = inside(fs, fd)
        assert seen is not None
        return dict(seen.points)
    finally:
        fs.close(fd)


def test_only_what_is_mounted_inside_the_root_counts(tmp_path: Path) -> None:
    lines = (
        "2 1 0:5 / ROOT/a rw - tmpfs none rw\n"
        "3 1 0:6 / ROOT-beside rw - tmpfs none rw\n"
        "4 1 0:7 / /elsewhere rw - tmpfs none rw\n"
        "5 1 0:8 / ROOT/.syncer/trash rw - tmpfs none rw\n"
        "6 2 0:9 / ROOT/a/deep/er rw - nfs4 server:/export rw\n"
    )
    assert set(found(tmp_path, lines)) == {"a", "a/deep/er"}


def test_a_name_with_blanks_is_the_name_that_it_is(tmp_path: Path) -> None:
    assert set(found(tmp_path, "2 1 0:5 / ROOT/my\\040disk\\134n rw - tmpfs none rw\n")) == {"my disk\\n"}


def test_of_two_at_one_place_the_upper_one_counts_and_what_it_hides_does_not(tmp_path: Path) -> None:
    lower = "2 1 0:5 / ROOT/a rw - nfs4 one:/x rw\n3 2 0:6 / ROOT/a/in rw - nfs4 in:/x rw\n"
    upper = "4 2 0:7 / ROOT/a rw - nfs4 two:/x rw\n"
    below, above, both = found(tmp_path, lower), found(tmp_path, upper.replace("4 2", "4 1")), None
    both = found(tmp_path, lower + upper)
    assert set(below) == {"a", "a/in"}
    assert both == above
    assert found(tmp_path, upper + lower) == above, "in whatever order they are listed"


def test_what_was_mounted_tells_two_apart_and_is_no_name_of_this_machine(tmp_path: Path) -> None:
    def of(line: str) -> str:
        [identity] = found(tmp_path, f"2 1 {line}\n").values()
        assert len(identity) == 16 and int(identity, 16) >= 0
        return identity

    one = of("0:5 / ROOT/a rw - nfs4 server:/export rw")
    assert of("0:99 / ROOT/b ro,noatime - nfs4 server:/export ro") == one, "however it is mounted, and where"
    assert of("0:5 / ROOT/a rw - nfs4 server:/other rw") != one
    assert of("0:5 /sub ROOT/a rw - nfs4 server:/export rw") != one
    assert of("0:5 / ROOT/a rw - fuse.sshfs server:/export rw") != one


def test_lines_that_are_none_are_left_out() -> None:
    assert list(parse("")) == []
    assert list(parse("nonsense\n1 2 3\nx y 0:1 / / rw - ext4 /dev/x rw\n")) == []
    [line] = parse("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue")
    assert (line.id, line.parent, line.root, line.place, line.kind) == (36, 35, "/mnt1", "/mnt2", "ext3")


def test_where_the_system_keeps_no_list_nothing_is_said(tmp_path: Path) -> None:
    class Elsewhere(FileSystem):
        def mount_list(self, fd: int) -> tuple[str, str]:
            raise FileNotFoundError

    fs, table = Elsewhere(), Table()
    fd = fs.open_root(str(tmp_path))
    assert table.look(fs, fd) is None
    assert table.of(fs, fd, fd) == ""
    fs.close(fd)


def test_a_directory_on_a_mount_that_is_in_no_list_is_of_nothing_that_is_known(tmp_path: Path) -> None:
    """As one that is open while its disk is unmounted lazily, and its number given to nothing yet."""
    fs = Listed(tmp_path, f"2 1 0:5 / {tmp_path}/a rw - nfs4 server:/export rw\n")
    (tmp_path / "a").mkdir()
    root, inner = fs.open_root(str(tmp_path)), os.open(tmp_path / "a", os.O_RDONLY)
    table = Table()
    points = table.look(fs, root)
    fs.ids[inner] = 2
    assert points is not None and table.of(fs, root, inner) == points["a"]
    fs.ids[inner] = 77
    assert table.of(fs, root, inner) == UNKNOWN
    for fd in (root, inner):
        fs.close(fd)
