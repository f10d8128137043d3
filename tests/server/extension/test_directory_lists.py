"""The lists of directories that a server keeps for its clients: which stay, and how many."""

from __future__ import annotations

from hashlib import blake2b

from syncer.server.extension.context import PER_ROOT, DirectoryListCache
from syncer.wire.bounded_json import dumps
from syncer.wire.frames import Json


def listed(number: int) -> tuple[bytes, Json]:
    """A list of one directory, and its name."""
    given: Json = [[f"directory {number}", (b"%032d" % number).hex()]]
    return blake2b(dumps(given), digest_size=32).digest(), given


def size() -> int:
    """Of one of them, as it is kept; all are alike."""
    lists = DirectoryListCache()
    name, given = listed(1000)
    lists.keep("root", name, given)
    return lists.size


def test_of_one_root_a_few_lists_are_kept() -> None:
    """A client at work has another one after each run: they filled all of the room, 24 MiB."""
    lists = DirectoryListCache()
    for number in range(1000, 1100):
        lists.keep("root", *listed(number))
    assert lists.size == PER_ROOT * size()
    assert lists.get("root", listed(1099)[0]) is not None
    assert lists.get("root", listed(1000)[0]) is None


def test_a_root_at_work_pushes_out_no_other_roots_lists() -> None:
    lists = DirectoryListCache(100 * size())
    for number in range(1000, 1010):
        lists.keep("quiet", *listed(number))
    for number in range(2000, 2300):
        lists.keep("busy", *listed(number))
    assert all(lists.get("quiet", listed(number)[0]) is not None for number in range(1000, 1010))


def test_the_least_recently_asked_for_go_first() -> None:
    lists = DirectoryListCache(10 * size())
    for number in range(1000, 1020):
        lists.keep(f"root {number}", *listed(number))
        assert lists.get("root 1000", listed(1000)[0]) is not None
    assert lists.size <= 10 * size()
    assert lists.get("root 1001", listed(1001)[0]) is None
    assert lists.get("root 1019", listed(1019)[0]) is not None


def test_a_list_that_is_larger_than_all_the_room_is_kept_until_the_next_one() -> None:
    lists = DirectoryListCache(4)
    lists.keep("root", *listed(1000))
    assert lists.get("root", listed(1000)[0]) is not None
    assert lists.get("root", listed(1000)[0]) is not None


def test_a_list_that_is_sent_again_is_kept_once() -> None:
    lists = DirectoryListCache()
    for _ in range(3):
        lists.keep("root", *listed(1000))
        assert lists.size == size()
        lists.get("root", listed(1000)[0])
        assert lists.size == size()
