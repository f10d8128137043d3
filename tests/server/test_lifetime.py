"""The server's life: killed, stopped, raced for one name in the middle; nothing is torn or lost."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from syncer.clock import SystemClock, Uptime
from syncer.engine.interfaces import DeleteRequest, WriteRequest
from syncer.engine.model import Done, Entry, Kind, Stale
from syncer.errors import Busy, NotFound, Unholdable
from syncer.server.extension import Extension
from syncer.server.extension.queries import list_
from syncer.server.extension.request import CallRequest
from syncer.server.folder import IDLE, Key, ServedFolder, checked
from syncer.server.maintenance import Maintenance
from syncer.server.request_body import FormFile
from syncer.server.state_dir import StateDirLock, default_state
from syncer.server.trash_ages import LOOKS
from syncer.stores.local import stat, trash_deltas, trash_restore
from syncer.stores.local.trash import LARGE
from tests.contents import noise
from tests.server.clocks import Moved
from tests.server.conftest import Serving, eventually, run, serving
from tests.server.raw import authorization, connect, received, status

SIZE = 3 << 20


def test_a_server_killed_during_uploads_leaves_old_or_new_content_and_the_next_one_sweeps(
    tmp_path: Path,
) -> None:
    contents = {bytes([i]) * SIZE for i in range(4)}
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(bytes([0]) * SIZE)
    for turn in range(4):
        with serving(tmp_path / "folder", state=tmp_path / "state") as server:
            eventually(lambda server=server: server.names() == ["file"])
            threads = [
                threading.Thread(target=_upload_over_and_over, args=(server, turn)) for turn in (1, 2, 3)
            ]
            for thread in threads:
                thread.start()
            _await_answers(server, 3 + 2 * turn)
            server.process.kill()
            for thread in threads:
                thread.join()
            assert (server.folder / "file").read_bytes() in contents
    with serving(tmp_path / "folder", state=tmp_path / "state") as server:
        eventually(lambda: server.names() == ["file"])


def _await_answers(server: Serving, count: int) -> None:
    """So far into its work, a kill meets the server at any point of it: the clients never pause."""
    eventually(lambda: len([line for line in server.log if '"method"' in line]) >= count)


def refuses(server: Serving) -> bool:
    """Whether it takes no new connections any more."""
    try:
        connect(server).close()
    except OSError:
        return True
    return False


def _upload_over_and_over(server: Serving, number: int) -> None:
    try:
        while True:
            server_url = server.url + "api/3/path/data/file"
            requests.put(server_url, bytes([number]) * SIZE, auth=(server.key, server.password), timeout=20)
    except requests.RequestException:
        return


A, B = b"A" + bytes(SIZE), b"B" * 1000 + bytes(SIZE)


def test_a_server_killed_during_patches_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    _kill_during_patches(tmp_path, 3)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_server_killed_a_hundred_times_during_patches_never_leaves_a_torn_file(tmp_path: Path) -> None:
    _kill_during_patches(tmp_path, 100)


def _kill_during_patches(tmp_path: Path, times: int) -> None:
    chance = random.Random(times)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(A)
    to_a = _delta(b"A", len(B), 1000)
    to_b = _delta(b"B" * 1000, len(A), 1)
    seen, patched = set(), 0
    for _ in range(times):
        with serving(tmp_path / "folder", state=tmp_path / "state") as server:
            patcher = threading.Thread(target=_patch_over_and_over, args=(server, to_a, to_b))
            patcher.start()
            _await_answers(server, chance.randrange(2, 12))
            server.process.kill()
            patcher.join()
            content = (server.folder / "file").read_bytes()
            assert content in (A, B)
            seen.add(content[:1])
        patched += sum("/sync/patch/" in line and '"status": 200' in line for line in server.log)
    assert patched > times // 2
    assert seen == {b"A", b"B"} or times < 10


def _delta(head: bytes, basis: int, skip: int) -> bytes:
    """Another head before what stands after the old one."""
    literal = b"\x42" + struct.pack(">H", len(head)) + head
    copy = b"\x53" + struct.pack(">QI", skip, basis - skip)
    return bytes.fromhex("72730236") + literal + copy + b"\0"


def _patch_over_and_over(server: Serving, to_a: bytes, to_b: bytes) -> None:
    """What each delta makes of the content that it is not for is refused by its version."""
    url, auth = server.url + "api/2/path/sync/patch/file", (server.key, server.password)
    try:
        while True:
            head = server.get("api/2/path/data/file", headers={"Range": "bytes=0-0"})
            delta = to_b if head.content == b"A" else to_a
            condition = {"If-Match": head.headers["etag"]}
            requests.post(url, files={"delta": delta}, auth=auth, headers=condition, timeout=20)
    except (requests.RequestException, KeyError):
        return


def test_of_many_conditional_writers_one_wins(server: Serving) -> None:
    tag = server.put("api/3/path/data/a", b"old").headers["etag"]

    def write(number: int) -> int:
        answer = server.put("api/3/path/data/a", str(number).encode() * 100_000, headers={"If-Match": tag})
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(write, range(8)))
    assert sorted(statuses) == [200] + [412] * 7
    winner = statuses.index(200)
    assert (server.folder / "a").read_bytes() == str(winner).encode() * 100_000
    assert b"old" in server.kept()
    assert server.names() == ["a"]


def test_of_many_writers_without_conditions_none_tears_and_none_is_lost_silently(server: Serving) -> None:
    def write(number: int) -> int:
        return server.put("api/3/path/data/a", str(number).encode() * 100_000).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(write, range(8)))
    assert set(statuses) <= {200, 201, 409}
    written = {str(n).encode() * 100_000 for n, code in enumerate(statuses) if code != 409}
    assert written == {(server.folder / "a").read_bytes(), *(k for k in server.kept() if k)}


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_it_and_lets_a_request_end(server: Serving, signum: int, code: int) -> None:
    head = f"PUT /api/3/path/data/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n{authorization(server)}\r\n"
    with connect(server) as sock:
        sock.sendall(head.encode() + b"12345")
        eventually(lambda: any(".syncer-tmp-" in name for name in server.names()))
        server.process.send_signal(signum)
        eventually(lambda: refuses(server))
        sock.sendall(b"67890")
        assert status(received(sock)) == 201
    assert server.process.wait(20) == code
    assert (server.folder / "a").read_bytes() == b"1234567890"


def test_a_request_that_never_ends_does_not_keep_a_stopped_server(server: Serving) -> None:
    head = f"PUT /api/3/path/data/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n{authorization(server)}\r\n"
    with connect(server) as sock:
        sock.sendall(head.encode() + b"12345")
        eventually(lambda: any(".syncer-tmp-" in name for name in server.names()))
        began = time.monotonic()
        assert server.stop() == 143
        assert time.monotonic() - began < 15
    assert server.names() == [] and not any("Traceback" in line for line in server.log)


def test_a_second_signal_ends_it_at_once(server: Serving) -> None:
    head = f"PUT /api/3/path/data/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n{authorization(server)}\r\n"
    with connect(server) as sock:
        sock.sendall(head.encode() + b"12345")
        eventually(lambda: any(".syncer-tmp-" in name for name in server.names()))
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(server))
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 143
        assert time.monotonic() - began < 2


def test_an_upload_that_breaks_off_leaves_nothing(server: Serving) -> None:
    (server.folder / "a").write_bytes(b"old")
    form = "Content-Type: multipart/form-data; boundary=X\r\n"
    for head in (
        "PUT /api/3/path/data/a HTTP/1.1\r\nContent-Length: 1000000\r\n",
        "PUT /api/3/path/data/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        f"POST /api/2/path/data/ HTTP/1.1\r\nContent-Length: 99999\r\n{form}",
    ):
        with connect(server) as sock:
            sock.sendall(f"{head}Host: x\r\n{authorization(server)}\r\n".encode() + b"ffff\r\n" + b"x" * 9000)
    eventually(lambda: len([line for line in server.log if "/path/data/" in line]) == 3)
    assert server.names() == ["a"]
    assert (server.folder / "a").read_bytes() == b"old"


def test_a_file_that_changes_while_it_is_sent_ends_short(server: Serving) -> None:
    file = server.folder / "a"
    file.write_bytes(b"1" * (64 << 20))
    with connect(server) as sock:
        request = (
            f"GET /api/2/path/data/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization(server)}\r\n"
        )
        sock.sendall(request.encode())
        first = sock.recv(1000)
        with file.open("r+b") as again:
            again.seek(-5, os.SEEK_END)
            again.write(b"22222")
        body = (first + received(sock)).partition(b"\r\n\r\n")[2]
    assert len(body) < 64 << 20
    assert b"2" not in body
    assert eventually(lambda: [line for line in server.log if "changed while it was read" in line])


def test_two_servers_cannot_have_one_folder(server: Serving) -> None:
    done = run("serve", str(server.folder), "--state", str(server.state), "--listen", "127.0.0.1:0", "--json")
    assert done.returncode == 6, done.stderr
    assert json.loads(done.stdout)["error"]["exit"] == 6
    with pytest.raises(Busy):
        StateDirLock(server.state)


# -- the served folder, in this process --------------------------------------------


@pytest.fixture
def moved() -> Moved:
    return Moved()


def served_in(tmp_path: Path, clock: Moved | SystemClock) -> ServedFolder:
    for name in ("folder", "state"):
        (tmp_path / name).mkdir(exist_ok=True)
    return ServedFolder(tmp_path / "folder", tmp_path / "state", clock=clock)


ALL = Key(name="all")


def put(served: ServedFolder, path: str, content: bytes, below: str = "") -> None:
    with served.store(ALL, below) as store:
        item = WriteRequest(
            path=path,
            kind=Kind.FILE,
            source=FormFile([content], len(content)),
            size=len(content),
            expected=None,
        )
        [(_, outcome)] = store.put([item])
        assert isinstance(outcome, Done), outcome


def test_stores_are_shared_and_closed_when_idle(tmp_path: Path, moved: Moved) -> None:
    served = served_in(tmp_path, moved)
    (tmp_path / "folder/a").mkdir()
    with served.store(ALL, "a") as one, served.store(Key(name="a", under="a")) as other:
        assert one is other
        moved.pass_(IDLE + 1)
        served.close_idle()
        assert one.list("").entries == {}, "in use, so still open"
    open_before = len(os.listdir("/proc/self/fd"))
    moved.pass_(IDLE + 1)
    served.close_idle()
    assert len(os.listdir("/proc/self/fd")) < open_before
    served.close()


def test_a_directory_exchanged_for_another_gets_another_store(tmp_path: Path) -> None:
    served = served_in(tmp_path, SystemClock())
    (tmp_path / "folder/a").mkdir()
    with served.store(ALL, "a") as first:
        (tmp_path / "folder/a").rename(tmp_path / "folder/b")
        (tmp_path / "folder/a").mkdir()
        put(served, "x", b"new", "a")
        assert first.list("").entries == {}
    assert (tmp_path / "folder/a/x").read_bytes() == b"new"
    assert not (tmp_path / "folder/b/x").exists()
    (tmp_path / "folder/b").rename(tmp_path / "folder/c")
    (tmp_path / "folder/link").symlink_to(tmp_path)
    for missing in ("b", "link", "link/folder", "a/x"):
        with pytest.raises(NotFound), served.store(ALL, missing):
            raise AssertionError(missing)
    served.close()


def test_a_store_is_bound_to_the_folder_that_was_opened(tmp_path: Path) -> None:
    """The folder's own path is looked up once: later it may lead anywhere."""
    served = served_in(tmp_path, SystemClock())
    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    (tmp_path / "folder").symlink_to("/etc")
    with served.store(ALL) as store:
        assert store.list("").entries == {}
    put(served, "x", b"1")
    assert (tmp_path / "elsewhere/x").read_bytes() == b"1"
    served.close()


@pytest.mark.parametrize(
    "path", ["..", "a/..", "/a", "a//b", "a/", ".", "a\0", "a\\..\\b", ".syncer", "\ud800", "x" * 256]
)
def test_a_path_that_may_not_be_named_opens_nothing(tmp_path: Path, path: str) -> None:
    served = served_in(tmp_path, SystemClock())
    with pytest.raises(Unholdable):
        checked(path)
    with pytest.raises(Unholdable), served.store(ALL, path):
        raise AssertionError(path)
    served.close()


def test_a_digest_is_computed_once_for_a_version(tmp_path: Path) -> None:
    from blake3 import blake3

    served = served_in(tmp_path, SystemClock())
    file = tmp_path / "folder/a"
    file.write_bytes(b"abc")
    os.utime(file, (1, 1))
    with served.store(ALL) as store:
        entry = eventually(lambda: (found := store.stat("a")) and found.trusted and found)
        assert served.digest_of(store, "a", entry).digest == blake3(b"abc").digest()
        assert served.digests.find("a", entry.version) == blake3(b"abc").digest()
        assert served.digests.of_directory("") == {b"a": (entry.version, blake3(b"abc").digest())}
        assert served.digests.find("a", b"other") is None
    served.close()


def test_digests_of_names_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """Rows were for ever: a folder of temporary names made the table grow with each of them."""
    served = served_in(tmp_path, SystemClock())
    (tmp_path / "folder/kept").mkdir()
    (tmp_path / "folder/kept/here").write_bytes(b"1")
    rows = [(path, b"v", bytes(32)) for path in ("kept/here", "kept/gone", "gone/a", "gone/deep/b", "a")]
    served.digests.keep(rows)
    assert sorted(served.digests.directories()) == ["", "gone", "gone/deep", "kept"]
    assert Maintenance(served, trash_days=1).prune() == 2
    assert sorted(served.digests.directories()) == ["", "kept"]
    call = CallRequest(
        served=served, shared=Extension(served).shared, key=ALL, root="", body=[b'{"paths":["kept",""]}']
    )
    assert list(list_(call).pieces)[-1] == b'"end"\n'
    assert served.digests.find("kept/here", b"v") == bytes(32)
    assert served.digests.find("kept/gone", b"v") is None
    assert sorted(served.digests.directories()) == ["kept"]
    served.close()


def test_names_that_are_gone_are_forgotten_where_no_listing_does_it(tmp_path: Path) -> None:
    """A listing does not look at very many rows."""
    served = served_in(tmp_path, SystemClock())
    (tmp_path / "folder/d").mkdir()
    for name in ("here", "zz"):
        (tmp_path / "folder/d" / name).write_bytes(b"1")
    served.digests.keep((f"d/gone-{number}", b"v", bytes(32)) for number in range(6000))
    served.digests.keep([("d/here", b"v", bytes(32)), ("d/zz", b"v", bytes(32))])
    assert served.digests.of_directory("d") is None
    assert Maintenance(served, trash_days=1).prune() == 0
    assert served.digests.of_directory("d") == {name: (b"v", bytes(32)) for name in (b"here", b"zz")}
    assert served.digests.of_names("d", [b"here", b"gone-5"]) == {b"here": (b"v", bytes(32))}
    served.close()


def test_a_damaged_cache_of_digests_is_thrown_away(tmp_path: Path) -> None:
    served_in(tmp_path, SystemClock()).close()
    (tmp_path / "state/digests.sqlite").write_bytes(b"no database" * 1000)
    served = served_in(tmp_path, SystemClock())
    served.digests.keep([("a", b"v", b"d")])
    assert served.digests.find("a", b"v") == b"d"
    served.close()


def test_a_trash_batch_does_not_outlive_its_hour_and_is_emptied_by_age(tmp_path: Path, moved: Moved) -> None:
    served = served_in(tmp_path, moved)
    day = 86_400.0

    def remove(name: str) -> None:
        (tmp_path / "folder" / name).write_bytes(name.encode())
        with served.store(ALL) as store:
            entry = store.stat(name)
            assert entry is not None
            [(_, outcome)] = store.delete([DeleteRequest(path=name, expected=entry)])  # type: ignore[arg-type]
            assert isinstance(outcome, Done), outcome

    up = 0.0
    upkeep = Maintenance(served, trash_days=30, uptime=lambda: Uptime(boot="one", ns=int(up * 1e9)))

    def wait(days: float) -> None:
        nonlocal up
        moved.pass_(days * day)
        up += days * day

    remove("early")
    assert upkeep.empty_trash() == 0
    wait(29)
    remove("late")
    assert upkeep.empty_trash() == 0
    moved.pass_(400 * day)
    assert [upkeep.empty_trash() for _ in range(LOOKS)] == [0] * LOOKS, "a clock that was set empties nothing"
    wait(2)
    again = Maintenance(served, trash_days=30, uptime=lambda: Uptime(boot="one", ns=int(up * 1e9)))
    assert again.empty_trash() == 1
    kept = [p.name for p in (tmp_path / "state/trash").rglob("*") if p.is_file()]
    assert kept == ["late"]
    served.close()


def test_the_sweep_takes_what_a_dead_server_left_and_nothing_else(tmp_path: Path) -> None:
    served = served_in(tmp_path, SystemClock())
    own, other = f".syncer-tmp-{served.tag}00000000", ".syncer-tmp-ffffffff00000000"
    partial = f".syncer-tmp-{served.tag}0011223344556677"
    (tmp_path / "folder/d").mkdir()
    for name in (own, other, partial, "mine"):
        (tmp_path / "folder/d" / name).write_bytes(b"x")
    served.close()
    left = (tmp_path / "folder/d" / own).stat()
    eventually(lambda: stat.trusted(left, time.time_ns()))  # so that it is older beyond doubt
    again = served_in(tmp_path, SystemClock())
    late = tmp_path / f"folder/.syncer-tmp-{again.tag}00000001"
    late.write_bytes(b"of a request in flight")
    assert Maintenance(again, trash_days=30).sweep() == 1
    assert sorted(p.name for p in (tmp_path / "folder/d").iterdir()) == sorted([other, partial, "mine"])
    assert late.exists()
    again.close()


def test_a_write_on_a_changed_expectation_is_stale(tmp_path: Path) -> None:
    served = served_in(tmp_path, SystemClock())
    put(served, "a", b"1")
    with served.store(ALL) as store:
        item = WriteRequest(path="a", kind=Kind.FILE, source=FormFile([b"2"], 1), size=1, expected=None)
        [(_, outcome)] = store.put([item])
        assert isinstance(outcome, Stale)
    served.close()


def test_the_default_state_belongs_to_the_real_path(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    one, other = default_state(tmp_path, tmp_path / "a"), default_state(tmp_path, tmp_path / "b")
    assert one == other and one.parent == tmp_path / "serve" and len(one.name) == 16


def test_versions_of_a_large_file_in_the_servers_trash_take_the_room_of_one(tmp_path: Path) -> None:
    served = served_in(tmp_path, SystemClock())
    place, data = tmp_path / "folder/large", bytearray(noise(3, LARGE))
    kept: list[bytes] = []

    def remove() -> None:
        place.write_bytes(data)
        kept.append(bytes(data))
        with served.store(ALL) as store:
            entry = store.stat("large")
            assert isinstance(entry, Entry)
            [(_, outcome)] = store.delete([DeleteRequest(path="large", expected=entry)])
            assert isinstance(outcome, Done), outcome
        data[len(kept) * 1000] ^= 1

    def in_trash() -> int:
        found = {p.stat().st_ino: p.stat().st_size for p in (tmp_path / "state/trash").rglob("large")}
        return sum(found.values())

    for _ in range(3):
        remove()
    served.compact_trash()
    assert in_trash() < LARGE * 1.1
    [trash] = served.trashes()
    assert served.trash_index.size()[0] == in_trash(), "the bound by size goes by what they take"
    served.trash_index.look({trash.name: trash})
    assert served.trash_index.size()[0] == in_trash()
    assert [thing.size for thing in trash_restore.contents(trash)] == [LARGE] * 3
    remove()
    newest = max((tmp_path / "state/trash").rglob("large"), key=lambda p: p.stat().st_mtime_ns)
    with newest.open("r+b"):
        served.compact_trash()
        assert in_trash() > LARGE * 2, "somebody may still write to it"
    served.compact_trash()
    assert in_trash() < LARGE * 1.1
    with trash_deltas.opened(trash) as deltas:
        assert deltas is not None
        for thing in list(trash_restore.contents(trash)):
            deltas.make_whole(thing.kept)
    found = {p.read_bytes() for p in (tmp_path / "state/trash").rglob("large")}
    assert found == set(kept)
    served.close()
