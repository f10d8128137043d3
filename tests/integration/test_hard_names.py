"""Names that are legal and hard: synced byte by byte, printed escaped, never merged, never outside."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from syncer.engine import sync
from syncer.engine.gitignore import compile_rules
from syncer.engine.interfaces import Capabilities
from syncer.engine.model import Policy
from syncer.engine.report import RunReport
from syncer.state import open_state
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from syncer.testing.memory_store import MemoryStore
from tests.simulation.machines import TAG, FastClock, Silent
from tests.world import SIDES, World, call

HARD = {
    "newline": b"two\nlines",
    "escape": b"red \x1b[31m alert",
    "bell and delete": b"\x07\x7f",
    "carriage return": b"over\rwritten",
    "not UTF-8": b"caf\xe9",
    "lone surrogate bytes": b"\xed\xa0\x80",
    "bidi": "a\u202etxt.exe".encode(),
    "blank": b" ",
    "leading and trailing blanks": b"  x  ",
    "trailing dot": b"x.",
    "reserved elsewhere": b"CON",
    "backslash": b"a\\b",
    "colon": b"a:b",
    "glob": b"*?[x]",
    "dash": b"--delete",
    "tilde": b"~root",
    "quotes": b"'\"`$(x)",
    "three dots": b"...",
    "255 bytes": b"x" * 255,
    "255 bytes of UTF-8": "ä".encode() * 127 + b"y",
    "like ours, but not": b".syncer-temporary",
    "percent": b"%2e%2e%2f",
}


def put(world: World, side: str, name: bytes, data: bytes) -> bytes:
    place = os.fsencode(world.path(side)) + b"/" + name
    with open(place, "wb") as file:
        file.write(data)
    return place


@pytest.mark.parametrize("name", HARD.values(), ids=HARD.keys())
@pytest.mark.parametrize("side", SIDES)
def test_a_hard_name_crosses_is_edited_and_is_deleted_as_it_is(world: World, side: str, name: bytes) -> None:
    other = "remote" if side == "local" else "local"
    world.write("local/anchor", "so that no side is empty")
    place = put(world, side, name, b"first")
    assert world.sync().code == 0
    assert name in os.listdir(os.fsencode(world.path(other)))
    twin = put(world, other, name, b"second, edited on the other side")
    assert world.sync().code == 0
    with open(place, "rb") as file:
        assert file.read() == b"second, edited on the other side"
    os.unlink(twin)
    assert world.sync().code == 0
    assert not os.path.lexists(place)
    world.settle()


@pytest.mark.parametrize("name", HARD.values(), ids=HARD.keys())
def test_a_hard_name_in_conflict_gets_a_copy_whose_name_fits(world: World, name: bytes) -> None:
    """Also where the name leaves no room for the mark: the copy's name is cut, the original's is not."""
    put(world, "local", name, b"here")
    put(world, "remote", name, b"there")
    ran = world.sync()
    assert ran.code == 0, ran
    assert world.equal()
    side = world.side("local")
    assert {node.data for node in side.values()} == {b"here", b"there"}
    assert len(side) == 2
    assert os.fsdecode(name) in side
    (copy,) = side.keys() - {os.fsdecode(name)}
    assert ".sync-conflict-" in copy
    assert len(os.fsencode(copy)) <= 255
    world.settle()


def test_a_name_of_250_bytes_with_an_extension_keeps_the_extension_in_its_copy(world: World) -> None:
    name = b"n" * 246 + b".txt"
    put(world, "local", name, b"here")
    put(world, "remote", name, b"there")
    assert world.sync().code == 0
    (copy,) = world.side("local").keys() - {os.fsdecode(name)}
    assert copy.endswith(".txt")


def test_every_hard_name_as_a_directory_with_something_in_it(world: World) -> None:
    for name in HARD.values():
        os.mkdir(os.fsencode(world.path("local")) + b"/" + name)
        put(world, "local", name + b"/in side", name)
    assert world.sync().code == 0
    assert world.equal()
    world.settle()


def test_no_control_character_of_a_name_reaches_the_terminal(world: World) -> None:
    for name in HARD.values():
        put(world, "local", name, b"content")
    for words in (("plan",), ("sync",), ("status",), ("history",), ("check",)):
        ran = call(*world.words(*words))
        for stream in (ran.out, ran.err):
            stray = [char for char in stream if unicodedata.category(char) in ("Cc", "Cf") and char != "\n"]
            assert stray == [], f"{words}: {stray!r}"
        assert "two\nlines" not in ran.out + ran.err


def test_the_document_holds_every_name_so_that_it_can_be_read_back(world: World) -> None:
    for name in HARD.values():
        put(world, "local", name, b"content")
    ran = world.sync()
    assert ran.out.isascii()
    told = {os.fsencode(a["path"]) for a in json.loads(ran.out)["jobs"][0]["actions"]}
    assert told == set(HARD.values())


def test_case_and_unicode_twins_are_four_files_where_the_disk_tells_them_apart(world: World) -> None:
    names = ["readme", "README", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")]
    for number, name in enumerate(names):
        world.write(f"local/{name}", f"content {number}")
    assert world.sync().code == 0
    assert {world.read(f"remote/{name}") for name in names} == {f"content {n}".encode() for n in range(4)}
    world.path("remote/README").rename(world.path("remote/ReadMe"))
    assert world.sync().code == 0
    assert set(os.listdir(world.path("local"))) - {".syncer"} == {"readme", "ReadMe", *names[2:]}
    world.settle()


class TestASideThatFolds:
    """A folder here and a store that does not tell case nor Unicode form apart."""

    @pytest.fixture
    def folding(self) -> MemoryStore:
        return MemoryStore(able=Capabilities(folds_case=True, folds_form=True))

    def run(self, home: Path, remote: MemoryStore) -> RunReport:
        """One run of the engine, a bound memory and all."""
        clock = FastClock()
        (home / "local").mkdir(exist_ok=True)
        local = FolderStore(str(home / "local"), fs=FileSystem(), clock=clock, tag=TAG)
        with open_state(home / "state") as state:
            pair = sync.SyncContext(
                local=local,
                remote=remote,
                memory=state.memory,
                policy=Policy(),
                clock=clock,
                reporter=Silent(),
                compiler=compile_rules,
                workers=1,
            )
            report = sync.sync(pair)
        local.close()
        return report

    @pytest.mark.parametrize(
        ("one", "other"), [("readme", "README"), (unicodedata.normalize("NFC", "é"), "e\u0301")]
    )
    def test_of_two_twins_one_is_synced_and_the_other_reported_and_kept(
        self, tmp_path: Path, folding: MemoryStore, one: str, other: str
    ) -> None:
        (tmp_path / "local").mkdir()
        (tmp_path / f"local/{one}").write_text("one")
        (tmp_path / f"local/{other}").write_text("other")
        for _ in range(3):
            report = self.run(tmp_path, folding)
            assert report.exit_code == 1
            assert {p.code for p in report.problems} == {"clash"}
            assert (tmp_path / f"local/{one}").read_text() == "one"
            assert (tmp_path / f"local/{other}").read_text() == "other"
            assert len(folding.list("").entries) == 1
        (clash,) = report.problems
        (tmp_path / f"local/{clash.path}").rename(tmp_path / "local/another name")
        assert self.run(tmp_path, folding).exit_code == 0
        assert len(folding.list("").entries) == 2


def test_private_names_are_never_synced(world: World) -> None:
    world.write("local/.syncer-tmp-0123456789abcdef", "somebody's temporary file")
    world.write("local/d/.syncer/inside", "only the one at the root is private")
    world.write("remote/.syncer/own", "private")
    assert world.sync().code in (0, 1)
    assert not world.path("remote/.syncer-tmp-0123456789abcdef").exists()
    assert not world.path("local/.syncer/own").exists()


@pytest.mark.parametrize("twin", [".Syncer", ".SYNCER", ".ſyncer"])
def test_a_twin_of_a_private_name_is_reported_and_never_written(world: World, twin: str) -> None:
    world.write(f"remote/{twin}", "looks like ours")
    world.write("remote/other", "goes on")
    ran = world.sync()
    assert (ran.code, ran.codes) == (1, {"unsafe-name"}), ran
    assert not world.path(f"local/{twin}").exists()
    assert world.read("local/other") == b"goes on"
