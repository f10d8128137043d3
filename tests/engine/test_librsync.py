"""The binding: what it leaves alone, what it says when librsync is missing or refuses."""

from __future__ import annotations

import subprocess
import sys

import librsync
import pytest

from syncer.delta.librsync import Sums, library, summing
from syncer.delta.rsync import SignatureParams, signature
from syncer.errors import BadDelta
from tests.contents import noise


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_is_loaded_before_it_is_used() -> None:
    modules = "syncer.delta.rsync, syncer.delta.indexed_delta"
    assert python(f"import sys, {modules}; print('librsync' in sys.modules)") == "False"


def test_a_missing_librsync_is_an_error_that_says_what_to_install() -> None:
    said = python(
        "import sys; sys.modules['librsync'] = None\n"
        "from syncer.delta.rsync import SignatureParams, signature\n"
        "from syncer.errors import LocalError\n"
        "try: list(signature([b'x'], SignatureParams.smartfile()))\n"
        "except LocalError as error: print(error.message, '|', error.hint)"
    )
    assert said.startswith("librsync could not be loaded")
    assert "apt install librsync2" in said


def test_the_prototypes_of_python_librsync_stay_as_they_are() -> None:
    list(signature([b"x"], SignatureParams.smartfile()))
    assert len(library().rs_sig_begin.argtypes) == 3
    assert len(librsync._librsync.rs_sig_begin.argtypes) == 2


def test_librsync_is_silent_where_it_refuses(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadDelta, match="librsync refused: stream corrupt"):
        Sums(b"\0" * 12)
    with pytest.raises(BadDelta, match="librsync refused"):
        summing(0x72730136, 2048, 17)
    assert capfd.readouterr() == ("", "")


def test_output_larger_than_the_buffer_comes_whole() -> None:
    """300,000 blocks of 10 bytes make 9.6 MB of sums in one call."""
    content = noise(1, 3_000_000)
    with summing(0x72730147, 10, 28) as job:
        made = job.feed(content, last=True)
    assert len(made) == 12 + 300_000 * 32


def test_a_job_takes_its_input_in_any_pieces() -> None:
    content = noise(2, 10_000)
    with summing(0x72730136, 300, 8) as whole, summing(0x72730136, 300, 8) as cut:
        made = b"".join(cut.feed(content[at : at + 7]) for at in range(0, 10_000, 7))
        assert made + cut.feed(b"", last=True) == whole.feed(content, last=True)
