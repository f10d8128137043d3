"""Downloads that end early, whose address is over, whose range is or is not heeded, that change meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.engine.model import Method
from syncer.errors import ChangedUnderUs, NotFound, PermanentError, TransientError, Unreadable
from tests.contract.orange_rig import OrangeRig
from tests.doubles.faults import Altered, Answer, Cut
from tests.doubles.orange import Options

DATA = bytes(range(256)) * 4096  # 1 MiB
CONTENT = "^/content/v1/files/.*/content/"


@dataclass(frozen=True)
class Part:
    """The beginning of the content, left by a transfer that was broken off."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def start(self) -> int:
        return len(self.data)

    digest = None
    older = None

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def opened(rig: OrangeRig) -> object:
    rig.write("f", DATA)
    rig.double.log.clear()
    return rig.store.open("f", rig.entry("f"))


def take(chunks: Iterable[bytes], into: bytearray) -> None:
    for chunk in chunks:
        into += chunk


def read(source: object, basis: object = None) -> bytes:
    return b"".join(source.chunks(basis))  # type: ignore[attr-defined]


@pytest.mark.parametrize("ranges", [False, True])
def test_a_download_that_ends_early_is_gone_on_with(tmp_path: Path, ranges: bool) -> None:
    rig = OrangeRig(tmp_path, Options(ranges=ranges))
    source = opened(rig)
    rig.double.misbehave("GET", CONTENT, Cut(after=700_000))
    assert read(source) == DATA
    [first, second] = rig.double.asked("GET", CONTENT)
    assert "range" not in first.headers and second.headers["range"].startswith("bytes=")
    assert source.traffic.method is Method.WHOLE  # type: ignore[attr-defined]
    over = source.traffic.received - len(DATA)  # type: ignore[attr-defined]
    assert over == 0 if ranges else over > 0
    rig.store.close()


@pytest.mark.parametrize("ranges", [False, True])
def test_what_is_here_already_is_not_handed_out_again(tmp_path: Path, ranges: bool) -> None:
    rig = OrangeRig(tmp_path, Options(ranges=ranges))
    source = opened(rig)
    assert read(source, Part(DATA[:300_000])) == DATA[300_000:]
    assert source.entry.digest == blake3(DATA).digest()  # type: ignore[attr-defined]
    assert source.traffic.received == (len(DATA) - 300_000 if ranges else len(DATA))  # type: ignore[attr-defined]
    rig.store.close()


def test_a_part_that_is_no_beginning_of_it_publishes_nothing_where_the_digest_is_known(
    rig: OrangeRig,
) -> None:
    rig.put("f", DATA)
    source, got = rig.store.open("f", rig.entry("f")), bytearray()
    with pytest.raises(ChangedUnderUs):
        take(source.chunks(Part(b"other" * 1000)), got)  # type: ignore[arg-type]
    assert len(got) < len(DATA) - 5000


def test_a_download_that_never_comes_to_an_end_is_given_up(rig: OrangeRig) -> None:
    source = opened(rig)
    rig.double.misbehave("GET", CONTENT, Cut(after=0), times=None)
    with pytest.raises(TransientError):
        read(source)
    assert len(rig.clock.slept) == 4 and len(rig.double.asked("GET", CONTENT)) == 5


@pytest.mark.parametrize("status", [403, 404])
def test_an_address_that_is_over_is_asked_for_anew(tmp_path: Path, status: int) -> None:
    rig = OrangeRig(tmp_path, Options(url_status=status))
    source = opened(rig)
    body = json.dumps({"code": 50 if status == 403 else 60, "message": "Link expired"}).encode()
    rig.double.misbehave("GET", CONTENT, Answer(status=status, body=body), times=2)
    assert read(source) == DATA
    assert len({request.path for request in rig.double.asked("GET", CONTENT)}) == 3
    rig.store.close()


def test_addresses_that_hold_for_a_moment_do(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path, Options(url_seconds=15.0))
    for _ in range(3):
        assert read(opened(rig)) == DATA
    rig.store.close()


def test_content_on_a_foreign_host_is_not_asked_for(rig: OrangeRig) -> None:
    source = opened(rig)

    def elsewhere(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "downloadUrl": "http://127.0.0.1:9/files/x"}).encode()

    rig.double.misbehave("GET", "/files/", Altered(change=elsewhere), times=None)
    with pytest.raises(Unreadable) as found:
        read(source)
    assert "content_url" in found.value.hint and rig.double.asked("GET", CONTENT) == []


def test_a_redirect_is_not_followed_with_credentials(rig: OrangeRig) -> None:
    source = opened(rig)
    away = Answer(status=302, headers={"location": f"{rig.double.content_url}/other"})
    rig.double.misbehave("GET", CONTENT, away, times=None)
    with pytest.raises(PermanentError):
        read(source)
    assert rig.double.asked("GET", "/other") == []


def test_more_than_was_announced_is_not_taken(rig: OrangeRig) -> None:
    source = opened(rig)
    rig.double.misbehave("GET", CONTENT, Altered(change=lambda body: body + b"more"), times=None)
    with pytest.raises(ChangedUnderUs):
        read(source)


def test_other_bytes_of_the_right_length_are_found_out_where_the_digest_is_on_record(rig: OrangeRig) -> None:
    rig.put("f", DATA)
    source, got = rig.store.open("f", rig.entry("f")), bytearray()
    flipped = Altered(change=lambda body: body[:-1] + b"?")
    rig.double.misbehave("GET", CONTENT, flipped, times=None)
    with pytest.raises(ChangedUnderUs):
        take(source.chunks(), got)
    assert len(got) < len(DATA)


def test_a_digest_learnt_once_is_on_record_for_the_next_run(rig: OrangeRig) -> None:
    read(opened(rig))
    rig.orange.close()
    again = rig.opened("cache")
    [entry] = again.list("").entries.values()
    assert entry.digest == blake3(DATA).digest()  # type: ignore[union-attr]
    rig.double.log.clear()
    [seen] = again.with_digests([("f", entry)])  # type: ignore[list-item]
    assert seen == entry and rig.double.asked("GET", CONTENT) == []
    other = rig.opened("another")
    assert other.stat("f").digest is None  # type: ignore[union-attr]
    for store in (again, other):
        store.close()


def test_a_file_that_is_gone_is_not_found(rig: OrangeRig) -> None:
    source = opened(rig)
    rig.remove("f")
    with pytest.raises(NotFound):
        read(source)
