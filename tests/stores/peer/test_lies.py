"""What only a liar would say: it ends as an error of ours, never as a mistake in the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from syncer.engine.interfaces import RenameRequest
from syncer.engine.model import Done
from syncer.errors import ChangedUnderUs, PermanentError, TransientError
from syncer.stores.peer.store import PeerStore
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from syncer.wire.frames import End, Head
from tests.contract.doubles import SteppingClock
from tests.stores.peer.test_hostile_server import content, entry, framed, item, lines, outcome, store

ASK = [Head({"index": 0, "size": 0, "encoding": "ask"}), End({})]


def test_a_question_in_the_place_of_an_empty_file_is_no_content(tmp_path: Path) -> None:
    peer, _ = store(tmp_path, fetch=framed(*ASK))
    with pytest.raises((ChangedUnderUs, PermanentError)):
        list(peer.open("f", entry(b"")).chunks())


def test_a_question_in_a_stream_of_many_is_no_content(tmp_path: Path) -> None:
    peer, _ = store(tmp_path, fetch=framed(*ASK, *content(b"x", index=1)))
    first, _ = peer.open_many([("f", entry(b"")), ("g", entry(b"x"))])
    with pytest.raises((ChangedUnderUs, PermanentError)):
        list(first.chunks())


def test_a_delta_that_nobody_asked_for_is_no_content(tmp_path: Path) -> None:
    peer, _ = store(tmp_path, fetch=framed(*content(b"abc", encoding="delta")))
    with pytest.raises((ChangedUnderUs, PermanentError)):
        list(peer.open("f", entry(b"abc")).chunks())


@pytest.mark.parametrize("call", ["put", "rename"])
def test_an_outcome_that_comes_twice_counts_once(tmp_path: Path, call: str) -> None:
    done = outcome(Done(entry=entry(b"x")))
    peer, _ = store(tmp_path, put=[lines(), lines(done, done)], rename=lines(done, done))
    rename = RenameRequest(origin="a", path="b", expected=entry(b"x"))
    results = peer.put([item(b"x")]) if call == "put" else peer.rename([rename])
    try:
        assert [at for at, _ in results] == [0]
    except PermanentError:
        pass  # a refusal of the whole answer does as well


@dataclass
class StrictClock(SteppingClock):
    """Takes no pause that the system would not take."""

    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        assert 0 <= seconds <= 60
        self.pauses.append(seconds)


@pytest.mark.parametrize("after", [b"-1", b"NaN", b"1e999", b"-1e999"])
def test_no_pause_is_too_long_or_none_at_all(tmp_path: Path, after: bytes) -> None:
    told = b'{"error":{"code":"transient","message":"later","retry_after":' + after + b"}}"
    peer, scripted = store(tmp_path, hello=(503, told))
    scripted.clock = clock = StrictClock()
    peer = PeerStore(scripted, "root", cache=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(TransientError) as found:
        _ = peer.capabilities
    if after == b"1e999":  # longer than a run waits: at once, and the time is named
        assert not clock.pauses and "asks to wait" in str(found.value)
    else:
        assert clock.pauses


@pytest.mark.parametrize("name", ["\ud800", "a\udfff", "x\ud83d"])
def test_a_name_that_no_disk_can_spell_is_malformed(tmp_path: Path, name: str) -> None:
    there = [None, {name: schema.entry_out(entry(b"x"))}, []]
    for answer in (lines(["", there]), lines(["", [None, {}, []]], [name, [None, {}, []]])):
        peer, _ = store(tmp_path, tree=answer)
        scan = peer.scan([])
        with pytest.raises(PermanentError):
            [scan.list(directory) for directory in ("", name)]


def shown(**lies: Json) -> Json:
    """An entry of a symlink with something wrong."""
    names = ("kind", "size", "version", "mtime_ns", "executable", "digest", "target", "trusted")
    right = {"kind": 3, "size": 1, "version": "aa", "mtime_ns": 0, "executable": None, "digest": None}
    return [{**right, "target": "a", "trusted": True, **lies}[name] for name in names]


@pytest.mark.parametrize(
    "lie",
    [
        {"mtime_ns": 1 << 63},
        {"mtime_ns": -(1 << 63) - 1},
        {"mtime_ns": 10**300},
        {"target": "a\0b"},
        {"target": "\ud800"},
    ],
    ids=lambda lie: str(lie)[:30],
)
def test_what_no_disk_can_hold_is_malformed(tmp_path: Path, lie: dict[str, Json]) -> None:
    wrong = shown(**lie)
    done = lines([0, ["done", wrong, "none"]])
    there = lines(["", [None, {"f": wrong}, []]])
    peer, _ = store(tmp_path, look=lines(wrong), list=there, tree=there, rename=done)
    rename = RenameRequest(origin="a", path="b", expected=entry(b"x"))
    for ask in (lambda: peer.stat("f"), lambda: peer.list(""), lambda: list(peer.rename([rename]))):
        with pytest.raises(PermanentError):
            ask()


def test_a_content_with_an_impossible_time_is_not_taken(tmp_path: Path) -> None:
    *most, end = content(b"x")
    told = {**end.fields, "entry": shown(kind=1, mtime_ns=1 << 63, target=None)}  # type: ignore[union-attr]
    peer, _ = store(tmp_path, fetch=framed(*most, End(told)))
    with pytest.raises(PermanentError):
        list(peer.open("f", entry(b"x")).chunks())


def test_the_farthest_times_and_odd_bytes_are_taken(tmp_path: Path) -> None:
    answers = [shown(mtime_ns=(1 << 63) - 1), shown(mtime_ns=-(1 << 63)), shown(target="\udcff")]
    peer, _ = store(tmp_path, look=[lines(answer) for answer in answers])
    for answer in answers:
        assert schema.entry_out(peer.stat("f")) == answer  # type: ignore[arg-type]
