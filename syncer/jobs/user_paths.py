"""Resolve a path that a user typed: absolute, relative to the working directory, or to a root of a job.

A path may lead below either root, for a name that stands on one side only, in the base or in the trash; so
what a text means is decided by what is known, not by what stands on the disk. A literal name wins over a
directory of things, and that over a glob; where the same text fits two ways, the working directory wins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape

from syncer.config import JobSettings
from syncer.engine.model import RelPath
from syncer.engine.paths import is_below, printable, unsafe
from syncer.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """One way to interpret a typed path in a job.

    `pattern`: the same as a glob, in which what the user did not write is escaped.
    `placed`: it says where in the file system the path is, rather than where below a root.
    """

    path: RelPath
    pattern: str
    placed: bool


def spellings(job: JobSettings, text: str) -> tuple[Spelling, ...]:
    """All interpretations of a typed path, the best first; none for an absolute path outside both roots."""
    found = [_placed(path, text) for path in _below_a_root(job, text)]
    if not os.path.isabs(text):
        head, colon, rest = text.partition(":")
        if colon and head == job.remote.account and is_below(rest, job.remote.path):
            inside = _plain(rest[len(job.remote.path) :].lstrip("/"))  # ACCOUNT:PATH, as `syncer ls` takes it
        else:
            inside = _plain(text)
        if inside is not None:
            found.append(Spelling(path=inside, pattern=inside, placed=False))
    return tuple(dict.fromkeys(found))


def checked(job: JobSettings, text: str) -> tuple[RelPath, ...]:
    """The paths in a job that a typed path may mean, the best first. Raises UsageError for none."""
    found = dict.fromkeys(spelling.path for spelling in spellings(job, text))
    if not found:
        roots = " and ".join(map(str, filter(None, (job.local, job.remote.folder))))
        raise UsageError(f"{printable(text)} is not below {roots}: what is elsewhere is never synced")
    wrong = {path: _unsafe(path) for path in found}
    good = tuple(path for path in found if not wrong[path])
    if not good:
        raise UsageError(f"{printable(text)}: {wrong[next(iter(found))]}")
    return good


def target(job: JobSettings, text: str) -> RelPath:
    """Where a user wants something new to be. Raises UsageError.

    Where the text can be read both ways: below the working directory, if there is such a folder.
    """
    paths = checked(job, text)
    return next((p for p in paths if (job.local / p).parent.is_dir()), paths[0])


def find(
    texts: Sequence[str], known: Mapping[str, tuple[JobSettings, Iterable[RelPath]]]
) -> dict[str, set[RelPath]]:
    """What the texts name among the known paths of each job (by the job's name).

    Raises UsageError for a text that names nothing.
    """
    found: dict[str, set[RelPath]] = {}
    names = {job: (settings, set(paths)) for job, (settings, paths) in known.items()}
    missing = []
    for text in texts:
        named = _named(text, names)
        if not named:
            missing.append(printable(text))
        for job, paths in named.items():
            found.setdefault(job, set()).update(paths)
    if missing:
        raise UsageError(", ".join(missing))
    return found


_Fits = Callable[[Spelling, RelPath], bool]
_LEVELS: tuple[_Fits, ...] = (
    lambda spelling, path: path == spelling.path,
    lambda spelling, path: is_below(path, spelling.path),
    lambda spelling, path: fnmatchcase(path, spelling.pattern),
)


def _named(text: str, known: Mapping[str, tuple[JobSettings, set[RelPath]]]) -> dict[str, set[RelPath]]:
    """The best reading of one text that fits anything, in whichever jobs it does."""
    for fits in _LEVELS:
        for placed in (True, False):
            found = {
                name: {p for p in paths for s in spellings(job, text) if s.placed is placed and fits(s, p)}
                for name, (job, paths) in known.items()
            }
            found = {name: paths for name, paths in found.items() if paths}
            if found:
                return found
    return {}


def _placed(path: RelPath, text: str) -> Spelling:
    """The working directory's own name may hold what a glob would take for a wildcard."""
    written = _plain(text)
    if written and not os.path.isabs(text) and path.endswith(written):
        return Spelling(path=path, pattern=escape(path[: -len(written)]) + written, placed=True)
    return Spelling(path=path, pattern=path, placed=True)


def _below_a_root(job: JobSettings, text: str) -> Iterator[RelPath]:
    """The text as a place in the file system, seen from either root; the last part may be a symlink."""
    try:
        whole = os.path.join(os.getcwd(), text)
    except FileNotFoundError:  # the working directory was removed
        if not os.path.isabs(text):
            return
        whole = text
    plain = os.path.normpath(whole)
    directory, name = os.path.split(plain)
    real = os.path.join(os.path.realpath(directory), name)
    for root in filter(None, (job.local, job.remote.folder)):
        for place, above in ((real, os.path.realpath(root)), (plain, os.path.normpath(root))):
            if place == above:
                yield ""
            elif place.startswith(above.rstrip("/") + "/"):
                yield place[len(above.rstrip("/")) + 1 :]


def _plain(text: str) -> RelPath | None:
    """A relative path without empty parts and "."; None if it leads upwards."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return None if ".." in parts else "/".join(parts)


def _unsafe(path: RelPath) -> str:
    for index, part in enumerate(path.split("/") if path else ()):
        wrong = unsafe(part, at_root=index == 0)
        if wrong:
            return f"{printable(part)} is never synced: {wrong}"
    return ""
