"""File system traits: how a root's disk differs from ext4, found by trying once, and kept at the root.

    .syncer/traits      JSON; made with mode 0700, where the root's marker beside it has 0600

It is tried again where the root lies on another kind of file system than when it was tried, and where the
modes of the two files are not what they were: another mount may have other options. On file systems without
inodes of their own (FUSE, FAT, network mounts) the numbers may change with every mount: that of the marker
tells. Trying leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from os import stat_result
from stat import S_IFMT, S_IFREG, S_ISDIR
from typing import Any, Final, cast

from syncer.engine.paths import fold
from syncer.stores.local.filesystem import FileSystem

FILE = "traits"
_FORMAT = 1
_LONGEST = 4096  # bytes of the file worth reading
PROBE_NS: Final = 1_000_000_001_123_456_789  # an odd second, no round fraction
_STEPS = (1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)
_FORBIDDEN = '"*:<>?\\|\x01\n\x1f\x7f'  # what FAT, NTFS, SMB or a cloud behind FUSE may refuse in a name
_ENDS = ". "
_RESERVED = "aux"
_NAME_MAX = 255
_COMPOSED, _DECOMPOSED = (  # as UTF-8 bytes, whatever the locale takes names for
    os.fsdecode(unicodedata.normalize(form, "Prob\u00e9").encode()) for form in ("NFC", "NFD")
)
FAT_LARGEST: Final = 2**32 - 1
_FAT, _EXFAT, _FUSE, _SMB, _SMB2, _NINE_P, _OVERLAY = (
    0x4D44, 0x2011BAB0, 0x65735546, 0xFF534D42, 0xFE534D42, 0x01021997, 0x794C7630,
)  # fmt: skip
_VOLATILE = frozenset({_FAT, _EXFAT, _FUSE, _SMB, _SMB2, _NINE_P, _OVERLAY})
"""Kinds whose inode numbers may be made up anew at each mount (statfs(2) has the numbers of kinds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The defaults are what ext4, XFS and btrfs do."""

    folds_case: bool = False
    folds_form: bool = False
    keeps_case: bool = True  # names are listed as they were given
    keeps_form: bool = True
    mtime_granularity_ns: int = 1
    executable: bool = True  # a file made without the bit shows none, and one that is given it keeps it
    modes: bool = True  # permission bits can be set without an error
    links: bool = True  # a hard link works, and is the same inode
    link_error: int = 0  # the errno where it does not work
    inodes: bool = True  # a rename keeps inode number and mtime
    lasting_inodes: bool = True  # so does another mount
    symlinks: bool = True
    link_times: bool = True  # the mtime of a symlink can be set, and its target keeps its own
    any_bytes: bool = True
    max_name_bytes: int = _NAME_MAX
    forbidden: str = ""  # characters
    forbidden_ends: str = ""  # characters that no name may end in, because they are refused or dropped
    reserved: bool = False  # the names of DOS devices are refused
    largest_file: int = 0  # bytes; 0: no limit is known

    @property
    def usual(self) -> bool:
        """Whether the protocols can work on the disk as it is."""
        return all(
            (self.executable, self.modes, self.links, self.inodes, self.lasting_inodes, self.link_times)
        )


USUAL: Final = Traits()


# -- trying ------------------------------------------------------------------------


def probe(fs: FileSystem, dir_fd: int, scratch: str) -> Traits:
    """Tries everything in a directory of the name `scratch`, which is made and removed. Raises OSError."""
    kind = fs.kind(dir_fd)
    fs.mkdir(scratch, dir_fd, 0o700)
    try:
        fd = fs.open_directory(scratch, dir_fd)
        try:
            return _Probing(fs, fd, kind).traits()
        finally:
            fs.close(fd)
    finally:
        remove(fs, scratch, dir_fd)


def remove(fs: FileSystem, scratch: str, dir_fd: int) -> None:
    """Removes a directory of `probe`, as far as that is possible: only files and links are in it."""
    try:
        fd = fs.open_directory(scratch, dir_fd)
    except OSError:
        return
    try:
        for name in [name for name, _ in fs.scan(fd)]:
            _quietly(lambda name=name: fs.unlink(name, fd))  # type: ignore[misc]
    except OSError:
        pass
    finally:
        fs.close(fd)
    _quietly(lambda: fs.rmdir(scratch, dir_fd))


class _Probing:
    """One file, which is given one attribute and one name after the other."""

    def __init__(self, fs: FileSystem, fd: int, kind: int) -> None:
        self._fs = fs
        self._fd = fd
        self._kind = kind
        self._name = _COMPOSED
        self._shown_as = partial(fold, case=False, form=False)

    def traits(self) -> Traits:
        fs, fd = self._fs, self._fd
        with self._created(self._name) as file:
            _quietly(lambda: fs.set_times(file, PROBE_NS))
        found = fs.stat(self._name, fd)
        keeps_case, keeps_form = self._spelling()
        executable, modes = self._modes(found)
        links, link_error = self._links()
        inodes = self._inodes()
        symlinks, link_times = self._symlinks()
        off = abs(found.st_mtime_ns - PROBE_NS)
        return replace(
            self._names(),
            folds_case=self._exists(self._name.upper()),
            folds_form=self._exists(_DECOMPOSED),
            keeps_case=keeps_case,
            keeps_form=keeps_form,
            mtime_granularity_ns=next((s for s in _STEPS if off < s), _STEPS[-1]),
            executable=executable,
            modes=modes,
            links=links,
            link_error=link_error,
            inodes=inodes,
            symlinks=symlinks,
            link_times=link_times,
            largest_file=FAT_LARGEST if self._kind == _FAT else 0,
        )

    @contextmanager
    def _created(self, name: str) -> Iterator[int]:
        file = self._fs.create(name, self._fd)
        try:
            yield file
        finally:
            self._fs.close(file)

    def _stamp(self, name: str) -> stat_result:
        self._fs.refresh(name, self._fd)
        return self._fs.stat(name, self._fd)

    def _exists(self, name: str) -> bool:
        try:
            self._fs.stat(name, self._fd)
        except OSError:
            return False
        return True

    def _modes(self, plain: stat_result) -> tuple[bool, bool]:
        with self._created("x") as file:
            set_at_all = _works(lambda: self._fs.set_mode(file, 0o700))
            set_plain = _works(lambda: self._fs.set_mode(file, 0o755))
        kept = bool(self._fs.stat("x", self._fd).st_mode & 0o100)
        return kept and not plain.st_mode & 0o111, set_at_all and set_plain

    def _links(self) -> tuple[bool, int]:
        fs, fd = self._fs, self._fd
        before = self._stamp(self._name)
        try:
            fs.link(self._name, fd, "l", fd)
        except OSError as error:
            return False, error.errno or 0
        try:
            second = self._stamp("l")
            return (second.st_ino, second.st_size) == (before.st_ino, before.st_size), 0
        except OSError as error:
            return False, error.errno or 0
        finally:
            _quietly(lambda: fs.unlink("l", fd))

    def _inodes(self) -> bool:
        before = self._stamp(self._name)
        if not self._renamed("renamed"):
            return False
        after = self._stamp("renamed")
        self._renamed(_COMPOSED)
        return (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def _symlinks(self) -> tuple[bool, bool]:
        fs, fd = self._fs, self._fd
        try:
            fs.symlink("x", "s", fd)
            if fs.readlink("s", fd) != "x":
                return False, False
        except OSError:
            return False, False
        target = self._stamp("x")
        try:
            fs.set_link_times("s", fd, PROBE_NS)
            moved = self._stamp("x").st_mtime_ns != target.st_mtime_ns
            return True, not moved and abs(self._stamp("s").st_mtime_ns - PROBE_NS) < _STEPS[-1]
        except OSError:
            return True, False

    # -- names -----------------------------------------------------------------

    def _spelling(self) -> tuple[bool, bool]:
        """Whether the file's name is listed in the case, and in the Unicode form, in which it was given."""
        shown = next((name for name, _ in self._fs.scan(self._fd)), self._name)
        keeps_case = fold(shown, case=False, form=True) == fold(self._name, case=False, form=True)
        keeps_form = fold(shown, case=True, form=False) == fold(self._name, case=True, form=False)
        self._shown_as = partial(fold, case=not keeps_case, form=not keeps_form)
        return keeps_case, keeps_form

    def _names(self) -> Traits:
        """All that could be refused in one name, since most disks refuse none of it; else one by one."""
        odd = _FORBIDDEN + (os.fsdecode(b"\xff") if self._fs.any_bytes() else "")
        everything = odd + "n" * (_NAME_MAX - len(os.fsencode(odd)) - len(_ENDS)) + _ENDS[::-1]
        if self._holds(everything) and self._holds(everything[:-2] + _ENDS):
            return Traits(any_bytes=self._fs.any_bytes())
        return Traits(
            any_bytes=self._fs.any_bytes() and self._holds(os.fsdecode(b"p\xff")),
            max_name_bytes=self._longest(),
            forbidden="".join(c for c in _FORBIDDEN if not self._holds(f"p{c}q")),
            forbidden_ends="".join(c for c in _ENDS if not self._holds(f"p{c}")),
            reserved=not self._holds(_RESERVED),
        )

    def _longest(self) -> int:
        good, bad = 8, _NAME_MAX + 1
        while bad - good > 1:
            middle = _NAME_MAX if bad > _NAME_MAX else (good + bad) // 2
            if self._holds("n" * middle):
                good = middle
            else:
                bad = middle
        return good

    def _holds(self, name: str) -> bool:
        """Whether a file can be given the name, and is listed by it afterwards. It has its old one again."""
        if not self._renamed(name):
            return False
        try:
            wanted = self._shown_as(name)
            return any(self._shown_as(found) == wanted for found, _ in self._fs.scan(self._fd))
        finally:
            self._renamed(_COMPOSED)

    def _renamed(self, name: str) -> bool:
        if not _works(lambda: self._fs.rename(self._name, self._fd, name, self._fd)):
            return False
        self._name = name
        return True


def _works(call: Callable[[], None]) -> bool:
    try:
        call()
    except OSError:
        return False
    return True


def _quietly(call: Callable[[], None]) -> None:
    _works(call)


# -- at a root ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the traits of a root are kept: `own_fd` is its directory `.syncer`."""

    fs: FileSystem
    own_fd: int
    marker: stat_result
    temporary: Callable[[], str]  # a fresh name of ours
    is_own: Callable[[str], bool]

    def known(self) -> Traits:
        """What is kept, where that still holds, else what another try shows. Raises OSError."""
        found = read(self.fs, self.own_fd)
        if found is None:
            return self.tried()
        kept, own = found
        return kept.traits if kept.holds(self.fs.kind(self.own_fd), self.marker, own) else self.tried(kept)

    def tried(self, before: Kept | None = None) -> Traits:
        """Raises OSError."""
        clear(self.fs, self.own_fd, self.is_own)
        kind = self.fs.kind(self.own_fd)
        traits = probe(self.fs, self.own_fd, self.temporary())
        if before is not None and before.kind == kind:
            traits = before.retried(traits, self.marker)
        self.keep(traits)
        return traits

    def keep(self, traits: Traits) -> None:
        """There whole or not at all. Raises OSError."""
        fs, name = self.fs, self.temporary()
        fd = fs.create(name, self.own_fd)
        try:
            _quietly(lambda: fs.set_mode(fd, 0o700))
            modes = (_bits(self.marker), _bits(fs.fstat(fd)))
            content = encoded(Kept(traits, fs.kind(self.own_fd), self.marker.st_ino, *modes))
            while content:
                content = content[fs.write(fd, content) :]
            fs.sync(fd)
        finally:
            fs.close(fd)
        fs.rename(name, self.own_fd, FILE, self.own_fd)


def clear(fs: FileSystem, own_fd: int, is_own: Callable[[str], bool]) -> None:
    """Drops what a run left in `.syncer` that died there: nothing of a user's is ever staged in it."""
    for name, found in [(name, st) for name, st in fs.scan(own_fd) if is_own(name)]:
        if S_ISDIR(found.st_mode):
            remove(fs, name, own_fd)
        else:
            fs.unlink(name, own_fd)


# -- keeping -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found out, about which kind of file system, and what the files in `.syncer` were then."""

    traits: Traits
    kind: int
    inode: int  # of the marker
    marker_mode: int
    own_mode: int

    def holds(self, kind: int, marker: stat_result, own: stat_result) -> bool:
        """Whether it need not be tried again. `own` is the stamp of the file that it was read from."""
        modes = (_bits(marker), _bits(own)) == (self.marker_mode, self.own_mode)
        return kind == self.kind and modes and (marker.st_ino == self.inode or kind not in _VOLATILE)

    def retried(self, traits: Traits, marker: stat_result) -> Traits:
        """After another try. Numbers that changed once with the mount will do so again."""
        lasting = self.traits.lasting_inodes and (marker.st_ino == self.inode or self.kind not in _VOLATILE)
        largest = min(filter(None, (self.traits.largest_file, traits.largest_file)), default=0)
        return replace(traits, lasting_inodes=lasting, largest_file=largest)


def _bits(st: stat_result) -> int:
    return st.st_mode & 0o777


_NUMBERS = ("kind", "inode", "marker_mode", "own_mode")


def encoded(kept: Kept) -> bytes:
    """The file's content."""
    told = {"format": _FORMAT, **{name: getattr(kept, name) for name in _NUMBERS}, **asdict(kept.traits)}
    return json.dumps(told, indent=0).encode("ascii") + b"\n"


def decoded(data: bytes) -> Kept | None:
    """None for what is none of ours, or of another version."""
    try:
        told: Any = json.loads(data)
    except ValueError:
        return None
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        return None
    known = {f.name: type(f.default) for f in fields(Traits)}
    given = {name: value for name, value in told.items() if name in known}
    if len(given) != len(known) or any(type(given[name]) is not known[name] for name in known):
        return None
    numbers = [told.get(name) for name in _NUMBERS]
    return (
        Kept(Traits(**given), *cast("list[int]", numbers)) if all(type(n) is int for n in numbers) else None
    )


def read(fs: FileSystem, own_fd: int) -> tuple[Kept, stat_result] | None:
    """What is kept in the directory `.syncer`, with the stamp of its file; None where nothing (usable) is."""
    try:
        fd = fs.open_read(FILE, own_fd)
    except OSError:
        return None
    try:
        found = fs.fstat(fd)
        kept = decoded(fs.read(fd, _LONGEST)) if S_IFMT(found.st_mode) == S_IFREG else None
    except OSError:
        return None
    finally:
        fs.close(fd)
    return None if kept is None else (kept, found)
