"""Ignore rules: the job's own and those of nested `.syncignore` files, as git has them.

A path is judged by the deepest file that says anything about it, in a file by the last rule
that matches; an ignored directory is never entered. The files are synced like any other, so the
rules that hold in a run are those that will stand on both sides after it. Beside each
`.syncignore` a `.syncignore.local` may stand: it is of this machine alone, is never synced, and
has the last word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from syncer.engine import paths
from syncer.engine.model import (
    BaseEntry,
    BlockedEntry,
    BlockReason,
    Entry,
    IgnoreRule,
    Kind,
    RelPath,
    Side,
)
from syncer.errors import ConfigError

FILE = ".syncignore"
MACHINE_FILE = ".syncignore.local"  # beside a FILE: rules of this machine alone, never synced
OWN = "ignore"  # the key of the job's own rules in the config file; their "line" is the place in the list
LIMIT = 1 << 20  # bytes that a rules file may have
IN_FORCE = 2000  # weight of all rules that one name is asked about
IN_ALL = 200_000  # patterns of all files that a run keeps in memory; equal files count once
BYTES_IN_ALL = 8 << 20  # the same in bytes
_BEAT = 16  # names judged between two pulses
READING = 2  # how rules are read; counted up where that changes, so that all is judged anew
Reader: TypeAlias = Callable[[Side, RelPath], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLine:
    """A pattern as it stands in a file, `!` included. Lines are counted from 1."""

    number: int
    pattern: str
    negated: bool


NEVER_SYNCED = IgnoreRule(file="", line=0, pattern=MACHINE_FILE)  # no line says so: it is what the name means


class BeyondBounds(ValueError):
    """A rules file asks for more than a matcher may cost. `line` is where."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


class Matcher(Protocol):
    """The rules of one file. Names and paths come as `byte_text`."""

    @property
    def patterns(self) -> int:
        """How many there are: what they take of memory."""
        ...

    @property
    def weight(self) -> int:
        """About how many look-ups it takes to judge a name, at most."""
        ...

    def last(self, name: str, path: str, start: int, *, directory: bool) -> int:
        """The index of the last rule that matches, -1 for none; `path[start:]` is seen from the file."""
        ...

    def line(self, index: int) -> RuleLine:
        """The rule of that index."""
        ...


Compiler: TypeAlias = Callable[[bytes], Matcher]  # raises BeyondBounds


class IgnoreFileError(Exception):
    """A rules file is there and cannot be used: nothing can be said of the names it may speak about."""

    def __init__(self, obstacle: BlockedEntry, side: Side = Side.LOCAL) -> None:
        super().__init__(obstacle.message)
        self.obstacle = obstacle
        self.side = side


def byte_text(path: str) -> str:
    """The path with one character for each of its bytes: what git compares. ASCII is returned as it is."""
    if path.isascii():
        return path
    try:
        return path.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:  # a lone surrogate of another kind, which no file system shows
        return path.encode("utf-8", "surrogatepass").decode("latin-1")


class _Source:
    """One rules file in force, and from where in a path its rules are reckoned."""

    def __init__(self, file: RelPath, matcher: Matcher, *, remote: bool = False) -> None:
        directory = paths.split(file)[0]
        self.last = matcher.last
        self.start = len(byte_text(directory)) + 1 if directory else 0
        self.weight = matcher.weight
        self._file = file
        self._matcher = matcher
        self._remote = remote
        self._found: dict[int, IgnoreRule] = {}

    def rule(self, index: int) -> IgnoreRule:
        if index not in self._found:
            line = self._matcher.line(index)
            self._found[index] = IgnoreRule(
                file=self._file,
                line=line.number,
                pattern=line.pattern,
                negated=line.negated,
                remote=self._remote,
            )
        return self._found[index]


_Chain: TypeAlias = tuple[_Source, ...]  # in the order in which they are asked


class Rules:
    """The rules in force, found as directories are visited from the root down.

    `agreed`: digests of the machine's own files by directory, as they were when all was judged last.
    `pulse` is called now and then while names are judged, and may raise: it is how a signal ends a run.
    Raises ConfigError if the job's own rules are beyond bounds.
    """

    def __init__(
        self,
        own: Sequence[str],
        compiler: Compiler,
        read: Reader,
        agreed: Mapping[RelPath, str] | None = None,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        self._compile = compiler
        self._read = read
        self._agreed = agreed or {}
        self._pulse = pulse
        self._judged = 0
        self._compiled: dict[bytes, Matcher] = {}
        self._patterns = self._bytes = 0
        self._files: dict[RelPath, _Chain] = {}  # those of each directory
        self._chains: dict[RelPath, _Chain] = {}  # those in force for the names of each directory
        self.machine: dict[RelPath, str] = {}  # digests of the machine's own files in visited directories
        text = own_text(own)
        try:
            self._own = (_Source(OWN, self._matcher(text)),) if text.strip() else ()
        except BeyondBounds as error:
            raise ConfigError(f"{OWN}: pattern {error.line}: {error}", hint="make it shorter") from None

    def visit(
        self,
        directory: RelPath,
        base: BaseEntry | None,
        local: Entry | BlockedEntry | None,
        remote: Entry | BlockedEntry | None,
        *,
        machine: Entry | BlockedEntry | None = None,
        alone: bool = False,
    ) -> bool:
        """Take note of a directory's own rules files; whether they are not those agreed on last.

        `machine`: the local `.syncignore.local`. `alone`: one side does not have the directory at all,
        so it says nothing about rules in it. Raises IgnoreFileError.
        """
        sides = _sides_to_read(base, local, remote, alone=alone)
        self._chains.pop(directory, None)
        self._files.pop(directory, None)
        there = machine is not None and not (isinstance(machine, Entry) and machine.kind is not Kind.FILE)
        own = self._text(Side.LOCAL, directory, MACHINE_FILE) if there else b""
        digest = hashlib.sha256(own).hexdigest() if own else ""
        self._files[directory] = self._sources(directory, sides, own)
        self.machine[directory] = digest
        moved = digest != self._agreed.get(directory, "")
        return moved or _moved(base, local, Side.LOCAL) or _moved(base, remote, Side.REMOTE)

    def any_in(self, directory: RelPath) -> bool:
        """Whether any rule of a file speaks about names in the directory; mostly the answer is no."""
        return bool(self._chain(directory))

    def ignored(self, path: RelPath, *, is_directory: bool) -> bool:
        """Whether the path is left alone on both sides. Its parents are known not to be."""
        rule = self.deciding(path, is_directory=is_directory)
        return rule is not None and not rule.negated

    def deciding(self, path: RelPath, *, is_directory: bool) -> IgnoreRule | None:
        """The rule that has the last word on the path, None if no rule speaks. Its parents are not ignored.

        Raises IgnoreFileError.
        """
        directory, name = paths.split(path)
        if name == MACHINE_FILE:
            return NEVER_SYNCED
        chain = self._chain(directory)
        if not chain:
            return None
        self._judged += 1
        if self._judged % _BEAT == 0:
            self._pulse()
        if not path.isascii():
            path = byte_text(path)
            name = paths.split(path)[1]
        for source in chain:
            found = source.last(name, path, source.start, directory=is_directory)
            if found >= 0:
                return source.rule(found)
        return None

    def _chain(self, directory: RelPath) -> _Chain:
        """The rules for names in a directory; of one that was not visited the local side's are agreed."""
        known = self._chains.get(directory)
        if known is not None:
            return known
        above = self._chain(paths.split(directory)[0]) if directory else self._own
        if directory not in self._files:
            own = self._text(Side.LOCAL, directory, MACHINE_FILE)
            self._files[directory] = self._sources(directory, [Side.LOCAL], own)
        chain = (*self._files[directory], *above) if self._files[directory] else above
        if sum(source.weight for source in chain) > IN_FORCE:
            raise _illegible(Side.LOCAL, f"too many patterns with wildcards hold in it (weight {IN_FORCE:,})")
        self._chains[directory] = chain
        return chain

    def _sources(self, directory: RelPath, sides: Sequence[Side], own: bytes) -> _Chain:
        """The rules files of a directory, the last word first."""
        texts = [(FILE, side, self._text(side, directory, FILE)) for side in sides]
        texts.append((MACHINE_FILE, Side.LOCAL, own))
        found = []
        for name, side, text in texts:
            if not text.strip():
                continue
            file = paths.join(directory, name)
            try:
                matcher = self._matcher(text)
            except BeyondBounds as error:
                raise _illegible(side, f"{name}:{error.line}: {error}") from None
            if matcher.patterns:
                found.append(_Source(file, matcher, remote=side is Side.REMOTE))
        return tuple(reversed(found))

    def _text(self, side: Side, directory: RelPath, name: str) -> bytes:
        """A directory's rules file; one that is too long is not cut, since half a rule is another rule."""
        text = self._read(side, paths.join(directory, name))
        if len(text) > LIMIT:
            raise _illegible(side, f"{name} is longer than {LIMIT} bytes")
        return text

    def _matcher(self, text: bytes) -> Matcher:
        """Equal files are compiled once."""
        if text not in self._compiled:
            made = self._compile(text)
            self._patterns += made.patterns
            self._bytes += len(text)
            if self._patterns > IN_ALL or self._bytes > BYTES_IN_ALL:
                most = f"{IN_ALL:,} patterns or {BYTES_IN_ALL >> 20} MiB"
                raise BeyondBounds(1, f"all ignore files together have more than {most}")
            self._compiled[text] = made
        return self._compiled[text]


def own_text(own: Sequence[str]) -> bytes:
    """The job's own rules as the text of a file: each in a line of its own."""
    return byte_text("\n".join(own)).encode("latin-1")


def _illegible(side: Side, why: str) -> IgnoreFileError:
    return IgnoreFileError(BlockedEntry(BlockReason.UNREADABLE, f"its ignore rules: {why}"), side)


def _moved(base: BaseEntry | None, seen: Entry | BlockedEntry | None, side: Side) -> bool:
    if not isinstance(seen, Entry):
        return (base is None) is not (seen is None)
    return base is None or seen.version != base.version(side)


def _sides_to_read(
    base: BaseEntry | None,
    local: Entry | BlockedEntry | None,
    remote: Entry | BlockedEntry | None,
    *,
    alone: bool,
) -> list[Side]:
    """Where the rules stand that will hold after this run; both where both were changed."""
    seen: Mapping[Side, Entry | BlockedEntry | None] = {Side.LOCAL: local, Side.REMOTE: remote}
    there = [s for s in Side if isinstance(e := seen[s], Entry) and e.kind is Kind.FILE]
    moved = [s for s in there if _moved(base, seen[s], s)]
    if moved:
        return moved
    deleted = None in seen.values() and not alone
    return [] if deleted else there[:1]  # deleted on one side: deleted for both
