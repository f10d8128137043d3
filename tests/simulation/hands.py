"""The user of a machine: makes, edits, renames and deletes, on whichever disk it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from stat import S_IFDIR, S_IFMT

from tests.simulation.machines import Machine

FIRST_MTIME = 1_600_000_000
PASSING = ".#saving"


class Hands:
    """Every file gets an mtime of its own, a second after the one before. `written` is all there ever was."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.fs = machine.fs
        self.written: set[bytes] = set()
        self._seconds = FIRST_MTIME

    def on(self, machine: Machine) -> Hands:
        """The same user, with the same past, at another machine."""
        other = Hands(machine)
        other.written, other._seconds = set(self.written), self._seconds
        return other

    def write(self, path: str, text: str | bytes, *, mode: int = 0o644) -> None:
        """Make or replace a file as a careful editor does: another inode takes the name."""
        data = text.encode() if isinstance(text, str) else text
        self.written.add(data)
        self._seconds += 1
        with self._parent(path) as (fd, name):
            new = self.fs.create(PASSING, fd)
            for start in range(0, len(data), 1 << 20):
                self.fs.write(new, data[start : start + (1 << 20)])
            self.fs.set_mode(new, mode)
            self.fs.set_times(new, self._seconds * 10**9)
            self.fs.close(new)
            self.fs.rename(PASSING, fd, name, fd)

    def write_into(self, path: str, text: str) -> None:
        """Overwrite the file itself: the inode stays, hard links see it."""
        self.written.add(text.encode())
        self.machine.write_into(path, text.encode())

    def link(self, path: str, target: str) -> None:
        self._seconds += 1
        with self._parent(path) as (fd, name):
            self.fs.symlink(target, PASSING, fd)
            self.fs.set_link_times(PASSING, fd, self._seconds * 10**9)
            self.fs.rename(PASSING, fd, name, fd)

    def delete(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            self.fs.unlink(name, fd)

    def mkdir(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            self.fs.mkdir(name, fd, 0o755)

    def rmdir(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            self.fs.rmdir(name, fd)

    def rmtree(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            inside = self.fs.open_directory(name, fd)
            below = list(self.fs.scan(inside))
            self.fs.close(inside)
        for inner, st in below:
            deeper = S_IFMT(st.st_mode) == S_IFDIR
            (self.rmtree if deeper else self.delete)(f"{path}/{inner}")
        self.rmdir(path)

    def rename(self, path: str, new: str) -> None:
        with self._parent(path) as (fd, name), self._parent(new) as (new_fd, new_name):
            self.fs.rename(name, fd, new_name, new_fd)

    def chmod(self, path: str, mode: int) -> None:
        self._on_file(path, lambda fd: self.fs.set_mode(fd, mode))

    def touch(self, path: str) -> None:
        self._seconds += 1
        self._on_file(path, lambda fd: self.fs.set_times(fd, self._seconds * 10**9))

    def kind(self, path: str) -> str:
        """ "" where nothing is, or no way leads there."""
        try:
            with self._parent(path) as (fd, name):
                mode = self.fs.stat(name, fd).st_mode
        except OSError:
            return ""
        return {0o040000: "directory", 0o100000: "file"}.get(S_IFMT(mode), "symlink")

    def _on_file(self, path: str, do: Callable[[int], None]) -> None:
        with self._parent(path) as (fd, name):
            opened = self.fs.open_read(name, fd)
            do(opened)
            self.fs.close(opened)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        directory, _, name = self.machine.path(path).rpartition("/")
        fd = self.fs.open_root(directory)
        try:
            yield fd, name
        finally:
            self.fs.close(fd)
