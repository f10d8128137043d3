"""Forms of any bytes whatever: a form comes out, or a refusal, and nothing is left on the disk."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from python_multipart.exceptions import MultipartParseError

from syncer.errors import TransientError
from syncer.server.errors import HttpError
from syncer.server.forms import Form, MultipartReader, urlencoded_fields
from syncer.server.request_body import FormFile, UploadSpool

PIECES = [
    b"--X\r\n", b"--X--\r\n", b"--X", b"\r\n", b"\r\n\r\n", b"X", b"--",
    b'Content-Disposition: form-data; name="a"', b'Content-Disposition: form-data; name="f"; filename="n"',
    b"Content-Disposition:", b"filename*=utf-8''%ff%00", b'filename="', b"\0", b"\xff\xfe", b"hello",
]  # fmt: skip


def parsed(body: bytes, cuts: list[int], spools: Path) -> Form | None:
    """The form, or None if it was refused."""
    parts = MultipartReader(b"X", spools)
    try:
        edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
        for start, end in pairwise(edges):
            if start < end:
                parts.feed(body[start:end])
        return parts.finish()
    except (HttpError, MultipartParseError):
        parts.form.close()
        return None


@given(
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=30),
    st.lists(st.integers(0, 400), max_size=5),
)
@example([b"--X\r\n", b'Content-Disposition: form-data; name="a"', b"\r\n\r\n", b"1", b"\r\n--X--\r\n"], [7])
def test_any_bytes_make_a_form_or_a_refusal(pieces: list[bytes], cuts: list[int]) -> None:
    with TemporaryDirectory() as folder:
        form = parsed(b"".join(pieces), cuts, Path(folder))
        if form is not None:
            with form:
                assert all(file.content.size >= 0 for file in form.files)
        assert os.listdir(folder) == []


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3200), max_size=8))
def test_content_comes_out_as_it_went_in_however_it_was_cut(content: bytes, cuts: list[int]) -> None:
    boundary_free = content.replace(b"\r\n--X", b"")
    body = (
        b'--X\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\n'
        + boundary_free
        + b"\r\n--X--\r\n"
    )
    with TemporaryDirectory() as folder:
        form = parsed(body, cuts, Path(folder))
        assert form is not None
        with form:
            [file] = form.files
            assert b"".join(file.content.chunks()) == boundary_free
            assert (file.part, file.filename) == ("f", "n")


@given(st.binary(max_size=200))
def test_any_urlencoded_bytes_make_fields_or_a_refusal(body: bytes) -> None:
    try:
        fields = urlencoded_fields(body)
    except HttpError:
        return
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in fields)


def test_content_that_is_not_as_long_as_announced_is_never_handed_out_whole(tmp_path: Path) -> None:
    for pieces in ([b"12", b"3"], [b"12", b"34", b"5"], []):
        handed = []
        source = FormFile(pieces, 4)
        with pytest.raises(TransientError):
            handed += list(source.chunks())
        with pytest.raises(TransientError):
            _ = source.entry


def test_a_spool_has_no_name_on_the_disk(tmp_path: Path) -> None:
    spool = UploadSpool(tmp_path)
    spool.write(b"abc" * 1_000_000)
    assert os.listdir(tmp_path) == []
    assert b"".join(spool.chunks()) == b"".join(spool.chunks()) == b"abc" * 1_000_000
    spool.close()
