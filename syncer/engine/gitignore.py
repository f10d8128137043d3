"""Compiles the text of an ignore file (gitignore syntax) into a matcher that answers as git does.

What git does is the specification: gitignore(5), and where the manual is silent git's own answers,
which `tests/test_ignore_git.py` asks for. Bytes are compared, not characters: `?` is one byte of a
name, as for git. Strings in here hold one byte in each character (see `engine.ignore.byte_text`).

Matching takes time in proportion to pattern and name, whatever the pattern: each piece of a pattern
between two stars has a fixed length, so the first place where it fits leaves the most room for the
rest, and no other place need be tried (the regular expressions made here are atomic throughout).
Literal names, `*.ext` and `name*`, which most rules are, are looked up in dictionaries.

Which rules hold where (nested `.syncignore`, the job's own) is `engine.ignore`' business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits, hexdigits, punctuation
from typing import Final, TypeAlias

from syncer.engine.ignore import BeyondBounds, RuleLine, own_text

LONGEST = 4096  # bytes of one pattern: no path that a system call takes is longer (PATH_MAX)
LONGEST_WILD = 1024  # bytes of one with wildcards, which may be tried at each part of a path
STARS = 64  # runs of stars in one pattern
PATTERNS = 10_000  # patterns in one file
HEAVIEST = 1000  # weight of one file: what its wildcards cost for each name, see `_weight`
_TOGETHER = 64  # patterns in one regular expression
_BOM = b"\xef\xbb\xbf"
_SPECIAL = re.compile(r"[*?\[\\]")  # what ends the literal beginning of a pattern
_ALL = (1 << 256) - 1  # every byte
_SLASH = 1 << ord("/")


def compile_rules(text: bytes) -> GitIgnoreMatcher:
    """The matcher for the text of a rules file. Raises BeyondBounds, and nothing for odd patterns.

    A pattern that git takes for one that matches nothing matches nothing.
    """
    return GitIgnoreMatcher(list(_parsed(text)))


def complaints(text: bytes, file: str = "") -> list[str]:
    """What is surely not meant in a rules file, with line and pattern: what can match no path, ranges that
    go backwards, what is beyond bounds.
    """
    found: list[str] = []
    where = f"{file}:" if file else "pattern "
    try:
        found.extend(
            f"{where}{rule.line}: {rule.shown().pattern}: {rule.flaw or rule.doubt}"
            for rule in _parsed(text)
            if rule.flaw or rule.doubt
        )
        compile_rules(text)
    except BeyondBounds as error:
        found.append(f"{where}{error.line}: {error}")
    return found


def own_complaints(patterns: Sequence[str]) -> list[str]:
    """`complaints` about a job's own patterns, each with its place in the list."""
    return complaints(own_text(patterns))


def check_own(patterns: Sequence[str]) -> None:
    """Whether a job may have these patterns. Raises ValueError: beyond bounds, or no single line."""
    for number, pattern in enumerate(patterns, 1):
        if "\n" in pattern or "\0" in pattern:
            raise ValueError(f"pattern {number} is not one line of text; write one pattern for each line")
    try:
        compile_rules(own_text(patterns))
    except BeyondBounds as error:
        raise ValueError(f"pattern {error.line}: {error}") from None


# Patterns as tokens

_Set: TypeAlias = int  # the bytes that a `?` or a `[...]` takes, a bit for each; never "/"


@dataclass(frozen=True, slots=True)
class _Star:
    """Any bytes but "/"."""


@dataclass(frozen=True, slots=True)
class _Directories:
    """`**/`: any directories, down to and with a slash; at least one of them if so `required`."""

    required: bool


@dataclass(frozen=True, slots=True)
class _Everything:
    """`**` as the last part."""


_STAR: Final = _Star()
_EVERYTHING: Final = _Everything()
_Token: TypeAlias = str | _Set | _Star | _Directories | _Everything  # a str is one literal byte
_NOT_SLASH: Final = _ALL & ~_SLASH


class _Flaw(Exception):
    """Why a pattern can match nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A line of the file. `whole`: matched against the path from the file's directory, else the name."""

    line: int
    text: str
    negated: bool
    directories: bool
    whole: bool
    tokens: tuple[_Token, ...]
    flaw: str = ""  # why it matches nothing
    doubt: str = ""  # why it is surely not meant so, although something may match

    def shown(self) -> RuleLine:
        """As people wrote it."""
        pattern = self.text.encode("latin-1").decode("utf-8", "surrogateescape")
        return RuleLine(number=self.line, pattern=pattern, negated=self.negated)


def _parsed(text: bytes) -> Iterator[_Rule]:
    count = 0
    for number, line in enumerate(text.removeprefix(_BOM).decode("latin-1").split("\n"), 1):
        if not line or line[0] == "#":
            continue
        # A string of C ends at a NUL; of the blanks at the end only the escaped one counts, and no tab.
        pattern = _trimmed(line.removesuffix("\r").partition("\0")[0])
        count += 1
        if count > PATTERNS:
            raise BeyondBounds(number, f"there are more than {PATTERNS:,} patterns")
        if len(pattern) > LONGEST:
            raise BeyondBounds(number, f"the pattern is longer than {LONGEST:,} bytes")
        yield _rule(number, pattern)


def _trimmed(line: str) -> str:
    bare = line.rstrip(" ")
    backslashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if backslashes % 2 and bare != line else bare


def _rule(number: int, text: str) -> _Rule:
    negated = text.startswith("!")
    body = text[1:] if negated else text
    directories = body.endswith("/")
    body = body[:-1] if directories else body
    whole = "/" in body
    literal, flaw = "", ""
    tokens: list[_Token] = []
    doubts: list[str] = []
    if whole:
        # The beginning without wildcards is compared as it stands, and what follows is a pattern of its
        # own: `**` right behind it is at a beginning, and crosses slashes (up to git 2.51; 2.52 takes it
        # for a plain star, see ARCHITECTURE.md).
        body = body.removeprefix("/")
        found = _SPECIAL.search(body)
        literal = body[: found.start()] if found else body
        doubts += _odd_parts(body)
    try:
        tokens = [*literal, *_tokens(body[len(literal) :], crossing=whole, doubts=doubts)]
        if not tokens:
            flaw = "it names nothing"
    except _Flaw as error:
        flaw = str(error)
    if len(text) > LONGEST_WILD and not all(isinstance(t, str) for t in tokens):
        raise BeyondBounds(number, f"the pattern has wildcards and is longer than {LONGEST_WILD:,} bytes")
    if sum(not isinstance(t, str | int) for t in tokens) > STARS:
        raise BeyondBounds(number, f"the pattern has more than {STARS} stars")
    return _Rule(
        line=number,
        text=text,
        negated=negated,
        directories=directories,
        whole=whole,
        tokens=tuple(tokens),
        flaw=flaw,
        doubt=doubts[0] if doubts else "",
    )


def _odd_parts(body: str) -> Iterator[str]:
    """What no path has that a pattern with a slash names."""
    parts = body.split("/")
    if "" in parts:
        yield "no path has an empty part between two slashes"
    if "." in parts or ".." in parts:
        yield 'no path has a part "." or ".."'


def _tokens(pattern: str, *, crossing: bool, doubts: list[str]) -> Iterator[_Token]:
    """The tokens of a pattern. `crossing`: `**` as a whole part means directories. Raises _Flaw.

    To `doubts` go remarks about ranges that hold nothing.
    """
    at, end = 0, len(pattern)
    while at < end:
        char = pattern[at]
        if char == "*":
            token, at = _stars(pattern, at, crossing=crossing)
            yield token
            continue
        if char == "?":
            yield _NOT_SLASH
        elif char == "[":
            found, at = _set(pattern, at + 1, doubts)
            if not found & ~_SLASH:
                raise _Flaw("its set in brackets holds nothing")
            yield found & ~_SLASH
        elif char == "\\":
            at += 1
            if at == end:
                raise _Flaw("it ends in a backslash with nothing to escape")
            yield pattern[at]
        else:
            yield char
        at += 1


def _stars(pattern: str, start: int, *, crossing: bool) -> tuple[_Token, int]:
    """What a run of stars means, and where the pattern goes on."""
    at = start
    while pattern.startswith("*", at):
        at += 1
    if not crossing or at - start == 1 or (start and pattern[start - 1] != "/"):
        return _STAR, at
    if at == len(pattern):
        return _EVERYTHING, at
    if pattern[at] == "/":
        return _Directories(required=False), at + 1
    if pattern.startswith("\\/", at):
        return _Directories(required=True), at + 2
    return _STAR, at


_CLASSES: Final = {
    name: sum(1 << ord(char) for char in chars)
    for name, chars in {
        "alnum": ascii_letters + digits,
        "alpha": ascii_letters,
        "blank": " \t",
        "cntrl": [*map(chr, range(32)), chr(127)],
        "digit": digits,
        "graph": [*map(chr, range(33, 127))],
        "lower": ascii_lowercase,
        "print": [*map(chr, range(32, 127))],
        "punct": punctuation,
        "space": " \t\n\r",  # git's own table: neither form feed nor vertical tab
        "upper": ascii_uppercase,
        "xdigit": hexdigits,
    }.items()
}


def _set(pattern: str, at: int, doubts: list[str]) -> tuple[_Set, int]:
    """The bytes of a set, and where its "]" is; `at`: behind its "[". Raises _Flaw.

    "]" stands for itself in the first place, "-" in the first and last and behind a range or a class.
    """
    negated = pattern[at : at + 1] in ("!", "^")
    at += negated
    first, before = at, ""
    found = 0
    while True:
        char = _within(pattern, at)
        if char == "]" and at > first:
            return _ALL & ~found if negated else found, at
        if char == "[" and pattern.startswith("[:", at) and (name := _class(pattern, at)) is not None:
            if name not in _CLASSES:
                raise _Flaw(f"it has an unknown class [:{name}:]")
            found |= _CLASSES[name]
            at += len(name) + 4
            before = ""
            continue
        if char == "-" and before and pattern[at + 1 : at + 2] not in ("", "]"):
            at += 1
            char = _within(pattern, at)
            if char == "\\":
                at += 1
                char = _within(pattern, at)
            if before > char:
                doubts.append(f"the range {before}-{char} goes backwards and holds nothing")
            else:
                found |= (2 << ord(char)) - (1 << ord(before))
            before = ""
        else:
            if char == "\\":
                at += 1
                char = _within(pattern, at)
            found |= 1 << ord(char)
            before = char
        at += 1


def _class(pattern: str, at: int) -> str | None:
    """The name in `[:name:]`, None where that is no class but signs of the set."""
    end = pattern.find("]", at + 2)
    if end < 0:
        raise _Flaw('a "[" is not closed')
    return pattern[at + 2 : end - 1] if end > at + 2 and pattern[end - 1] == ":" else None


def _within(pattern: str, at: int) -> str:
    if at >= len(pattern):
        raise _Flaw('a "[" is not closed')
    return pattern[at]


# Regular expressions


def _expression(tokens: Sequence[_Token]) -> str:
    """The tokens as an expression to be matched from the beginning of a path or name."""
    groups: list[list[_Token]] = [[]]
    leaps: list[_Token] = []
    for token in tokens:
        if isinstance(token, _Directories | _Everything):
            leaps.append(token)
            groups.append([])
        else:
            groups[-1].append(token)
    made = _group(groups[0])
    for number, leap in enumerate(leaps, 1):
        if not isinstance(leap, _Directories):
            return made  # whatever follows
        over = f"(?:[^/]*/){'+?' if leap.required else '*?'}{_group(groups[number])}"
        made += over if number == len(leaps) else f"(?>{over})"
    return made + r"\Z"


def _group(tokens: Sequence[_Token]) -> str:
    """What matches in one way only, once it is known where it begins."""
    segments: list[list[_Token]] = [[]]
    for token in tokens:
        if token == "/":
            segments.append([])
        else:
            segments[-1].append(token)
    return "/".join(map(_segment, segments))


def _segment(tokens: Sequence[_Token]) -> str:
    pieces: list[list[_Token]] = [[]]
    for token in tokens:
        if isinstance(token, _Star):
            pieces.append([])
        else:
            pieces[-1].append(token)
    first, *middle = ["".join(map(_atom, piece)) for piece in pieces]
    if not middle:
        return first
    *middle, last = middle
    found = first + "".join(f"(?>[^/]*?{piece})" for piece in middle if piece)
    if not last:
        return found + "(?>[^/]*)"
    return f"{found}(?=[^/]{{{len(pieces[-1])}}})(?>[^/]*)(?<={last})"


def _atom(token: _Token) -> str:
    if isinstance(token, str):
        return re.escape(token)
    assert isinstance(token, int)
    return _bracket(token)


@lru_cache(maxsize=1024)
def _bracket(found: _Set) -> str:
    if found == _NOT_SLASH:
        return "[^/]"
    runs = (run.span() for run in re.finditer("1+", f"{found:b}"[::-1]))
    return "[" + "".join(f"\\x{a:02x}-\\x{b - 1:02x}" for a, b in runs) + "]"


@dataclass(slots=True)
class _Chunk:
    """Some patterns in one expression, which tells the last of them (in the file) that matches."""

    numbers: tuple[int, ...]  # falling
    expression: str
    match: Callable[[str], re.Match[str] | None] | None = None

    def last(self, text: str) -> int:
        if self.match is None:
            self.match = re.compile(self.expression, re.DOTALL).match
        found = self.match(text)
        return -1 if found is None else self.numbers[(found.lastindex or 0) - 1]


def _chunks(globs: Sequence[tuple[int, str]]) -> tuple[_Chunk, ...]:
    """Globs, the last of the file first. The first alternative that matches is the last in the file."""
    parts = [globs[at : at + _TOGETHER] for at in range(0, len(globs), _TOGETHER)]
    return tuple(_Chunk(tuple(n for n, _ in part), "|".join(f"{e}()" for _, e in part)) for part in parts)


# Matching


class GitIgnoreMatcher:
    """The rules of one file; see `engine.ignore.GitIgnoreMatcher`."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules = rules
        self._lines: dict[int, RuleLine] = {}
        self.patterns = len(rules)
        self.weight = self._of_directories.weight
        if self.weight > HEAVIEST:
            raise BeyondBounds(
                rules[-1].line, f"there are more wildcards than {HEAVIEST:,} plain patterns have"
            )

    @cached_property
    def _of_directories(self) -> _Table:
        return _Table(self._rules)

    @cached_property
    def _of_files(self) -> _Table:
        if not any(rule.directories for rule in self._rules):
            return self._of_directories
        return _Table([rule if not rule.directories else None for rule in self._rules])

    def last(self, name: str, path: str, start: int, *, directory: bool) -> int:
        """The index of the last rule that matches, -1 for none; `path[start:]` ends in `name`."""
        table = self._of_directories if directory else self._of_files
        return table.last(name, path, start)

    def line(self, index: int) -> RuleLine:
        """The rule of that index."""
        if index not in self._lines:
            self._lines[index] = self._rules[index].shown()
        return self._lines[index]


class _Table:
    """Rules sorted by how they are looked up; a None stands for a rule that does not count here."""

    def __init__(self, rules: Sequence[_Rule | None]) -> None:
        self._always = -1
        self.weight = 0  # look-ups for a name in a directory not very deep, at most
        self._names: dict[str, int] = {}
        self._paths: dict[str, int] = {}
        self._prefixes: dict[str, int] = {}
        self._suffixes: dict[str, int] = {}
        names: list[tuple[int, str]] = []
        paths: list[tuple[int, str]] = []
        for index in range(len(rules) - 1, -1, -1):
            rule = rules[index]
            if rule is None or rule.flaw:
                continue
            tokens, whole = rule.tokens, rule.whole
            if whole and _names_only(tokens):
                tokens, whole = tokens[1:], False
            if tokens in ((_STAR,), (_EVERYTHING,)) and not (whole and tokens[0] is _STAR):
                self._always = index
                break  # no rule above it has the last word on anything
            if (table := self._simple(tokens, whole=whole)) is not None:
                table.setdefault(_literal(tokens), index)
            else:
                (paths if whole else names).append((index, _expression(tokens)))
                self.weight += _weight(rule)
        self._name_chunks = _chunks(names)
        self._path_chunks = _chunks(paths)
        self._prefix_lengths = sorted({len(p) for p in self._prefixes})
        self._suffix_lengths = sorted({len(s) for s in self._suffixes})
        self._starts, self._ends = _few(self._prefixes), _few(self._suffixes)
        self._from_root = bool(self._paths or self._path_chunks)
        self.weight += len(self._prefix_lengths) + len(self._suffix_lengths)

    def _simple(self, tokens: tuple[_Token, ...], *, whole: bool) -> dict[str, int] | None:
        """The dictionary that the pattern goes into; None if it needs an expression."""
        if all(isinstance(t, str) for t in tokens):
            return self._paths if whole else self._names
        if whole:
            return None
        if tokens[0] is _STAR and all(isinstance(t, str) for t in tokens[1:]):
            return self._suffixes
        if tokens[-1] is _STAR and all(isinstance(t, str) for t in tokens[:-1]):
            return self._prefixes
        return None

    def last(self, name: str, path: str, start: int) -> int:
        """The index of the last rule that matches, -1 for none."""
        best = self._always
        if self._names and (found := self._names.get(name, -1)) > best:
            best = found
        if self._suffixes and (self._ends is None or name.endswith(self._ends)):
            for length in self._suffix_lengths:
                if (found := self._suffixes.get(name[-length:], -1)) > best:
                    best = found
        if self._prefixes and (self._starts is None or name.startswith(self._starts)):
            for length in self._prefix_lengths:
                if (found := self._prefixes.get(name[:length], -1)) > best:
                    best = found
        best = _best(self._name_chunks, name, best)
        if self._from_root:
            path = path[start:]
            if (found := self._paths.get(path, -1)) > best:
                best = found
            best = _best(self._path_chunks, path, best)
        return best


def _best(chunks: Sequence[_Chunk], text: str, best: int) -> int:
    for chunk in chunks:
        if chunk.numbers[0] <= best:
            break
        if (found := chunk.last(text)) > best:
            return found
    return best


def _weight(rule: _Rule) -> int:
    """What a pattern that needs an expression costs: by its length, and by the places to try it at."""
    return (1 + len(rule.text) // 32) * (1 + sum(isinstance(t, _Directories) for t in rule.tokens))


def _names_only(tokens: Sequence[_Token]) -> bool:
    """Whether it is `**/name`: a name at any depth."""
    return tokens[0] == _Directories(required=False) and not any(
        t == "/" or isinstance(t, _Directories | _Everything) for t in tokens[1:]
    )


def _literal(tokens: Sequence[_Token]) -> str:
    return "".join(t for t in tokens if isinstance(t, str))


def _few(literals: dict[str, int]) -> tuple[str, ...] | None:
    """Literals to be tried one by one before anything is looked up, None where that takes longer."""
    return tuple(literals) if len(literals) <= _TOGETHER else None
