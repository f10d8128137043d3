"""Ignore rules: the job's own and those of nested `.syncignore` files, gitignore style.

A path is judged by the deepest file that says anything about it; an ignored
directory is never entered. The files are synced like any other, so the rules that hold
in a run are those that will stand on both sides after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from syncer.engine import paths
from syncer.engine.model import BaseEntry, Entry, Kind, Obstacle, RelPath, Side, Trouble

FILE = ".syncignore"
LIMIT = 1 << 20  # bytes that a rules file may have
Matcher: TypeAlias = Callable[[str], bool | None]
Compiler: TypeAlias = Callable[[Sequence[str]], Matcher]
Reader: TypeAlias = Callable[[Side, RelPath], bytes]


class Illegible(Exception):
    """A rules file is there and cannot be read: nothing can be said of the names it may speak about."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle.message)
        self.obstacle = obstacle


class Rules:
    """The rules in force, found as directories are visited from the root down."""

    def __init__(self, own: Sequence[str], compiler: Compiler, read: Reader) -> None:
        self._compile = compiler
        self._read = read
        self._own = compiler(own) if own else None
        self._files: dict[RelPath, Matcher | None] = {}
        self._governed: dict[RelPath, bool] = {}  # whether a directory, or one above it, has rules

    def visit(
        self,
        directory: RelPath,
        base: BaseEntry | None,
        local: Entry | Obstacle | None,
        remote: Entry | Obstacle | None,
        *,
        alone: bool = False,
    ) -> bool:
        """Take note of a directory's own rules file; whether it is not the one agreed on last.

        `alone`: one side does not have the directory at all, so it says nothing about rules in it.
        """
        sides = _sides_to_read(base, local, remote, alone=alone)
        self._governed.pop(directory, None)
        text = b"\n".join(self._text(side, directory) for side in sides)
        self._files[directory] = self._compiled(text)
        return _moved(base, local, Side.LOCAL) or _moved(base, remote, Side.REMOTE)

    def any_for(self, path: RelPath) -> bool:
        """Whether any rule could speak about the path at all; quick, and mostly the answer is no."""
        if self._own is not None:
            return True
        directory, _ = paths.split(path)
        known = self._governed.get(directory)
        if known is None:
            known = self._governed[directory] = self._at(directory) is not None or (
                bool(directory) and self.any_for(directory)
            )
        return known

    def ignored(self, path: RelPath, *, is_directory: bool) -> bool:
        """Whether the path is left alone on both sides. Its parents are known not to be."""
        directory, _ = paths.split(path)
        shown = path + "/" if is_directory else path
        while True:
            matcher = self._at(directory)
            verdict = matcher(shown[len(directory) + 1 if directory else 0 :]) if matcher else None
            if verdict is not None:
                return verdict
            if not directory:
                return bool(self._own and self._own(shown))
            directory, _ = paths.split(directory)

    def _at(self, directory: RelPath) -> Matcher | None:
        """A directory's rules file; of one that was not visited the local side's, since it is agreed."""
        if directory not in self._files:
            self._files[directory] = self._compiled(self._text(Side.LOCAL, directory))
        return self._files[directory]

    def _text(self, side: Side, directory: RelPath) -> bytes:
        """A directory's rules file; one that is too long is not cut, since half a rule is another rule."""
        text = self._read(side, paths.join(directory, FILE))
        if len(text) > LIMIT:
            raise Illegible(Obstacle(Trouble.UNREADABLE, f"its ignore rules are longer than {LIMIT} bytes"))
        return text

    def _compiled(self, text: bytes) -> Matcher | None:
        lines = text.decode("utf-8", "surrogateescape").splitlines()
        return self._compile(lines) if any(lines) else None


def _moved(base: BaseEntry | None, seen: Entry | Obstacle | None, side: Side) -> bool:
    if not isinstance(seen, Entry):
        return (base is None) is not (seen is None)
    return base is None or seen.version != base.version(side)


def _sides_to_read(
    base: BaseEntry | None,
    local: Entry | Obstacle | None,
    remote: Entry | Obstacle | None,
    *,
    alone: bool,
) -> list[Side]:
    """Where the rules stand that will hold after this run; both where both were changed."""
    seen: Mapping[Side, Entry | Obstacle | None] = {Side.LOCAL: local, Side.REMOTE: remote}
    there = [s for s in Side if isinstance(e := seen[s], Entry) and e.kind is Kind.FILE]
    moved = [s for s in there if _moved(base, seen[s], s)]
    if moved:
        return moved
    deleted = None in seen.values() and not alone
    return [] if deleted else there[:1]  # deleted on one side: deleted for both
