"""The matcher for ignore files: what it costs at most, its bounds, and that no bytes upset it.

That it answers as git does is `test_ignore_git`'s business.
"""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncer.engine.gitignore import (
    HEAVIEST,
    LONGEST,
    LONGEST_WILD,
    PATTERNS,
    STARS,
    check_own,
    compile_rules,
    complaints,
    own_complaints,
)
from syncer.engine.ignore import BeyondBounds, byte_text

NAME = "a" * 255  # as long as a name can be
DEEP = "/".join("a" * 2048)  # as deep as a path can be
WIDE = "/".join(["a" * 254] * 16)


def matches(text: bytes, path: str, *, directory: bool = False) -> bool:
    path = byte_text(path)
    return compile_rules(text).last(path.rpartition("/")[2], path, 0, directory=directory) >= 0


def seconds(text: bytes, path: str) -> float:
    matcher = compile_rules(text)
    matcher.last("x", "x", 0, directory=True)  # what is made at the first use does not count
    name = path.rpartition("/")[2]
    took = []
    for _ in range(3):
        begun = time.thread_time()
        matcher.last(name, path, 0, directory=True)
        took.append(time.thread_time() - begun)
    return min(took)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 8 + "b", "a" * 60),  # a minute for a matcher that backtracks
        ("*a" * (STARS - 1) + "*b", NAME),
        ("*" + "a" * 120 + "*b", NAME),
        ("*" + "?" * 120 + "*b*c", NAME),
        ("*" + "[!b]" * 100 + "*b", NAME),
        ("x*/" + "**/*a" * 20 + "/b", WIDE),
        ("**/*a*a*a*b/" * 10 + "c", WIDE),
        ("**/a" + "*a" * 50 + "b/c", WIDE),
        ("**/a/" * 60 + "b", DEEP),
        ("**/*/*/" * 20 + "b", DEEP),
        ("**\\/a/" * 60 + "b", DEEP),
    ],
)
def test_no_pattern_takes_long_for_any_name(pattern: str, path: str) -> None:
    assert seconds(pattern.encode(), path) < 0.001
    assert not matches(pattern.encode(), path)


def test_stars_do_not_try_every_place_for_each_other() -> None:
    assert seconds(b"*a" * 4 + b"*b", "a" * 60) < 0.001  # half a million ways to place four stars


@pytest.mark.parametrize("piece", ["a/", "?/", "[!b]/", "*/"])
def test_the_longest_pattern_and_the_deepest_path_take_milliseconds(piece: str) -> None:
    count = min((LONGEST_WILD - 10) // len(piece), STARS - 10 if "*" in piece else LONGEST_WILD)
    assert seconds(("**/" + piece * count + "b").encode(), DEEP) < 0.02


def test_a_file_full_of_wildcards_takes_milliseconds_for_a_name() -> None:
    letters = "abcdefghij"
    lines = [f"*{a}*{b}*{c}" for a in letters for b in letters for c in letters][:HEAVIEST]
    begun = time.thread_time()
    text = "\n".join(lines).encode()
    assert matches(text, "a-b-c")
    assert time.thread_time() - begun < 1, "compiling it"
    assert seconds(text, "hello.txt") < 0.005
    assert seconds(text, NAME) < 0.02


def test_sets_that_fill_a_file_are_compiled_in_no_time() -> None:
    text = b"\n".join(b"[!b]" * 250 + b"%d" % i for i in range(30))
    begun = time.thread_time()
    assert not matches(text, "x")
    assert time.thread_time() - begun < 2


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (b"ok\n" + b"a" * (LONGEST + 1), 2, "longer than 4,096 bytes"),
        (b"# x\n\n" + b"*" + b"a" * LONGEST_WILD, 3, "wildcards and is longer than 1,024 bytes"),
        (b"*a" * (STARS + 1), 1, "more than 64 stars"),
        (b"/" + b"**/a/" * (STARS + 1), 1, "more than 64 stars"),
        (b"a\n" * (PATTERNS + 1), PATTERNS + 1, "more than 10,000 patterns"),
        (b"\n".join(b"*a*%d" % i for i in range(HEAVIEST + 1)), HEAVIEST + 1, "more wildcards"),
        (b"\n".join(b"*a%d*%s" % (i, b"b" * 900) for i in range(100)), 100, "more wildcards"),
        (b"\n".join(b"a/**/b/**/c*%d" % i for i in range(400)), 400, "more wildcards"),
    ],
)
def test_what_is_beyond_bounds_is_named_with_its_line(text: bytes, line: int, why: str) -> None:
    with pytest.raises(BeyondBounds, match=why) as caught:
        compile_rules(text)
    assert caught.value.line == line
    assert f"f:{line}: " in complaints(text, "f")[-1]


@pytest.mark.parametrize(
    "text",
    [
        b"a" * LONGEST,
        b"*" + b"a" * (LONGEST_WILD - 1),
        b"*a" * STARS,
        b"a\n" * PATTERNS,
        b"\n".join(b"*a*%d" % i for i in range(HEAVIEST)),
        b"\n".join(b"*.%d" % i for i in range(PATTERNS)),
        b"# " + b"x" * LONGEST,
    ],
)
def test_what_reaches_a_bound_is_taken(text: bytes) -> None:
    compile_rules(text)


SIGNS = st.sampled_from([bytes([b]) for b in b"*?[]!-\\/#^: \t\r\nab.\0\xff\xc3\xa9"])
TEXTS = st.one_of(st.binary(max_size=200), st.lists(SIGNS, max_size=60).map(b"".join))
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0") | st.sampled_from("ab.\udcff\udcc3\ud800"),
    min_size=1,
    max_size=12,
)


@given(text=TEXTS, parts=st.lists(NAMES, min_size=1, max_size=4), directory=st.booleans())
@example(text=b"[z-a]", parts=["m"], directory=False)
@example(text=b"[\\", parts=["m"], directory=False)
@example(text=b"[[:", parts=["m"], directory=False)
@example(text=b"\\", parts=["\\"], directory=True)
@example(text=b"[[ab]--[c]||[d]~~[e]&&[f]", parts=["x"], directory=False)  # Python warns of such sets
def test_no_bytes_of_a_rules_file_raise_or_take_long(text: bytes, parts: list[str], directory: bool) -> None:
    path = byte_text("/".join(parts))
    try:
        matcher = compile_rules(text)
    except BeyondBounds:
        return
    begun = time.thread_time()
    found = matcher.last(path.rpartition("/")[2], path, 0, directory=directory)
    assert time.thread_time() - begun < 0.2  # compiling its expressions counted
    if found >= 0:
        line = matcher.line(found)
        assert 1 <= line.number <= text.count(b"\n") + 1
        assert line.pattern.encode("utf-8", "surrogateescape") in text
        assert line.negated is line.pattern.startswith("!")
    complaints(text)


@given(st.lists(st.text(max_size=8), max_size=4))
def test_any_list_of_own_patterns_is_taken_or_refused(patterns: list[str]) -> None:
    with suppress(ValueError):
        check_own(patterns)
    own_complaints(patterns)


def test_what_can_match_nothing_is_complained_about_with_line_and_pattern() -> None:
    text = b"*.o\n[z-a]\nf[\n[[:nope:]]\n!\nx\\\na//b\n./c\nd/../e\n[a-c].ok\n"
    assert complaints(text, "d/.syncignore") == [
        "d/.syncignore:2: [z-a]: the range z-a goes backwards and holds nothing",
        'd/.syncignore:3: f[: a "[" is not closed',
        "d/.syncignore:4: [[:nope:]]: it has an unknown class [:nope:]",
        "d/.syncignore:5: !: it names nothing",
        "d/.syncignore:6: x\\: it ends in a backslash with nothing to escape",
        "d/.syncignore:7: a//b: no path has an empty part between two slashes",
        'd/.syncignore:8: ./c: no path has a part "." or ".."',
        'd/.syncignore:9: d/../e: no path has a part "." or ".."',
    ]
    assert own_complaints(["*.o", "", "# no", "b/"]) == []


def test_a_pattern_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="pattern 2 is not one line"):
        check_own(["a", "b\n*"])


def test_rules_above_one_that_names_everything_do_not_matter_and_those_below_do() -> None:
    matcher = compile_rules(b"a\n*\n!b\n!c/\n")
    assert [matcher.last(n, n, 0, directory=False) for n in "abc"] == [1, 2, 1]
    assert matcher.last("c", "c", 0, directory=True) == 3


def test_many_wildcards_are_asked_from_the_last_to_the_first() -> None:
    lines = [f"*{i % 7}x*" for i in range(200)]
    matcher = compile_rules("\n".join(lines).encode())
    for digit in range(7):
        last = max(i for i in range(200) if i % 7 == digit)
        assert matcher.last(f"_{digit}x_", f"_{digit}x_", 0, directory=False) == last
