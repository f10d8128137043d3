"""Random trees with random ignore files, judged by `git` and by us.

Many trees stand in one repository, each in a directory of its own with its own hierarchy of rules
files, so that two calls of git answer for hundreds of rule sets.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from syncer.engine.gitignore import GitIgnoreMatcher, compile_rules
from syncer.engine.ignore import FILE, OWN, Rules, byte_text
from syncer.engine.model import IgnoreRule, RelPath

GIT_FILE = ".gitignore"
NAMES = (
    *(b"a b c ab ba abc a.o b.c foo foo.c .x .o A B0 0 9z -".split()),
    *(b"a b", b"a ", b" a", b"!a", b"#a", b"[a]", b"a]", b"a\\b", b"a*b", b"a?", b"a\tb", b"a\nb", b"a\r"),
    *("é ü.c".encode().split()),
    b"\xff",
    b"caf\xe9",
    b"...",
)
PIECES = (
    *(b"* * * ** ** ? [ab] [!a] [^b] [a-c] [z-a] [a-c-z] [--0] []a] [!]a] [a [] [!] [[] [a]".split()),
    *(b"[[:alpha:]] [[:digit:]] [![:space:]] [[:punct:]0] [[:nope:]] [[:upper:]a-b]".split()),
    *(b"[:a] [[:a] [[:]a] [[::]] [\\]] [\\a-c]".split()),
    *(b"[a-\\c] [!-~] [a/b] / / / // /**/ **/ /** /* */ \\* \\? \\[ \\a \\\\ \\/ \\ . . ! # - ]".split()),
    *(b" ", b"\\ ", b"\t", b"\r", b"\x0c", b"\xc2\x85", b"[\xc3\xa9]", b"\\", b"***", b"[[:blank:]]"),
)
SHORT = (1, 1, 2, 2, 3, 3, 4, 6)
# Up to git 2.51 `**` right behind literal text in a pattern with a slash crosses slashes; we do as these.
AFTER_TEXT = re.compile(rb"[^/*]\*\*")


@dataclass(frozen=True, slots=True)
class Sown:
    """A tree that was made: its directories and files, relative to the repository."""

    top: RelPath
    directories: list[RelPath] = field(default_factory=list)
    others: list[RelPath] = field(default_factory=list)
    rules: dict[RelPath, bytes] = field(default_factory=dict)


def git(repository: Path, *words: str, data: bytes = b"") -> bytes:
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(repository)}
    ended = subprocess.run(
        ["git", "-C", str(repository), *words],
        input=data,
        capture_output=True,
        env={**os.environ, **quiet},
        timeout=600,
    )
    # 1: nothing is ignored, for `check-ignore`
    assert ended.returncode in (0, 1), ended.stderr.decode(errors="replace")
    return ended.stdout


@cache
def crosses_after_text() -> bool:
    """Whether the git of this machine lets `**` right behind literal text cross slashes."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        git(Path(folder), "init", "-q")
        Path(folder, GIT_FILE).write_text("x/a**/b\n")
        return git(Path(folder), "check-ignore", "--no-index", "x/aq/z/b") != b""


def pattern(chance: random.Random, known: list[bytes]) -> bytes:
    """A line for a rules file: pieces thrown together, or a path of the tree with something odd in it."""
    kind = chance.random()
    if known and kind < 0.5:
        made = bytearray(loosened(chance, chance.choice(known)))
    elif known and kind < 0.7:
        made = bytearray(chance.choice(known))
        for _ in range(chance.choice((0, 1, 1, 2))):
            at = chance.randrange(len(made) + 1)
            made[at : at + chance.choice((0, 1, 1, 2))] = chance.choice(PIECES)
    else:
        made = bytearray(
            b"".join(
                chance.choice(PIECES if chance.random() < 0.6 else NAMES) for _ in range(chance.choice(SHORT))
            )
        )
    line = bytes(made)
    line = (b"!" if chance.random() < 0.3 else b"") + (b"/" if chance.random() < 0.15 else b"") + line
    line += (b"/" if chance.random() < 0.2 else b"") + chance.choice((*[b""] * 12, b" ", b"  ", b"\r", b"\t"))
    line = line.replace(b"\n", b"n")
    if not crosses_after_text() and AFTER_TEXT.search(line):
        return AFTER_TEXT.sub(b"*", line)
    return line


def loosened(chance: random.Random, path: bytes) -> bytes:
    """A pattern that the path probably matches."""
    parts = path.split(b"/")[chance.choice((0, 0, 0, 1)) :] or [path]
    for at, part in enumerate(parts):
        cut = chance.randrange(len(part) + 1)
        byte = part[cut : cut + 1]
        parts[at] = chance.choice(
            (
                *[part] * 4,
                *(b"*", b"**", part[:cut] + b"*", b"*" + part[cut:], part[:cut] + b"**" + part[cut:]),
                part[:cut] + b"?" + part[cut + 1 :],
                part[:cut] + b"[" + byte + b"z]" + part[cut + 1 :],
                part[:cut] + b"[!z" + b"-]" + part[cut + 1 :],
                part[:cut] + b"\\" + part[cut:],
                part[:cut] + b"*" + part[cut + 1 :] + b"*",
            )
        )
    return b"/".join(parts)


def text(chance: random.Random, known: list[bytes]) -> bytes:
    lines = [pattern(chance, known) for _ in range(chance.randint(1, 5))]
    if chance.random() < 0.1:
        lines.insert(
            chance.randrange(len(lines) + 1), chance.choice((b"", b"# text", b"  ", b"\r", b"*", b"!*/"))
        )
    end = chance.choice((b"\n", b"\n", b"\n", b"\r\n", b""))
    return (
        (b"\xef\xbb\xbf" if chance.random() < 0.05 else b"")
        + chance.choice((b"\n", b"\n", b"\r\n")).join(lines)
        + end
    )


def sow(chance: random.Random, repository: Path, top: str) -> Sown:
    """A tree below `top` with rules files in some of its directories."""
    sown = Sown(top)
    root = os.fsencode(repository / top)
    os.mkdir(root)
    sown.directories.append(top)
    below: list[bytes] = []
    directories = [b""]
    for _ in range(chance.randint(5, 14)):
        parent = chance.choice(directories)
        path = parent + chance.choice(NAMES)
        whole = root + b"/" + path
        if os.path.lexists(whole):
            continue
        below.append(path)
        kind = chance.random()
        if kind < 0.45 and path.count(b"/") < 4:
            os.mkdir(whole)
            directories.append(path + b"/")
            sown.directories.append(os.fsdecode(top.encode() + b"/" + path))
            continue
        if kind > 0.95:
            os.symlink(root, whole)
        else:
            os.close(os.open(whole, os.O_CREAT | os.O_WRONLY, 0o644))
        sown.others.append(os.fsdecode(top.encode() + b"/" + path))
    for directory in directories:
        if directory and chance.random() > 0.3:
            continue
        inside = [p[len(directory) :] for p in below if p.startswith(directory) and p != directory]
        written = text(chance, [p for p in inside if p])
        sown.rules[os.fsdecode(top.encode() + b"/" + directory).rstrip("/")] = written
        with open(os.path.join(root, directory, GIT_FILE.encode()), "wb") as file:
            file.write(written)
    return sown


def ours(sown: Sown, own: tuple[str, ...]) -> tuple[dict[RelPath, IgnoreRule | None], set[RelPath]]:
    """What we say: the rule for each path as `git check-ignore -v` has it, and the files that are synced."""
    rules = Rules(own, compile_rules, lambda side, path: _read(sown, path))
    said: dict[RelPath, IgnoreRule | None] = {}
    ignored: dict[RelPath, IgnoreRule] = {}
    for path, is_directory in sorted(
        [*((d, True) for d in sown.directories), *((o, False) for o in sown.others)]
    ):
        above = ignored.get(path.rpartition("/")[0])
        rule = above or rules.deciding(path, is_directory=is_directory)
        said[path] = rule
        if rule is not None and not rule.negated:
            ignored[path] = rule
    return said, {o for o in sown.others if o not in ignored}


def _read(sown: Sown, path: RelPath) -> bytes:
    return sown.rules.get(path.removesuffix(FILE).rstrip("/"), b"") if path.endswith(FILE) else b""


def theirs(repository: Path, all_paths: list[RelPath]) -> dict[RelPath, tuple[str, int, str] | None]:
    """File, line and pattern of the rule that git names for each path."""
    asked = b"".join(os.fsencode(path) + b"\0" for path in all_paths)
    words = git(repository, "check-ignore", "-v", "-n", "-z", "--no-index", "--stdin", data=asked).split(
        b"\0"
    )
    found: dict[RelPath, tuple[str, int, str] | None] = {}
    for at in range(0, len(words) - 1, 4):
        file, line, shown, path = map(os.fsdecode, words[at : at + 4])
        found[path] = (file, int(line), shown) if file else None
    return found


def campaign(folder: Path, seed: int, trees: int, *, at_once: int = 250) -> Iterator[str]:
    """Differences between git and us over so many trees, in words; nothing where all is well."""
    chance = random.Random(seed)
    for begin in range(0, trees, at_once):
        repository = folder / f"batch{begin}"
        repository.mkdir()
        git(repository, "init", "-q")
        own = tuple(
            line for _ in range(chance.choice((0, 1, 3))) if b"/" not in (line := pattern(chance, []))
        )
        (repository / ".git/info/exclude").write_bytes(b"\n".join(own) + b"\n")
        sown = [sow(chance, repository, f"{n:05}") for n in range(begin, min(begin + at_once, trees))]
        yield from (
            f"seed {seed}: {line}" for line in compare(repository, sown, tuple(map(os.fsdecode, own)))
        )


def compare(repository: Path, sown: list[Sown], own: tuple[str, ...]) -> Iterator[str]:
    """Ask git twice about all trees: for the rule of each path, and for what it would add."""
    named = theirs(repository, [p for s in sown for p in (*s.directories, *s.others)])
    listed = git(repository, "ls-files", "-z", "-o", "--exclude-standard").split(b"\0")
    added = {os.fsdecode(path) for path in listed if path and not path.endswith(GIT_FILE.encode())}
    for tree in sown:
        said, synced = ours(tree, own)
        for path, rule in said.items():
            mine = None if rule is None else (_file(rule), rule.line, rule.pattern)
            if mine != named[path]:
                yield f"{path!r}: git says {named[path]}, we say {mine}; rules {tree.rules}, own {own}"
        inside = {path for path in tree.others if path in added}
        if inside != synced:
            yield f"{tree.top}: git adds {inside}, we sync {synced}; rules {tree.rules}, own {own}"


def pairs(folder: Path, seed: int, patterns: int, names: int) -> Iterator[str]:
    """Differences over single patterns, each against so many names, and what takes over a millisecond."""
    chance = random.Random(seed)
    repository = folder / f"pairs{seed}"
    repository.mkdir()
    git(repository, "init", "-q")
    shown = [
        "/".join(map(os.fsdecode, chance.choices(NAMES, k=chance.choice((1, 1, 2, 3))))) for _ in range(500)
    ]
    shown += ["a" + "".join(chance.choices("ab.", k=chance.randint(0, 24))) for _ in range(500)]
    chosen: dict[str, tuple[bytes, list[str]]] = {}
    for number in range(patterns):
        asked = chance.sample(shown, k=names)
        line = pattern(chance, [os.fsencode(name) for name in asked[:5]])
        chosen[f"{number:05}"] = line, asked
        (repository / f"{number:05}").mkdir()
        (repository / f"{number:05}" / GIT_FILE).write_bytes(line)
    named = theirs(repository, [f"{top}/{name}" for top, (_, asked) in chosen.items() for name in asked])
    for top, (line, asked) in chosen.items():
        matcher = compile_rules(line)
        for name in asked:
            if _one(matcher, name) is not (named[f"{top}/{name}"] is not None):
                yield f"seed {seed}: {line!r} and {name!r}: git says {named[f'{top}/{name}']}"
            if (
                min(_seconds(matcher, name) for _ in range(2))
                > 0.001
                < min(_seconds(matcher, name) for _ in range(5))
            ):
                yield f"seed {seed}: {line!r} and {name!r}: it takes long"


def _one(matcher: GitIgnoreMatcher, path: str) -> bool:
    """Whether the only pattern speaks about a file: by a directory above it, or itself."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        shown = byte_text("/".join(parts[:depth]))
        spoke = matcher.last(shown.rpartition("/")[2], shown, 0, directory=depth < len(parts)) >= 0
        # A directory that `!pattern` names is entered, and git goes on with what is in it.
        if spoke and (depth == len(parts) or not matcher.line(0).negated):
            return True
    return False


def _seconds(matcher: GitIgnoreMatcher, path: str) -> float:
    shown = byte_text(path)
    begun = time.thread_time()
    matcher.last(shown.rpartition("/")[2], shown, 0, directory=True)
    return time.thread_time() - begun


def _file(rule: IgnoreRule) -> str:
    if rule.file == OWN:
        return ".git/info/exclude"
    return rule.file.replace(FILE, GIT_FILE)
