"""Hostile paths, bodies and folders: nothing outside is read or written, nothing of ours is shown."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.server.conftest import Serving, emptied, serving
from tests.server.raw import ask

OUTSIDE = b"outside: must never be seen"
TRAVERSALS = [
    "../outside", "..%2Foutside", "%2e%2e/outside", "%2e%2e%2foutside", "%252e%252e%252foutside",
    "..%5Coutside", "..\\outside", "%2e%2e%5coutside", "dir/../../outside", "dir/%2e%2e/%2e%2e/outside",
    "./../outside", "..%c0%afoutside", "%c0%ae%c0%ae/outside", "%ef%bc%8e%ef%bc%8e/outside", "..%00/outside",
    "..;/outside", "....//outside", "%2Fetc%2Fpasswd", "..%u2215outside", "dir%2F..%2F..%2Foutside",
]  # fmt: skip
PRIVATE = [
    ".syncer", ".syncer/secret", "dir/.syncer/secret", ".SYNCER/secret", ".syncer-tmp-0123456789abcdef",
    "dir/.syncer-tmp-0123", "%2esyncer/secret", ".s%C2%ADyncer/secret", "%EF%BC%8Esyncer/secret",
]  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("hostile")
    (home / "outside").write_bytes(OUTSIDE)
    with serving(home / "folder", state=home / "state") as found:
        yield found


@pytest.fixture
def server(running: Serving) -> Serving:
    emptied(running)
    (running.folder / "dir").mkdir()
    return running


def target(
    server: Serving, url: str, method: str = "GET", *, body: bytes = b"", headers: str = ""
) -> tuple[int, bytes]:
    """One request whose target is sent as it is written."""
    return ask(server, f"{method} /{url} HTTP/1.1", headers=headers, body=body)


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_way_leads_out(server: Serving, path: str) -> None:
    outside = server.folder.parent / "outside"
    for url in (f"api/2/path/data/{path}", f"api/2/path/info/{path}", f"api/2/path/sync/signature/{path}"):
        status, body = target(server, url)
        assert status in (400, 404), url
        assert OUTSIDE not in body
    status, _ = target(server, f"api/3/path/data/{path}", "PUT", body=b"evil")
    assert outside.read_bytes() == OUTSIDE
    assert {p.name for p in server.folder.parent.iterdir()} == {"folder", "outside", "state"}
    if status == 201:  # an odd name is a name: it was made within
        assert any(p.read_bytes() == b"evil" for p in server.folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_way_leads_out_by_a_form_either(server: Serving, path: str) -> None:
    (server.folder / "a").write_bytes(b"a")
    for field in (path, "/" + path, "/dir/" + path):
        for url, form in (
            ("rename", {"src": "/a", "dst": field}),
            ("rename", {"src": field, "dst": "/b"}),
            ("mkdir", {"path": field}),
            ("move", {"src": "/a", "dst": field}),
            ("remove", {"path": field}),
        ):
            server.post(f"api/2/path/oper/{url}/", data=form)
    assert {p.name for p in server.folder.parent.iterdir()} == {"folder", "outside", "state"}
    assert (server.folder.parent / "outside").read_bytes() == OUTSIDE


@pytest.mark.parametrize("path", PRIVATE)
def test_what_is_ours_is_invisible_and_untouchable(server: Serving, path: str) -> None:
    for place in (server.folder, server.folder / "dir"):
        (place / ".syncer").mkdir()
        (place / ".syncer/secret").write_bytes(b"secret")
        (place / ".syncer-tmp-0123456789abcdef").write_bytes(b"secret")
    before = server.names()
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        status, body = target(server, f"api/3/path/data/{path}", method, headers="Range: bytes=0-\r\n")
        assert status in (400, 404) and b'"secret"' not in body
    for url in (f"api/2/path/info/{path}", f"api/2/path/sync/signature/{path}"):
        assert target(server, url)[0] in (400, 404)
    for directory in ("", "dir"):
        listed = server.get(f"api/2/path/info/{directory}?children=on").json()["children"]
        assert [c["name"] for c in listed] == (["dir"] if not directory else [])
    assert server.names() == before


def test_a_refused_path_has_one_answer_whether_something_is_there_or_not(server: Serving) -> None:
    (server.folder / ".syncer").mkdir()
    there = [target(server, f"api/2/path/info/{path}") for path in (".syncer", "dir/..", "..%2Foutside")]
    missing = [target(server, f"api/2/path/info/{path}") for path in ("dir/.syncer", "no/..", "..%2Fnothing")]
    assert len(set(there + missing)) == 1


def test_a_planted_symlink_is_followed_by_nothing(server: Serving) -> None:
    outside = server.folder.parent / "outside"
    (server.folder / "link").symlink_to(outside)
    (server.folder / "up").symlink_to(server.folder.parent)
    (server.folder / "abs").symlink_to("/etc")
    (server.folder / "loop").symlink_to("loop")
    for path in ("link", "up/outside", "up", "abs/passwd", "loop", "loop/x"):
        assert server.get(f"api/2/path/data/{path}").status_code == 404
        assert server.get(f"api/2/path/info/{path}").status_code == 404
        assert server.get(f"api/2/path/sync/signature/{path}").status_code == 404
        assert server.put(f"api/3/path/data/{path}", b"evil").status_code in (409, 412)
        assert (
            server.post("api/2/path/oper/rename/", data={"src": f"/{path}", "dst": "/x"}).status_code == 404
        )
        assert server.post("api/2/path/oper/mkdir/", data={"path": f"/{path}/new"}).status_code == 409
        sent = server.post(f"api/2/path/data/{path}/", files={"file": ("evil", b"evil")})
        assert sent.status_code == 409
    assert [c["name"] for c in server.get("api/2/path/info/?children=on").json()["children"]] == ["dir"]
    assert outside.read_bytes() == OUTSIDE
    assert {p.name for p in server.folder.parent.iterdir()} == {"folder", "outside", "state"}


def test_a_key_confined_to_what_became_a_symlink_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(OUTSIDE)
    folder, state = tmp_path / "folder", tmp_path / "state"
    folder.mkdir()
    from tests.server.conftest import add_key

    (folder / "sub").mkdir()
    auth = add_key(folder, state, "confined", "--under", "sub")
    with serving(folder, state=state) as server:
        assert server.get("api/2/path/info/", auth=auth).ok
        (folder / "sub").rmdir()
        (folder / "sub").symlink_to(tmp_path)
        assert server.get("api/2/path/data/outside", auth=auth).status_code == 404
        assert server.put("api/3/path/data/evil", b"evil", auth=auth).status_code == 404
        assert not (tmp_path / "evil").exists()


def test_fifos_sockets_and_devices_are_never_opened(server: Serving) -> None:
    os.mkfifo(server.folder / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(server.folder, os.O_RDONLY)
        try:
            sock.bind(f"/proc/self/fd/{here}/sock")
        finally:
            os.close(here)
        for name in ("fifo", "sock"):
            assert server.get(f"api/2/path/data/{name}").status_code == 404
            assert server.put(f"api/3/path/data/{name}", b"x").status_code == 409


@pytest.mark.parametrize(
    "path", ["a%00b", "x" * 256, "/".join(["d" * 200] * 30), "%00", "a/" * 3000, quote("ü" * 128)]
)
def test_names_that_no_disk_holds_are_refused(server: Serving, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        status, _ = target(server, f"api/3/path/data/{path}", method)
        assert status in (400, 404), method
    assert server.names() == ["dir"]


@pytest.mark.parametrize("length", ["99999999999999999999", str(1 << 60), str((1 << 44) + 1)])
def test_a_huge_length_is_refused_before_anything_is_stored(server: Serving, length: str) -> None:
    status, _ = ask(server, "PUT /api/3/path/data/a HTTP/1.1", headers=f"Content-Length: {length}\r\n")
    assert status in (400, 413)
    status, _ = ask(
        server,
        "POST /api/2/path/data/ HTTP/1.1",
        headers=f"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: {length}\r\n",
    )
    assert status in (400, 413)
    assert server.names() == ["dir"]


def test_what_does_not_fit_the_disk_is_refused_at_once(server: Serving) -> None:
    room = os.statvfs(server.folder)
    more = room.f_bavail * room.f_frsize + (1 << 30)
    status, _ = ask(server, "PUT /api/3/path/data/a HTTP/1.1", headers=f"Content-Length: {more}\r\n")
    assert status == 507


def test_a_form_without_end_is_cut_off(server: Serving) -> None:
    for form in (b"a=" + b"x" * (2 << 20), b"&".join(b"a=1" for _ in range(20_000))):
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        assert server.post("api/2/path/oper/mkdir/", data=form, headers=kind).status_code in (400, 413)
    parts = b"".join(b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' for _ in range(12_000))
    kind = {"Content-Type": "multipart/form-data; boundary=X"}
    for url in ("api/2/path/oper/mkdir/", "api/2/path/data/"):
        assert server.post(url, data=parts + b"--X--\r\n", headers=kind).status_code == 413
    head = b'--X\r\nContent-Disposition: form-data; name="' + b"n" * 100_000 + b'"\r\n\r\n1\r\n--X--\r\n'
    assert server.post("api/2/path/data/", data=head, headers=kind).status_code == 400


def test_bodies_of_another_kind_are_refused(server: Serving) -> None:
    for kind in ("application/json", "text/xml", "multipart/mixed; boundary=X"):
        answer = server.post("api/2/path/oper/mkdir/", data=b"{}", headers={"Content-Type": kind})
        assert answer.status_code == 415
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 999,
    ):
        answer = server.post("api/2/path/data/", data=b"--\r\n", headers={"Content-Type": kind})
        assert answer.status_code == 400


def test_a_name_cannot_write_into_the_log(server: Serving) -> None:
    ask(server, "GET /api/2/path/data/a%0d%0aGET%20/fake%1b[2J HTTP/1.1")
    server.get("api/2/ping/")
    lines = "".join(server.log)
    assert "\x1b" not in lines and "\nGET" not in lines
