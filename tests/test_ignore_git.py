"""Ignore rules beside `git` itself: what it adds, and the rule that it names for each path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ignore_campaign import GIT_FILE, Sown, campaign, compare, git, pairs

# Rule files from bug reports of other programs, by directory, and paths; "DIR/" is an empty directory.
CASES: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "a directory cannot be brought back from within": (
        {"": b"/foo/bar\n!/foo/bar/baz\n"},
        ["foo/bar/baz/a", "foo/y"],
    ),
    "its contents can": ({"": b"/foo/bar/*\n!/foo/bar/baz\n"}, ["foo/bar/baz/a", "foo/bar/x"]),
    "all but some files at the top": ({"": b"*\n!*.c\n"}, ["a/a.c", "b.c", "x.h"]),
    "all but some files anywhere": ({"": b"*\n!*/\n!*.c\n"}, ["a/a.c", "b.c", "x.h", "a/b/d/e.c", "a/b/q.h"]),
    "a directory brought back keeps what is ignored in it": (
        {"": b"node_modules/\n/*\n!/proj/\n"},
        ["proj/main.js", "proj/node_modules/big", "node_modules/z"],
    ),
    "two stars and a negation": ({"": b"d/**\n!d/sub/**\n"}, ["d/sub/f.txt", "d/g"]),
    "two stars, directories and files": (
        {"": b"a/**\n!a/**/\n!a/**/*.txt\n"},
        ["a/1.txt", "a/b/2.txt", "a/b/c/3.txt", "a/b/4.bin"],
    ),
    "two stars everywhere": (
        {"": b"**/foo\na/**/b\nabc/**\n**\\.bak\nx**y\n**/\n"},
        ["foo", "q/foo", "a/b", "a/x/b", "a/x/y/b", "abc/d", "r.bak", "xzzy", "x/z/y", "s/xy"],
    ),
    "escaped signs at the beginning": (
        {"": b"\\!name\n\\#hash\n"},
        ["!name", "#hash", "name", "hash", "s/!name"],
    ),
    "blanks at the end": (
        {"": b"a \nb\\ \nc\\\\ \n d\ne\\  \n"},
        ["a", "a ", "b", "b ", "c", "c\\", " d", "d", "e "],
    ),
    "a tab at the end": ({"": b"foo\t\n"}, ["foo", "foo\t"]),
    "lines that end in CR LF": ({"": b"*.tmp\r\nbuild/\r\n\r\nx\r\r\n"}, ["x.tmp", "build/y", "x", "x\r"]),
    "a byte order mark": (
        {"": b"\xef\xbb\xbf*.tmp\n*.o\n", "s": b"\xef\xbb\xbf*.z"},
        ["x.tmp", "y.o", "s/a.z"],
    ),
    "a byte order mark in the middle": ({"": b"a\n\xef\xbb\xbf*.tmp\n"}, ["x.tmp", "\ufeffx.tmp"]),
    "no newline at the end": ({"": b"*.a\n*.b\r"}, ["1.a", "2.b", "2.b\r"]),
    "a NUL ends a pattern": ({"": b"a\0b\n\0c\n*.o\n"}, ["a", "ab", "c", "x.o"]),
    "form feed and Unicode's line ends are signs": (
        {"": "a\x0cb\nq\u2028r\nx\x85y\n\x1cz\n".encode()},
        ["a", "b", "q", "r", "a\x0cb", "q\u2028r", "y", "z", "\x1cz"],
    ),
    "brackets": (
        {"": b"[abc].txt\n[!x].md\n[^y].rst\n[]-]x\nf[\n[a-\n[z-a]q\n[]\n[[]b\n"},
        ["a.txt", "d.txt", "x.md", "q.md", "y.rst", "z.rst", "]x", "-x", "f[", "[a-", "mq", "zq", "[]", "[b"],
    ),
    "classes": (
        {"": b"[[:digit:]].log\n[[:nope:]]\n[[:space:]]\n[[:alpha:][:digit:]_].x\n[[:digit]].y\n[[::]].z\n"},
        ["5.log", "a.log", "n", "\x0b", "\t", "é.x", "a.x", "_.x", "-.x", "d].y", ":.z"],
    ),
    "an escape in a set": (
        {"": b"[\\]].a\n[\\a-\\c].b\n[a\\-c].c\n[\\\n"},
        ["].a", "b.b", "-.c", "b.c", "[", "\\.a"],
    ),
    "sets and slashes": ({"": b"a[/]b\na[!c]b\nx/a[!c]b\nx/a?b\n"}, ["a/b", "axb", "x/a/b", "x/axb"]),
    "a question mark is one byte": (
        {"": "?.y\n??.z\n[é].w\n".encode()},
        ["é.y", "é.z", "é.w", "q.y", "qq.z"],
    ),
    "bytes that are no text": ({"": b"caf\xe9\n*\xff*\n"}, ["caf\udce9", "café", "a\udcffb"]),
    "anchors": (
        {"": b"/top\nmid/dle\nlow/\n/a/b/\n//x\n"},
        ["top", "s/top", "mid/dle", "s/mid/dle", "low/x", "s/low/y", "s2/low", "a/b/c", "z/a/b/c", "x"],
    ),
    "a deeper file has the last word": (
        {"": b"*.log\n/sub/x\n", "sub": b"!keep.log\n/here\n!x\n"},
        ["x.log", "sub/keep.log", "sub/z.log", "sub/here", "sub/d/here", "here", "sub/d/keep.log", "sub/x"],
    ),
    "the last rule has the last word": ({"": b"!a\na\n!b\n*.x\n!k.x\n*.x\n"}, ["a", "b", "k.x"]),
    "one slash, no slash, dots": ({"": b"/\n*/\n./x\n../y\n!\n"}, ["a", "d/b", "x", "y"]),
    "backslashes": (
        {"": b"a\\b\nq\\*\ntrail\\\n\\\\x\n"},
        ["ab", "a\\b", "q*", "qx", "trail", "trail\\", "\\x"],
    ),
    "two exclamation marks": ({"": b"a\n!!a\n"}, ["a", "!a"]),
    "upper and lower case": ({"": b"*.TMP\nBuild\n"}, ["a.tmp", "b.TMP", "build/x", "y/Build/z"]),
    "comments and blank lines": ({"": b"\n   \n# c\n #x\n*.q\n"}, ["#x", " #x", "1.q", "c"]),
    "names that begin with a dot": ({"": b"*.d\n.*\n!.gitignore\n"}, [".hid", "x/.hid2", "k.d", "y"]),
    "a directory's rule and a file": (
        {"": b"data/\nlogs/*\n!logs/.keep\n"},
        ["data", "logs/.keep", "logs/a"],
    ),
    "an escaped slash": ({"": b"a\\/b\nc/**\\/d\nx\\/\n"}, ["a/b", "c/d", "c/e/d", "x/y"]),
}


def plant(repository: Path, top: str, rules: dict[str, bytes], files: list[str]) -> Sown:
    sown = Sown(top)
    for directory in {"", *rules, *(f.rpartition("/")[0] for f in files)}:
        parts = [top, *(p for p in directory.split("/") if p)]
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if path not in sown.directories:
                sown.directories.append(path)
            (repository / path).mkdir(exist_ok=True)
    for directory, text in rules.items():
        (repository / top / directory / GIT_FILE).write_bytes(text)
        sown.rules["/".join(p for p in (top, directory) if p)] = text
    for file in files:
        (repository / top / file).touch()
        sown.others.append(f"{top}/{file}")
    return sown


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "-q")
    return made


@pytest.mark.parametrize("case", CASES)
def test_what_people_reported_elsewhere_is_answered_as_git_does(repository: Path, case: str) -> None:
    assert list(compare(repository, [plant(repository, "t", *CASES[case])], ())) == []


def test_a_directory_s_rule_names_no_symlink_to_a_directory(repository: Path) -> None:
    sown = plant(repository, "t", {"": b"link/\n"}, ["real/x"])
    (repository / "t/link").symlink_to("real")
    sown.others.append("t/link")
    assert list(compare(repository, [sown], ())) == []


def test_the_job_s_own_rules_come_last_as_info_exclude_does(repository: Path) -> None:
    own = ("*.o", "!a.x", "# no", "", "b ", "t/d/")
    (repository / ".git/info/exclude").write_text("\n".join(own))
    sown = plant(repository, "t", {"": b"!k.o\n*.x\n"}, ["k.o", "a.o", "a.x", "b", "d/e", "# no"])
    assert list(compare(repository, [sown], own)) == []


@pytest.mark.parametrize("seed", range(3))
def test_random_rule_sets_are_answered_as_git_does(tmp_path: Path, seed: int) -> None:
    assert list(campaign(tmp_path, seed, 150)) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_thousand_rule_sets_are_answered_as_git_does(tmp_path: Path, seed: int) -> None:
    assert list(campaign(tmp_path, seed, 1000)) == []


def test_a_pattern_and_a_name_take_less_than_a_millisecond_and_are_answered_as_git_does(
    tmp_path: Path,
) -> None:
    assert list(pairs(tmp_path, 1, 400, 50)) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 30))
def test_a_million_patterns_and_names_are_answered_as_git_does(tmp_path: Path, seed: int) -> None:
    assert list(pairs(tmp_path, seed, 1000, 50)) == []


def test_a_sync_leaves_out_what_git_would_not_add(tmp_path: Path) -> None:
    """The whole program, with the rules files of all cases below one root."""
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    git(root, "init", "-q", "--separate-git-dir", str(tmp_path / "git"))
    for number, (rules, files) in enumerate(CASES.values()):
        plant(root, f"{number:02}", rules, files)
        for file in (root / f"{number:02}").rglob(GIT_FILE):
            file.rename(file.with_name(".syncignore"))
    (root / ".git").unlink()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-o", "--exclude-per-directory=.syncignore"],
        env={**os.environ, "GIT_DIR": str(tmp_path / "git"), "GIT_WORK_TREE": str(root)},
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout
    wanted = {os.fsdecode(p) for p in listed.split(b"\0") if p}
    ended = subprocess.run(
        [sys.executable, "-m", "syncer", "sync", str(root), f"local:{other}"],
        env={"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"arning" not in ended.stderr
    private = other / ".syncer"
    found = {
        str(p.relative_to(other)) for p in other.rglob("*") if not p.is_dir() and private not in p.parents
    }
    assert found == wanted
