"""Deltas in both directions: little crosses, nothing wrong is ever believed, the whole is sent in need."""

from __future__ import annotations

import logging
import os

import pytest
from blake3 import blake3

from syncer.engine.interfaces import Source
from syncer.engine.model import Done, Entry, Failed, Kind, Method
from syncer.errors import AuthError, ChangedUnderUs
from syncer.stores.smartfile.deltas import parameters
from tests.contract.doubles import BytesSource
from tests.contract.smartfile_rig import ROOT, SmartFileRig
from tests.doubles.faults import Altered, Answer, Cut, Fault, Lost, Reset
from tests.doubles.smartfile.misbehaviour import garbled, refused, throttled, wrong_checksum
from tests.stores.smartfile.bases import MEBIBYTE, NEW, OLD, Held, edited


def put(rig: SmartFileRig, data: bytes = NEW, **more: object) -> Done:
    outcome = rig.put("f", data, expected=rig.entry("f"), **more)
    assert isinstance(outcome, Done), outcome
    return outcome


def test_of_a_changed_file_only_the_change_is_sent(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    done = put(rig, mtime_ns=5)
    assert rig.read("f") == NEW and rig.kept() == [OLD]
    assert done.method is Method.DELTA and 0 < done.sent < 8000 and 0 < done.received < 8000
    assert done.entry is not None and done.entry.digest == blake3(NEW).digest()
    assert done.entry.version == rig.entry("f").version and rig.entry("f").mtime_ns == 5


@pytest.mark.parametrize("size", [0, 100, (64 << 10) - 1])
def test_a_small_file_is_sent_whole(rig: SmartFileRig, size: int) -> None:
    rig.write("f", OLD)
    assert put(rig, OLD[:size]).method is Method.WHOLE and rig.read("f") == OLD[:size]
    assert rig.double.asked("*", "/path/sync/") == []


def test_a_delta_that_would_be_nearly_everything_is_dropped(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    data = os.urandom(len(OLD))
    done = put(rig, data)
    assert done.method is Method.WHOLE and rig.read("f") == data
    assert rig.double.asked("POST", "/path/sync/patch/") == []


UPLOADS: dict[str, tuple[str, str, Fault]] = {
    "the copy fails": ("POST", "/oper/copy/", refused(400, {"src": ["no"]})),
    "there is no signature": ("GET", "/sync/signature/", refused(404, {"detail": "no"})),
    "the signature breaks off": ("GET", "/sync/signature/", Cut(after=100)),
    "the signature is short": ("GET", "/sync/signature/", Altered(change=lambda body: body[:-12])),
    "the signature is cut": ("GET", "/sync/signature/", Altered(change=lambda body: body[:-5])),
    "the signature is none": ("GET", "/sync/signature/", Altered(change=lambda body: b"<html>")),
    "it is of a newer kind": ("GET", "/sync/signature/", Altered(change=lambda b: b"rs\x01\x47" + b[4:])),
    "the patch is refused": ("POST", "/sync/patch/", refused(400, {"detail": "bad delta"})),
    "the connection breaks": ("POST", "/sync/patch/", Reset()),
}


@pytest.mark.parametrize("trouble", UPLOADS)
def test_whatever_goes_wrong_with_a_delta_the_whole_gets_there(rig: SmartFileRig, trouble: str) -> None:
    rig.write("f", OLD)
    method, path, fault = UPLOADS[trouble]
    rig.double.misbehave(method, path, fault, times=2)  # requests that change nothing are made twice
    done = put(rig)
    assert done.method is Method.WHOLE and rig.read("f") == NEW and rig.kept() == [OLD]
    assert done.entry is not None and done.entry.digest == blake3(NEW).digest()


def test_sums_that_are_garbled_cost_bytes_and_no_more(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    rig.double.misbehave("GET", "/sync/signature/", garbled(500))
    done = put(rig)
    assert done.method is Method.DELTA and rig.read("f") == NEW


def test_a_checksum_that_says_no_is_heeded(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    polls = 3
    rig.double.misbehave("GET", "/task/", wrong_checksum(), skip=2 * polls - 1)  # the copy is polled first
    assert put(rig).method is Method.WHOLE and rig.read("f") == NEW


def test_the_answer_to_a_patch_is_lost_and_the_delta_is_not_sent_again(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    rig.double.misbehave("POST", "/sync/patch/", Lost())
    assert put(rig).method is Method.DELTA
    assert rig.read("f") == NEW and len(rig.double.asked("POST", "/sync/patch/")) == 1


def test_a_patch_gone_wrong_is_repaired_by_the_whole_and_told(
    rig: SmartFileRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.write("f", OLD)
    rig.double.misbehave("GET", "/sync/signature/", Altered(change=swapped))
    with caplog.at_level(logging.WARNING):
        done = put(rig)
    assert rig.read("f") == NEW and done.method is Method.WHOLE and done.sent > len(NEW)
    assert rig.store.inner.repaired == 1
    assert "not right" in caplog.text


def swapped(body: bytes) -> bytes:
    """A signature in which two blocks have changed places: the delta made of it makes something else."""
    header, first, second, rest = body[:12], body[12:24], body[24:36], body[36:]
    return header + second + first + rest


def test_a_base_that_changed_is_never_patched(rig: SmartFileRig) -> None:
    """What is patched is a copy: of whatever was there, and verified."""
    rig.write("f", OLD)
    expected = rig.entry("f")
    rig.write("f", os.urandom(len(OLD)))
    outcome = rig.put("f", NEW, expected=expected)
    assert not isinstance(outcome, Done) and rig.double.asked("POST", "/sync/patch/") == []


def test_a_throttled_patch_is_sent_again_whole(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    rig.double.misbehave("POST", "/sync/patch/", throttled(2.5), times=2)
    assert put(rig).method is Method.DELTA and rig.read("f") == NEW
    assert rig.clock.slept.count(2.5) == 2


def test_a_source_that_changes_under_a_delta_publishes_nothing(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    source = BytesSource(NEW, error=ChangedUnderUs("it changed"))
    outcome = rig.put("f", NEW, expected=rig.entry("f"), source=source)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert rig.read("f") == OLD and rig.kept() == [] and work(rig) == []


def test_a_login_that_expires_within_a_delta_ends_the_run(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    with pytest.raises(AuthError):
        rig.put("f", NEW, expected=rig.entry("f"), source=BytesSource(NEW, error=AuthError("expired")))


def work(rig: SmartFileRig) -> list[str]:
    """Content left where it is staged."""
    return [p for p, data in rig.double.contents().items() if data is not None and "/.syncer/work/" in p]


def test_nothing_staged_is_left(rig: SmartFileRig) -> None:
    rig.write("f", OLD)
    put(rig)
    assert work(rig) == []


# -- down ------------------------------------------------------------------------------


def source(rig: SmartFileRig, *, digest: bytes | None = None) -> Source:
    entry = rig.entry("f")
    known = Entry(kind=Kind.FILE, size=entry.size, version=entry.version, digest=digest)
    return rig.store.open("f", known)


def read(found: Source, basis: Held) -> bytes:
    return b"".join(found.chunks(basis))


def test_of_a_changed_file_only_the_change_is_fetched(rig: SmartFileRig) -> None:
    rig.write("f", NEW)
    found = source(rig)
    assert read(found, Held(OLD)) == NEW
    traffic = found.traffic
    assert traffic is not None and traffic.method is Method.DELTA
    assert 0 < traffic.received < 8000 and 0 < traffic.sent < 8000
    assert found.entry.digest == blake3(NEW).digest()
    assert rig.double.asked("GET", "/path/data/.*/f/") == []


def test_what_has_nothing_in_common_is_fetched_whole(rig: SmartFileRig) -> None:
    data = os.urandom(MEBIBYTE)
    rig.write("f", data)
    found = source(rig)
    assert read(found, Held(OLD)) == data
    assert found.traffic is not None and found.traffic.method is Method.WHOLE


DOWNLOADS: dict[str, Fault] = {
    "it is refused": refused(400, {"detail": "no"}),
    "it is not there": refused(404, {"detail": "no"}),
    "the service fails": Answer(status=500),
    "it breaks off": Cut(after=100),
    "it is cut": Altered(change=lambda body: body[:-3]),
    "it is empty": Altered(change=lambda body: b"rs\x026\0"),
    "it is none": Altered(change=lambda body: b"{}"),
    "literal bytes are garbled": Altered(change=lambda body: body.replace(b"an edit", b"no edit")),
    "it copies from beyond": Altered(change=lambda body: b"rs\x026\x54" + b"\xff" * 16 + b"\0"),
    "it claims 2^60 bytes": Altered(change=lambda body: b"rs\x026\x44" + (1 << 60).to_bytes(8, "big") + b"x"),
}


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("trouble", DOWNLOADS)
def test_a_bad_delta_is_noticed_and_the_whole_fetched(rig: SmartFileRig, trouble: str, noted: bool) -> None:
    rig.write("f", NEW)
    rig.double.misbehave("POST", "/sync/delta/", DOWNLOADS[trouble], times=2)
    found = source(rig, digest=blake3(NEW).digest() if noted else None)
    assert read(found, Held(OLD)) == NEW
    assert found.traffic is not None and found.traffic.method is Method.WHOLE


def test_an_old_content_that_is_edited_meanwhile_is_never_published(rig: SmartFileRig) -> None:
    rig.write("f", NEW)
    reads = [0]
    basis = Held(OLD)

    def edit() -> None:
        reads[0] += 1
        if reads[0] == 5:  # two to sum it, two to try the delta, two to apply it
            basis.data = os.urandom(len(OLD))

    basis.during = edit
    got: list[bytes] = []
    with pytest.raises(ChangedUnderUs):
        got.extend(source(rig).chunks(basis))
    assert sum(map(len, got)) < len(NEW)


def test_content_that_changes_at_the_service_meanwhile_is_not_published(rig: SmartFileRig) -> None:
    rig.write("f", NEW)
    found = source(rig)
    rig.write("f", edited(NEW, by=b"of another"))
    with pytest.raises(ChangedUnderUs):
        read(found, Held(OLD))


def test_blocks_grow_so_that_a_signature_stays_small() -> None:
    assert parameters(1 << 30).block_len == 2048 and parameters((1 << 30) + 1).block_len == 4096
    assert (parameters(5).strong_len, parameters(5).family.value) == (8, 0x72730136)
    assert ROOT.startswith("/")
