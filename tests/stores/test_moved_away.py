"""A directory is moved while content for it is on its way, as by another client of the same server.

What was made in it is out of the put's reach then, and must not keep the directory from being deleted.
"""

from __future__ import annotations

from syncer.clock import SystemClock
from syncer.engine.model import Done, Stale
from syncer.server.folder import Key, ServedFolder
from tests.contract.doubles import BytesSource
from tests.contract.rigs import FolderRig, in_order
from tests.stores.partials import TOKEN, temporaries


def moved_away(rig: FolderRig) -> None:
    """A put into `d`, which became `was-d` before the content could be named."""
    rig.mkdir("d")
    rig.mkdir("e")

    def move() -> None:
        (rig.root / "d").rename(rig.root / "was-d")

    later = BytesSource(b"later", during=move)
    outcomes = rig.put_all([rig.item("d/f", b"x", token=TOKEN), rig.item("e/g", b"later", source=later)])
    assert [type(outcome) for outcome in outcomes] == [Stale, Done]
    assert len(temporaries(rig)) == 1


def test_content_that_lost_its_directory_does_not_keep_it_from_going(rig: FolderRig) -> None:
    moved_away(rig)
    assert isinstance(in_order(rig.store.remove_directories(["was-d"]), 1)[0], Done)
    assert not (rig.root / "was-d").exists() and temporaries(rig) == []


def test_all_stores_of_a_server_know_of_it(rig: FolderRig) -> None:
    served = ServedFolder(rig.root, rig.root.parent, clock=SystemClock())
    with served.store(Key(name="one")) as rig.store:
        moved_away(rig)
    (rig.root / "below").mkdir()
    (rig.root / "was-d").rename(rig.root / "below" / "d")
    with served.store(Key(name="two", under="below")) as store:
        assert isinstance(in_order(store.remove_directories(["d"]), 1)[0], Done)
    assert served.abandoned == {}
    served.close()


def test_what_is_something_else_by_now_stays(rig: FolderRig) -> None:
    moved_away(rig)
    [name] = temporaries(rig)
    (rig.root / "was-d" / name).write_bytes(b"somebody wrote into it")
    assert isinstance(in_order(rig.store.remove_directories(["was-d"]), 1)[0], Stale)
    assert (rig.root / "was-d" / name).read_bytes() == b"somebody wrote into it"


def test_what_another_put_makes_there_now_stays(rig: FolderRig) -> None:
    moved_away(rig)
    outcomes = []

    def remove() -> None:
        outcomes.extend(in_order(rig.store.remove_directories(["was-d"]), 1))

    item = rig.item("was-d/h", b"content", source=BytesSource(b"content", during=remove))
    assert isinstance(rig.put_all([item])[0], Done)
    assert isinstance(outcomes[0], Stale) and rig.read("was-d/h") == b"content"
