"""What anybody may cost the server: memory and processor, whatever one key or nobody sends.

Each attack runs against a process of its own; memory is the most it ever had (VmHWM), work is processor
seconds. SECURITY.md has the numbers, and those before there were bounds.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import threading
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest
import requests

from syncer.delta.rsync import SignatureParams, SumType
from syncer.delta.signature import sums
from syncer.server.api.attributes import Attributes
from syncer.stores.local import stat
from syncer.wire import BASE
from tests.server import attacks
from tests.server.conftest import Serving, eventually, serving
from tests.server.extension.processes import peak
from tests.server.raw import connect

BAR = 300 << 20  # bytes


def processor(server: Serving) -> float:
    """Seconds that all its threads worked (proc(5))."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serves(server: Serving) -> bool:
    """Whether it answers; not yet, as long as it has not noticed that an attack's connections are gone."""
    try:
        return server.get("api/2/ping/").ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    "attack",
    [
        attacks.pipelined,
        attacks.heads,
        attacks.bodies,
        attacks.json_bombs,
        attacks.large_bodies,
        attacks.head_bombs,
        attacks.tiny_lists,
        attacks.signatures,
        attacks.tasks,
    ],
    ids=lambda attack: attack.__name__,
)
@pytest.mark.timeout(300)
def test_no_request_takes_the_server_beyond_its_memory(
    server: Serving, attack: Callable[[Serving], None]
) -> None:
    attack(server)
    assert peak(server) < BAR, f"{peak(server) >> 20} MiB"
    assert eventually(lambda: serves(server)), "and it goes on serving"


def test_requests_that_wait_on_a_connection_are_few_and_gone_with_it(server: Serving) -> None:
    """16 MiB of them took 104 seconds and 1.6 GiB, of which 478 MiB stayed."""
    attacks.pipelined(server)
    assert peak(server) < 100 << 20
    assert processor(server) < 5


def test_a_few_requests_behind_one_another_are_all_answered(server: Serving) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 9 + b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
    assert answer.count(b"HTTP/1.1 401 ") == 10


def test_a_list_of_values_without_end_is_refused_before_it_is_parsed(server: Serving) -> None:
    body = b'{"paths":[' + b"[]," * 400_000 + b"[]]}"
    answer = server.post(f"{BASE}look", data=body)
    assert answer.status_code == 413
    assert "values" in answer.json()["error"]["message"]
    assert peak(server) < 100 << 20


def forged(parameters: SignatureParams) -> bytes:
    """Many blocks with the weak sum of zeros, and strong sums that fit nothing."""
    weak = sums(bytes(parameters.block_len), parameters)[:4]
    return parameters.header + b"".join(weak + struct.pack(">Q", n) for n in range(250))


@pytest.mark.parametrize("family", SumType)
@pytest.mark.parametrize("block", [2048, 1 << 20])
def test_a_signature_made_to_collide_costs_two_seconds_at_most(
    server: Serving, family: SumType, block: int
) -> None:
    (server.folder / "zeros").write_bytes(bytes(64 << 20))
    wrong = forged(SignatureParams(family=family, block_len=block, strong_len=8))
    begun = processor(server)
    answer = server.post("api/2/path/sync/delta/zeros", files={"signature": wrong})
    assert answer.status_code == 400, answer.text
    assert processor(server) - begun < 2


def test_slow_uploads_of_one_key_leave_room_for_those_of_another(server: Serving) -> None:
    """Sixteen had every thread there was, for hours."""
    other = server.add_key("other")
    head = b"PUT /api/3/path/data/slow%d HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
    held = []
    try:
        for number in range(20):
            sock = connect(server)
            held.append(sock)
            sock.sendall(head % number + attacks.authorization(server).encode() + b"\r\nx")
        eventually(lambda: any(".syncer-tmp" in name for name in os.listdir(server.folder)))
        assert server.put("api/3/path/data/quick", b"1", auth=other).status_code == 201
    finally:
        for sock in held:
            sock.close()


def test_slow_calls_of_one_key_leave_room_for_those_of_another(server: Serving) -> None:
    """A byte now and then kept one of 48 places each."""
    other = server.add_key("other")
    head = (
        f"POST /{BASE}look HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n{attacks.authorization(server)}\r\n"
    )
    held = [connect(server) for _ in range(50)]
    try:
        for sock in held:
            sock.sendall(head.encode() + b"{")
        answer = server.post(f"{BASE}quota", data=b"{}", auth=other)
        assert answer.status_code == 200
    finally:
        for sock in held:
            sock.close()


def test_tasks_of_one_key_leave_room_for_those_of_another(server: Serving) -> None:
    other = server.add_key("other")
    with (server.folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    (server.folder / "small").write_bytes(b"1")
    begun = [
        server.post("api/2/path/oper/checksum/", data={"path": "/huge", "algorithm": "SHA512"})
        for _ in range(25)
    ]
    assert [answer.status_code for answer in begun] == [200] * 20 + [429] * 5
    small = server.post(
        "api/2/path/oper/checksum/", data={"path": "/small", "algorithm": "MD5"}, auth=other
    ).json()
    url = small["url"].lstrip("/")
    done = eventually(lambda: server.get(url, auth=other).json()["result"]["status"] == "SUCCESS")
    assert done


def test_a_server_stops_in_five_seconds_whatever_runs(tmp_path: Path) -> None:
    """A checksum of 1 TiB was waited for to its end."""
    with serving(tmp_path / "folder", state=tmp_path / "state") as server:
        with (server.folder / "huge").open("wb") as file:
            file.truncate(1 << 40)
        task = server.post("api/2/path/oper/checksum/", data={"path": "/huge", "algorithm": "SHA512"})
        eventually(lambda: server.get(task.json()["url"].lstrip("/")).json()["status"] == "PROGRESS")
        looked = server.post(f"{BASE}look", data=b'{"paths":["huge"]}').content.splitlines()[0].decode()
        body = f'{{"wanted":[["huge",{looked}]]}}'

        def hash_it() -> None:
            try:
                server.post(f"{BASE}digests", data=body, timeout=60)
            except OSError:
                pass  # the server went away

        hashing = threading.Thread(target=hash_it)
        hashing.start()
        signing = threading.Thread(
            target=lambda: attacks.suppressed(
                lambda: server.get("api/2/path/sync/signature/huge", timeout=60)
            )
        )
        signing.start()
        eventually(lambda: processor(server) > 1)
        server.process.terminate()
        try:
            code = server.process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
            server.process.kill()
        hashing.join()
        signing.join()
        assert code == 143, "it goes on"


def test_a_revoked_key_ends_what_is_open_of_it(tmp_path: Path) -> None:
    with serving(tmp_path / "folder", state=tmp_path / "state") as server:
        with (server.folder / "huge").open("wb") as file:
            file.truncate(1 << 40)
        revoked = server.add_key("gone")
        cursor = server.post(f"{BASE}feed", data=b'{"cursor":null,"wait":0}', auth=revoked).json()["cursor"]
        question = f'{{"cursor":"{cursor}","wait":100}}'.encode()
        waiting = attacks.Open(server, revoked, "POST", f"{BASE}feed", question)
        sending = attacks.Open(server, revoked, "GET", "api/2/path/data/huge")
        assert sending.begun()
        task = server.post(
            "api/2/path/oper/checksum/", data={"path": "/huge", "algorithm": "MD5"}, auth=revoked
        )
        assert task.ok
        done = attacks.run_program(server, "--revoke-key", "gone")
        assert done.returncode == 0
        assert waiting.ended(5)
        assert sending.ended(5)
        assert server.get("api/2/ping/", auth=revoked).status_code == 401
        assert server.get("api/2/ping/").ok
        used = processor(server)
        eventually(lambda: _rests(server, used))


def _rests(server: Serving, before: float) -> bool:
    """Whether nothing is worked on: the task was ended, too."""
    began = processor(server)
    threading.Event().wait(0.3)
    return processor(server) - began < 0.1


NAMES = 30_000


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with one directory of very many names."""
    folder = tmp_path / "folder" / "d"
    folder.mkdir(parents=True)
    fd = os.open(folder, os.O_RDONLY)
    for number in range(NAMES):
        os.mknod(f"name-{number}", 0o100644, dir_fd=fd)
    os.close(fd)
    return folder.parent


def test_a_directory_of_very_many_names_is_listed_in_little_memory(crowded: Path, tmp_path: Path) -> None:
    """All of it was in memory as objects, for every call: see SECURITY.md for what that took."""
    told: list[int] = []

    def listed(server: Serving) -> None:
        answer = server.post(f"{BASE}list", data=b'{"paths":["d"]}', timeout=100)
        told.append(answer.content.count(b'"name-'))

    with serving(crowded, state=tmp_path / "state") as server:
        threads = [threading.Thread(target=listed, args=(server,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told == [NAMES] * 6
        page = server.get("api/2/path/info/d?children=true&limit=3&page=2").json()
        assert page["total"] == NAMES and len(page["children"]) == 3
        assert peak(server) < 110 << 20, f"{peak(server) >> 20} MiB"


def test_a_directory_of_more_names_than_there_is_memory_for_is_refused_in_words(
    crowded: Path, tmp_path: Path
) -> None:
    (crowded / "small").mkdir()
    with serving(crowded, "--limit", f"memory={3 << 20}", state=tmp_path / "state") as server:
        lines = server.post(f"{BASE}tree", data=b'{"path":""}').content.splitlines()
        [root, large, small] = map(json.loads, lines[:-1])
        assert set(root[1][1]) == {"d", "small"} and small[0] == "small"
        error = large[1]["error"]
        assert "more names in one directory" in error["message"] and "d: " in error["message"]
        assert "--limit memory" in error["hint"]
        known = [["d", "00"]]
        name = blake2b(json.dumps(known, separators=(",", ":")).encode(), digest_size=32).hexdigest()
        answer = server.post(f"{BASE}changed", data=json.dumps({"name": name, "known": known}))
        assert answer.json() == {"changed": ["d"]}, "which is then listed, and refused in words"
        answer = server.get("api/2/path/info/d?children=true&limit=3")
        assert answer.status_code == 409 and "more names" in answer.text
        answer = server.post("api/2/path/oper/remove/", data={"path": "/d"})
        result = server.finished(answer.json())
        assert "more names" in json.dumps(result)
        assert peak(server) < 80 << 20


def test_all_children_in_one_answer_are_refused_where_they_are_too_many(
    crowded: Path, tmp_path: Path
) -> None:
    """API 2.1 has no pages: each child takes thousands of bytes."""
    with serving(crowded, state=tmp_path / "state") as server:
        answer = server.get("api/2.1/path/info/d?children=true", timeout=100)
        assert answer.status_code == 400 and "smaller pages" in answer.text
        assert peak(server) < 110 << 20, f"{peak(server) >> 20} MiB"


def test_links_with_long_targets_are_told_a_few_at_a_time(server: Serving) -> None:
    """Two thousand were put into words at once: 12 calls took 518 MiB."""
    (server.folder / "d").mkdir()
    for number in range(1000):
        os.symlink(b"\xff\xfe/" * 1365, os.fsencode(server.folder / "d" / f"link-{number}"))
    begun = peak(server)
    told: list[int] = []

    def listed() -> None:
        answer = server.post(f"{BASE}list", data=b'{"paths":["d"]}', timeout=100)
        told.append(answer.content.count(b'"link-'))

    attacks.many(8, listed)
    assert told == [1000] * 8
    assert peak(server) - begun < 50 << 20, f"{peak(server) - begun >> 20} MiB"


def test_attributes_of_a_page_are_weighed_before_they_are_told(tmp_path: Path) -> None:
    """A page of 500 files had gigabytes of them: 64 of 4,096 characters each, twelve bytes a character."""
    folder, state = tmp_path / "folder", tmp_path / "state"
    folder.mkdir()
    names = [f"file-{number}" for number in range(100)]
    state.mkdir(mode=0o700)
    kept = Attributes(state / "attributes.sqlite")
    for name in names:
        (folder / name).write_bytes(b"")
        version = stat.version((folder / name).stat())
        kept.set(name, version, [(f"{n}", "\N{GRINNING FACE}" * 4096) for n in range(40)])
    kept.close()
    with serving(folder, state=state) as server:
        answer = server.get("api/2/path/info/?children=true&limit=100", timeout=100)
        assert answer.status_code == 400 and "smaller pages" in answer.text
        answer = server.get("api/2/path/info/?children=true&limit=3", timeout=100)
        assert [len(child["attributes"]) for child in answer.json()["children"]] == [40] * 3
        assert peak(server) < 130 << 20, f"{peak(server) >> 20} MiB"
