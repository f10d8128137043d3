"""API keys: made, listed, revoked, noticed by a running server; what each may do."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest
from starlette.types import Message, Receive, Scope, Send

from syncer.errors import ConfigError, UsageError
from syncer.server.api_keys import KeyFile
from syncer.server.auth import CHECK_EVERY, BasicAuthMiddleware, FailedLogins, Keys
from syncer.server.timeouts import neighbourhood
from tests.server.clocks import Moved
from tests.server.conftest import Serving, eventually


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_only_a_hash_is_kept(file: KeyFile) -> None:
    made = file.add("alice", under="docs/", read_only=True)
    text = file.path.read_text()
    assert len(made.token) >= 30 and len(made.password) >= 30
    assert made.password not in text and made.password not in repr(made)
    [record] = file.read()
    assert (record.key.name, record.key.under, record.key.read_only) == ("alice", "docs", True)
    assert record.verifies(made.password.encode()) and not record.verifies(b"x" * 48)


def test_the_file_is_private_and_replaced_as_a_whole(file: KeyFile) -> None:
    file.add("a")
    before = file.path.stat()
    file.add("b")
    after = file.path.stat()
    assert before.st_ino != after.st_ino
    assert stat.S_IMODE(after.st_mode) == 0o600 and not file.exposed()
    assert [p.name for p in file.path.parent.iterdir()] == ["keys.json"]
    file.path.chmod(0o644)
    assert file.exposed()


def test_two_commands_at_once_lose_no_key(file: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(file.add, [f"k{i}" for i in range(16)]))
    assert sorted(r.key.name for r in file.read()) == sorted(f"k{i}" for i in range(16))


def test_a_name_is_one_and_taken_once(file: KeyFile) -> None:
    file.add("a")
    for name in ("a", "", " a", "a\n", "x" * 65):
        with pytest.raises(UsageError):
            file.add(name)
    for under in ("..", "a/../b", ".syncer", "/.syncer/x", "a//b", "a\0"):
        with pytest.raises(UsageError):
            file.add("b", under=under)
    assert [r.key.name for r in file.read()] == ["a"]


def test_a_revoked_key_is_gone(file: KeyFile) -> None:
    file.add("a")
    file.add("b")
    assert file.revoke("a").name == "a"
    assert [r.key.name for r in file.read()] == ["b"]
    with pytest.raises(UsageError, match="no key named"):
        file.revoke("a")


_ENTRY = '{"name": "a", "under": "%s", "read_only": %s, "key": "k", "salt": "", "scrypt": "%s"}'
_DAMAGED = [
    _ENTRY % ("..", "false", "00" * 32),
    _ENTRY % ("", "0", "00" * 32),
    _ENTRY % ("", "true", "00"),
    "{}",
]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema": 2, "keys": []}', "null", "\0"]
    + [f'{{"schema": 1, "keys": [{entry}]}}' for entry in _DAMAGED],
)
def test_a_malformed_file_lets_nobody_in_and_is_not_overwritten(file: KeyFile, text: str) -> None:
    file.path.write_text(text)
    for act in (file.read, lambda: file.add("a"), lambda: file.revoke("a")):
        with pytest.raises(ConfigError):
            act()
    assert file.path.read_text() == text


def test_a_running_server_sees_new_and_revoked_keys(file: KeyFile) -> None:
    clock = Moved()
    keys = Keys(file, clock)
    made = file.add("a")
    password = made.password.encode()
    assert keys.verified(made.token, password) is not None, "a key that is added counts at once"
    assert keys.known(made.token, password) is not None
    file.revoke("a")
    clock.pass_(CHECK_EVERY)
    assert keys.known(made.token, password) is None
    assert keys.verified(made.token, password) is None


def test_a_password_that_was_right_is_known_without_scrypt_and_a_wrong_one_never(file: KeyFile) -> None:
    made = file.add("a")
    keys = Keys(file, Moved())
    assert keys.known(made.token, made.password.encode()) is None, "nothing is known before it was verified"
    assert keys.verified(made.token, b"wrong") is None
    assert keys.verified("unknown", b"") is None
    assert keys.verified(made.token, made.password.encode()) is not None
    assert keys.known(made.token, made.password.encode()) is not None
    assert keys.known(made.token, b"wrong") is None
    assert keys.known("unknown", made.password.encode()) is None


def test_a_password_whose_hash_was_exchanged_is_right_no_more(file: KeyFile) -> None:
    made = file.add("a")
    clock = Moved()
    keys = Keys(file, clock)
    assert keys.verified(made.token, made.password.encode()) is not None
    [record] = file.read()
    file.path.write_text(file.path.read_text().replace(record.hash.hex(), "11" * 32))
    clock.pass_(CHECK_EVERY)
    assert keys.known(made.token, made.password.encode()) is None


def test_a_file_damaged_under_a_running_server_changes_nothing(file: KeyFile) -> None:
    made = file.add("a")
    clock = Moved()
    keys = Keys(file, clock)
    file.path.write_text("{")
    clock.pass_(CHECK_EVERY)
    assert keys.verified(made.token, made.password.encode()) is not None
    file.path.unlink()
    clock.pass_(CHECK_EVERY)
    assert keys.verified(made.token, made.password.encode()) is None, "a file that is gone has no keys"


def test_failed_tries_are_counted_by_address_and_forgiven_with_time() -> None:
    clock = Moved()
    tries = FailedLogins(clock)
    for _ in range(10):
        assert tries.wait("1.2.3.4") == 0
        tries.failed("1.2.3.4")
    assert tries.wait("1.2.3.4") > 0
    assert tries.wait("5.6.7.8") == 0
    clock.pass_(tries.wait("1.2.3.4"))
    assert tries.wait("1.2.3.4") == 0


def test_strangers_behind_the_same_address_lock_no_key_out(file: KeyFile) -> None:
    """Their tries are theirs: a key that exists has tries of its own, and its own place at scrypt."""
    made = file.add("a")
    told: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(200)

    async def sent(message: Message) -> None:
        told.extend([message["status"]] if "status" in message else [])

    async def received() -> Message:
        return {"type": "http.request"}

    def asking(token: str, password: str) -> dict[str, object]:
        header = b"Basic " + base64.b64encode(f"{token}:{password}".encode())
        return {"type": "http", "headers": [(b"authorization", header)], "client": ("192.0.2.1", 5)}

    async def story() -> None:
        gate = BasicAuthMiddleware(app, keys=Keys(file, Moved()), clock=Moved())
        for _ in range(12):
            await gate(asking("x" * 32, "wrong"), received, sent)
        assert told[-1] == 429, "the strangers have to wait"
        await gate(asking(made.token, made.password), received, sent)
        assert told[-1] == 200, "the key has not"
        for _ in range(12):
            await gate(asking(made.token, "wrong"), received, sent)
        assert told[-1] == 429, "whoever guesses its password has"

    asyncio.run(story())


def test_tries_that_come_all_at_once_are_counted_one_after_the_other(file: KeyFile) -> None:
    """Ten are allowed, and one is looked at at a time."""
    clock = Moved()
    header = (b"authorization", b"Basic " + base64.b64encode(b"nobody:wrong"))
    scope = {"type": "http", "headers": [header], "client": ("192.0.2.1", 5)}
    statuses: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("a wrong password was let in")

    async def received() -> Message:
        return {"type": "http.request"}

    async def sent(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    async def all_at_once() -> None:
        gate = BasicAuthMiddleware(app, keys=Keys(file, clock), clock=clock)
        await asyncio.gather(*(gate(dict(scope), received, sent) for _ in range(30)))

    asyncio.run(all_at_once())
    assert statuses.count(401) in (10, 11) and statuses.count(429) == 30 - statuses.count(401)


def test_an_unknown_key_costs_as_much_as_a_wrong_password(file: KeyFile) -> None:
    made = file.add("a")
    keys = Keys(file, Moved())

    def cost(token: str) -> float:
        began = time.thread_time()  # of this thread: what others do meanwhile does not count
        assert keys.verified(token, b"wrong" * 10) is None
        return time.thread_time() - began

    known = median(cost(made.token) for _ in range(9))
    unknown = median(cost("x" * 32) for _ in range(9))
    assert 0.5 < known / unknown < 2 and unknown > 0.005, "both pay one scrypt"


def test_an_address_of_ipv6_is_counted_with_its_network() -> None:
    assert neighbourhood("2001:db8:1:2::1") == neighbourhood("2001:db8:1:2:ffff::9")
    assert neighbourhood("2001:db8:1:3::1") != neighbourhood("2001:db8:1:2::1")
    assert neighbourhood("192.0.2.1") == "192.0.2.1"


def test_who_sends_much_without_a_key_still_hears_why_not(server: Serving) -> None:
    answer = server.put("api/3/path/data/a", bytes(20 << 20), auth=("x" * 32, "y" * 48))
    assert answer.status_code == 401
    assert server.names() == []


def test_every_failure_gets_the_same_answer(server: Serving) -> None:
    wrong = [(server.key, "x" * 48), ("y" * 32, server.password), ("", ""), ("a:b", "c")]
    answers = [server.get("api/2/ping/", auth=auth) for auth in wrong]
    answers += [server.get("api/2/ping/", auth=lambda r: r)]
    for header in ("Basic", "Basic !!!!", "Bearer x", "Basic " + "A" * 10_000):
        answers.append(server.get("api/2/ping/", auth=lambda r: r, headers={"Authorization": header}))
    assert {a.status_code for a in answers} == {401}
    assert len({(a.text, a.headers["www-authenticate"]) for a in answers}) == 1


def test_after_too_many_failures_an_address_waits_but_a_known_client_goes_on(server: Serving) -> None:
    assert server.get("api/2/ping/").ok
    statuses = [server.get("api/2/ping/", auth=("x" * 32, "y" * 48)).status_code for _ in range(12)]
    assert statuses[:10] == [401] * 10 and set(statuses[10:]) == {429}
    assert server.get("api/2/ping/").ok


def test_nothing_at_all_is_answered_without_a_key(server: Serving) -> None:
    for url in ("", "openapi.json", "api/2/ping/", "nothing", "syncer/1/hello"):
        assert server.get(url, auth=lambda r: r).status_code == 401


def test_a_read_only_key_changes_nothing(server: Serving) -> None:
    (server.folder / "a").write_bytes(b"a")
    reader = server.add_key("reader", "--read-only")
    eventually(lambda: server.get("api/2/ping", auth=reader).ok)
    calls = [
        ("POST", "api/2/path/data/", {"files": {"file": ("b", b"b")}}),
        ("POST", "api/2/path/info/a", {"data": {"attributes": "k=v"}}),
        ("PUT", "api/3/path/data/b", {"data": b"b"}),
        ("PATCH", "api/3/path/data/a", {"data": b"b", "headers": {"Range": "bytes=1-"}}),
        ("DELETE", "api/3/path/data/a", {}),
        ("POST", "api/2/path/oper/mkdir/", {"data": {"path": "/d"}}),
        ("POST", "api/2/path/oper/rename/", {"data": {"src": "/a", "dst": "/b"}}),
        ("POST", "api/2/path/oper/move/", {"data": {"src": "/a", "dst": "/"}}),
        ("POST", "api/2/path/oper/copy/", {"data": {"src": "/a", "dst": "/"}}),
        ("POST", "api/2/path/oper/remove/", {"data": {"path": "/a"}}),
        ("POST", "api/2/path/sync/patch/a", {"files": {"delta": b"x"}}),
    ]
    for method, url, options in calls:
        assert server.request(method, url, auth=reader, **options).status_code == 403, url
    assert server.get("api/2/path/data/a", auth=reader).content == b"a"
    assert server.post("api/2/path/oper/checksum/", data={"path": "/a", "algorithm": "MD5"}, auth=reader).ok
    info = server.get("api/2/path/info/a", auth=reader).json()
    assert info["acl"] == {"list": True, "read": True, "write": False, "remove": False}
    assert server.names() == ["a"]


def test_a_confined_key_sees_its_subfolder_as_everything(server: Serving) -> None:
    (server.folder / "alice").mkdir()
    (server.folder / "bob").mkdir()
    (server.folder / "bob/secret").write_bytes(b"s")
    alice = server.add_key("alice", "--under", "alice")
    eventually(lambda: server.get("api/2/ping", auth=alice).ok)
    assert server.put("api/3/path/data/mine", b"1", auth=alice).status_code == 201
    assert (server.folder / "alice/mine").read_bytes() == b"1"
    for path in ("bob/secret", "..%2Fbob%2Fsecret", "../bob/secret", "alice/mine"):
        assert server.get(f"api/2/path/data/{path}", auth=alice).status_code in (400, 404)
    nobody = server.add_key("nobody", "--under", "not/there")
    eventually(lambda: server.get("api/2/ping", auth=nobody).ok)
    assert server.get("api/2/path/info/", auth=nobody).status_code == 404


def test_no_secret_is_in_the_log(server: Serving) -> None:
    server.get("api/2/ping/?password=hunter2")
    server.get("api/2/ping/", auth=(server.key, "w" * 48))
    server.stop()
    text = "".join(server.log)
    assert '"status": 200' in text and '"status": 401' in text
    for secret in (server.password, "hunter2", "w" * 48, "Basic "):
        assert secret not in text
    assert all(json.loads(line) for line in server.log)
