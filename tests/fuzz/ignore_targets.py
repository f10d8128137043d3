"""A rules file from outside, as a fuzzer sees it: only BeyondBounds may come out of it.

The first byte says how much of the rest is the path, all else is the text of the file.
"""

from __future__ import annotations

from syncer.engine.gitignore import compile_rules, complaints
from syncer.engine.ignore import BeyondBounds


def once(data: bytes) -> None:
    """One input. Raises whatever else went wrong."""
    length = 1 + data[0] if data else 0
    path = data[1:length].decode("latin-1").strip("/") or "x"
    text = data[length:]
    complaints(text, "file")
    try:
        matcher = compile_rules(text)
    except BeyondBounds:
        return
    for directory in (False, True):
        found = matcher.last(path.rpartition("/")[2], path, 0, directory=directory)
        if found >= 0:
            assert matcher.line(found).pattern.encode("utf-8", "surrogateescape") in text


def seeds() -> tuple[bytes, ...]:
    """Inputs from which a fuzzer may begin."""
    paths = b"\x07a/b.o/c", b"\x03a.o", b"\x05x/y/z"
    texts = (
        b"*.o\n!a.o\n/x/\nbuild/\r\n# no\nb\\ \n",
        b"a/**/b\n**/c\nx/**\n**\\/d\n/*\n",
        b"[a-c]x\n[!z]?\n[[:digit:][:alpha:]_]\n[]-]\n[z-a]\n[\n\\",
        b"\xef\xbb\xbf" + b"*a" * 20 + b"\n\xff*\0\n",
    )
    return tuple(path + text for path in paths for text in texts)
