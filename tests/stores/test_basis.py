"""The file that is replaced serves the source of its successor: right, or not at all."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from syncer.engine.interfaces import LocalBasis
from syncer.engine.model import Failed
from syncer.errors import ChangedUnderUs
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.staging import WORTH
from tests.contract.doubles import FarSource, failing
from tests.contract.rigs import FolderRig
from tests.stores.partials import (
    DATA,
    HALF,
    OLD,
    broken_off,
    open_files,
    put,
    temporaries,
    whole,
)

ALIKE = OLD[:HALF] + DATA


def test_what_is_replaced_is_a_basis(rig: FolderRig) -> None:
    rig.write("f", OLD)
    source = FarSource(ALIKE, alike=HALF)
    outcome = put(rig, source, expected=rig.entry("f"))
    whole(rig, outcome, ALIKE)
    assert source.sent == len(DATA) and rig.kept() == [OLD]
    opened = [a for m, a in rig.disk.calls if m == "open_read" and a[0] == "f"]
    assert len(opened) == 1 and not open_files(rig)


def test_a_source_that_has_no_use_for_it_costs_no_call(rig: FolderRig) -> None:
    rig.write("f", OLD)
    planned = rig.entry("f")
    rig.disk.calls.clear()
    whole(rig, put(rig, FarSource(DATA), expected=planned, token=b""))
    assert not {"read_at", "open_read", "try_lock"} & set(rig.disk.names())


@pytest.mark.parametrize(("old", "new"), [(WORTH - 1, WORTH), (WORTH, WORTH - 1), (0, WORTH)])
def test_of_small_files_there_is_no_basis(rig: FolderRig, old: int, new: int) -> None:
    rig.write("f", OLD[:old])
    source = FarSource((OLD + DATA)[:new], alike=0)
    seen: list[object] = []
    source.chunks = lambda basis=None: (seen.append(basis), FarSource.chunks(source, basis))[1]  # type: ignore[method-assign]
    whole(rig, put(rig, source, expected=rig.entry("f"), token=b""), source.data)
    assert seen == [None]


def test_an_edit_of_the_basis_while_it_is_used_publishes_nothing(rig: FolderRig) -> None:
    rig.write("f", OLD)
    planned = rig.entry("f")

    def meanwhile(place: int) -> None:
        if place == 16384:
            with open(rig.root / "f", "r+b") as file:
                file.seek(20_000)
                file.write(b"an edit in place")

    source = FarSource(ALIKE, alike=HALF, during=meanwhile)
    outcome = put(rig, source, expected=planned)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert (
        rig.read("f")[20_000:20_016] == b"an edit in place" and temporaries(rig) == [] and not open_files(rig)
    )


def test_a_basis_that_was_edited_is_not_used_even_where_it_is_as_it_was(rig: FolderRig) -> None:
    rig.write("f", OLD)
    planned = rig.entry("f")

    def meanwhile(place: int) -> None:
        if place == 16384:
            with open(rig.root / "f", "ab") as file:
                file.write(b"an edit at the end")

    source = FarSource(ALIKE, alike=HALF, during=meanwhile)
    outcome = put(rig, source, expected=planned)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert source.sent == 0 and rig.read("f") == OLD + b"an edit at the end"


def test_a_torn_basis_that_no_stamp_betrays_is_found_out_by_the_digest(rig: FolderRig) -> None:
    rig.write("f", OLD)
    planned = rig.entry("f")
    real = rig.disk.real.read_at
    rig.disk.real = _Torn(real)
    outcome = put(rig, FarSource(ALIKE, alike=HALF), expected=planned)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert rig.read("f") == OLD and temporaries(rig) == []


class _Torn(FileSystem):
    """Another byte than there is."""

    def __init__(self, read_at: Callable[[int, int, int], bytes]) -> None:
        self._read_at = read_at

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        return b"?" + self._read_at(fd, size, offset)[1:]


@pytest.mark.parametrize(("method", "code"), [("read_at", errno.EIO), ("open_read", errno.EACCES)])
def test_what_is_replaced_and_cannot_be_read_is_done_without(rig: FolderRig, method: str, code: int) -> None:
    rig.write("f", OLD)
    planned = rig.entry("f")
    rig.disk.before = failing(method, code)
    source = FarSource(ALIKE, alike=HALF)
    outcome = put(rig, source, expected=planned)
    rig.disk.before = lambda method, arguments: None
    whole(rig, outcome, ALIKE)
    assert source.starts == [0, 0] and source.sent == len(ALIKE) and not open_files(rig)


def test_what_arrived_goes_before_what_is_replaced(rig: FolderRig) -> None:
    rig.write("f", OLD)
    planned = rig.entry("f")
    broken_off(rig, expected=planned)
    source = FarSource(DATA)
    whole(rig, put(rig, source, expected=planned))
    assert source.starts == [HALF] and rig.kept() == [OLD]


def test_a_basis_is_what_it_says_and_ends_with_its_put(rig: FolderRig) -> None:
    rig.write("f", OLD)
    planned = replace(rig.entry("f"), digest=b"d" * 32)
    given: list[LocalBasis] = []

    class Curious(FarSource):
        def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
            assert basis is not None
            given.append(basis)
            assert (basis.start, basis.size, basis.digest) == (0, len(OLD), b"d" * 32)
            assert basis.read(0, len(OLD)) == OLD and basis.read(len(OLD) - 5, 5) == OLD[-5:]
            assert basis.read(7, 0) == b""
            for offset, size in ((len(OLD), 1), (0, len(OLD) + 1), (len(OLD) + 9, 1), (0, 1 << 60)):
                with pytest.raises(ChangedUnderUs):
                    basis.read(offset, size)
            return super().chunks(None)

    whole(rig, put(rig, Curious(DATA), expected=planned))
    with pytest.raises(ChangedUnderUs):
        given[0].read(0, 1)
    assert not open_files(rig)
