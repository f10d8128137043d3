"""The SmartFile API as a client sees it: listings, content, conditions, operations, read-only keys."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.server.conftest import Serving, emptied, eventually, serving

INDIANA = ZoneInfo("America/Indiana/Indianapolis")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("served")
    with serving(home / "folder", state=home / "state") as found:
        yield found


@pytest.fixture
def server(running: Serving) -> Serving:
    return emptied(running)


def write(server: Serving, path: str, content: bytes = b"content", mtime: float | None = None) -> Path:
    file = server.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    if mtime is not None:
        os.utime(file, (mtime, mtime))
    return file


def test_both_styles_of_url_and_repeated_slashes_name_the_same(server: Serving) -> None:
    write(server, "docs/a b#?%.txt")
    name = "docs/a%20b%23%3F%25.txt"
    for url in (f"api/2/path/info/{name}", f"api/2/path/info/{name}/", f"api/2//path//info//{name}//"):
        assert server.get(url).json()["path"] == "/docs/a b#?%.txt"
    assert server.get("api/2/path/info").json() == server.get("api/2/path/info/").json()


def test_an_encoded_slash_parts_no_names(server: Serving) -> None:
    write(server, "docs/a")
    assert server.get("api/2/path/info/docs%2Fa").status_code == 400
    assert server.put("api/3/path/data/docs%2Fa", b"x").status_code == 400
    assert (server.folder / "docs/a").read_bytes() == b"content"


def test_an_unknown_version_or_url_is_a_404(server: Serving) -> None:
    for url in ("api/9/ping/", "api/2/pong", "nothing", "api/2/path/oper/explode/"):
        assert server.get(url).status_code == 404
    assert server.request("DELETE", "api/2/ping/").status_code == 405


def test_pages_of_children_fit_together(server: Serving) -> None:
    names = [f"f{i:03}" for i in range(25)]
    for name in names:
        write(server, name)
    seen = []
    for page in (1, 2, 3):
        answer = server.get(f"api/2/path/info/?children=true&limit=10&page={page}").json()
        assert (answer["pages"], answer["total"], answer["per_page"]) == (3, 25, 10)
        seen += [child["name"] for child in answer["children"]]
    assert seen == names
    unpaged = server.get("api/2.1/path/info/?children=true").json()
    assert "pages" not in unpaged and len(unpaged["children"]) == 25
    assert server.get("api/2/path/info/?children=true&limit=0").status_code == 400
    assert server.get("api/2/path/info/?children=true&page=x").status_code == 400


def test_fields_restrict_an_answer(server: Serving) -> None:
    write(server, "a")
    assert set(server.get("api/2/path/info/a?fields=size&fields=name").json()) == {"size", "name", "path"}


@pytest.mark.parametrize("mtime", [1_600_000_000, 1_610_000_000, 0, -10_000_000])
def test_time_is_local_time_of_indiana_with_its_daylight_saving(server: Serving, mtime: int) -> None:
    write(server, "a", mtime=mtime)
    shown = server.get("api/2/path/info/a").json()["time"]
    assert datetime.fromisoformat(shown).replace(tzinfo=INDIANA).timestamp() == mtime


def test_attributes_last_as_long_as_the_content(server: Serving) -> None:
    write(server, "a")
    sent = {"attributes": ["modified=2026-01-01 10:00:00", "checksum=a=b"]}
    assert server.post("api/2/path/info/a/", data=sent).status_code == 200
    expected = {"modified": "2026-01-01 10:00:00", "checksum": "a=b"}
    assert server.get("api/2/path/info/a").json()["attributes"] == expected
    [child] = server.get("api/2/path/info/?children=on").json()["children"]
    assert child["attributes"] == expected
    server.post("api/2/path/info/a/", data={"attributes": "checksum=c"})
    assert server.get("api/2/path/info/a").json()["attributes"]["checksum"] == "c"
    write(server, "a", b"other")
    assert server.get("api/2/path/info/a").json()["attributes"] == {}


def test_attributes_survive_the_server(tmp_path: Path) -> None:
    with serving(tmp_path / "folder", state=tmp_path / "state") as first:
        write(first, "a")
        first.post("api/2/path/info/a/", data={"attributes": "k=v"})
    with serving(tmp_path / "folder", state=tmp_path / "state") as again:
        assert again.get("api/2/path/info/a").json()["attributes"] == {"k": "v"}


@pytest.mark.parametrize("pair", ["novalue", "=x", "n" * 300 + "=1", "k=" + "v" * 5000])
def test_an_attribute_that_is_none_is_refused(server: Serving, pair: str) -> None:
    write(server, "a")
    answer = server.post("api/2/path/info/a/", data={"attributes": pair})
    assert answer.status_code == 400 and "attributes" in answer.json()["field_errors"]


def test_a_path_has_so_many_attributes_at_most_and_one_too_many_sets_none(server: Serving) -> None:
    write(server, "a")
    assert server.post("api/2/path/info/a/", data={"attributes": [f"k{i}=v" for i in range(64)]}).ok
    assert server.post("api/2/path/info/a/", data={"attributes": ["k0=new", "k99=v"]}).status_code == 400
    assert server.get("api/2/path/info/a").json()["attributes"]["k0"] == "v"


def test_download_of_whole_files_and_ranges(server: Serving) -> None:
    content = os.urandom(3_500_000)
    write(server, "big", content)
    whole = server.get("api/2/path/data/big")
    assert whole.content == content and whole.headers["content-length"] == str(len(content))
    assert whole.headers["content-type"] == "application/octet-stream"
    for header, want in (
        ("bytes=10-19", content[10:20]),
        ("bytes=3000000-", content[3_000_000:]),
        ("bytes=-5", content[-5:]),
        ("bytes=0-99999999999", content),
    ):
        answer = server.get("api/2/path/data/big", headers={"Range": header})
        assert (answer.status_code, answer.content) == (206, want), header
    beyond = server.get("api/2/path/data/big", headers={"Range": f"bytes={len(content)}-"})
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{len(content)}"
    for odd in ("bytes=5-2", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=--5"):
        assert server.get("api/2/path/data/big", headers={"Range": odd}).status_code == 200, odd


def test_an_etag_is_the_version(server: Serving) -> None:
    file = write(server, "a", b"one")
    first = server.get("api/2/path/data/a")
    tag = first.headers["etag"]
    assert server.get("api/2/path/data/a", headers={"If-None-Match": tag}).status_code == 304
    assert server.get("api/2/path/data/a", headers={"If-Match": '"00"'}).status_code == 412
    part = {"Range": "bytes=1-", "If-Range": tag}
    assert server.get("api/2/path/data/a", headers=part).content == b"ne"
    file.write_bytes(b"two!")
    assert server.get("api/2/path/data/a", headers=part).content == b"two!"
    assert server.request("HEAD", "api/2/path/data/a").headers["etag"] != tag


def test_a_weak_tag_is_good_for_a_question_and_for_no_change(server: Serving) -> None:
    write(server, "a", b"one")
    tag = "W/" + server.get("api/2/path/data/a").headers["etag"]
    assert server.get("api/2/path/data/a", headers={"If-None-Match": tag}).status_code == 304
    assert server.put("api/3/path/data/a", b"two", headers={"If-Match": tag}).status_code == 412
    assert (server.folder / "a").read_bytes() == b"one"


def test_head_tells_what_get_would(server: Serving) -> None:
    write(server, "a", b"12345")
    head, get = server.request("HEAD", "api/2/path/data/a"), server.get("api/2/path/data/a")
    assert head.content == b""
    for name in ("content-length", "etag", "last-modified", "content-type"):
        assert head.headers[name] == get.headers[name]


def test_a_put_makes_and_replaces_under_its_conditions(server: Serving) -> None:
    url = "api/3/path/data/a.txt"
    made = server.put(url, b"one", headers={"If-None-Match": "*"})
    assert made.status_code == 201 and made.json()["size"] == 3
    assert server.put(url, b"xxx", headers={"If-None-Match": "*"}).status_code == 412
    assert server.put(url, b"xxx", headers={"If-Match": '"0102"'}).status_code == 412
    assert server.put("api/3/path/data/none", b"x", headers={"If-Match": "*"}).status_code == 412
    replaced = server.put(url, b"two", headers={"If-Match": made.headers["etag"]})
    assert replaced.status_code == 200
    assert (server.folder / "a.txt").read_bytes() == b"two"
    assert b"one" in server.kept()
    assert server.put(url, b"three").status_code == 200


def test_unmodified_since_compares_the_date(server: Serving) -> None:
    write(server, "a", mtime=1_600_000_000)
    url = "api/3/path/data/a"
    early = {"If-Unmodified-Since": "Fri, 11 Sep 2020 00:00:00 GMT"}
    late = {"If-Unmodified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert server.put(url, b"x", headers=early).status_code == 412
    assert server.put(url, b"x", headers={"If-Unmodified-Since": "no date"}).status_code == 200
    assert server.put(url, b"x", headers=late).status_code == 200


def test_a_chunked_put_is_stored_whole(server: Serving) -> None:
    pieces = [os.urandom(700_000) for _ in range(4)]
    assert server.put("api/3/path/data/a", iter(pieces)).status_code == 201
    assert (server.folder / "a").read_bytes() == b"".join(pieces)
    assert [p.name for p in server.state.iterdir() if p.name.startswith("tmp")] == []


def test_a_patch_appends_from_a_place(server: Serving) -> None:
    write(server, "a", b"hello world")
    url = "api/3/path/data/a"
    assert server.request("PATCH", url, data=b"there", headers={"Range": "bytes=6-"}).ok
    assert (server.folder / "a").read_bytes() == b"hello there"
    assert server.request("PATCH", url, data=b"x", headers={"Range": "bytes=99-"}).status_code == 416
    assert server.request("PATCH", url, data=b"x").status_code == 400
    refused = server.request("PATCH", url, data=b"x", headers={"Range": "bytes=0-", "If-Match": '"00"'})
    assert refused.status_code == 412
    assert (
        server.request("PATCH", "api/3/path/data/b", data=b"", headers={"Range": "bytes=0-"}).status_code
        == 404
    )
    assert (server.folder / "a").read_bytes() == b"hello there"


def test_an_append_begins_at_the_end_at_the_latest(server: Serving) -> None:
    write(server, "a", b"12345")
    url = "api/3/path/data/a"
    assert server.request("PATCH", url, data=b"x", headers={"Range": "bytes=6-"}).status_code == 416
    assert server.request("PATCH", url, data=b"6", headers={"Range": "bytes=5-"}).ok
    assert (server.folder / "a").read_bytes() == b"123456"


def test_an_upload_by_form_takes_any_name_that_is_one(server: Serving) -> None:
    for name in ("plain.txt", "sp ace", "ünï.txt", 'quo"te', "semi;colon", "per%cent", "back\\slash"):
        answer = server.post("api/2/path/data/", files={"file": (name, name.encode())})
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()[0]["name"] == name
        assert (server.folder / name).read_bytes() == name.encode()


def test_older_clients_name_a_file_by_filename_star(server: Serving) -> None:
    head = b"Content-Disposition: form-data; name=\"file\"; filename*=utf-8''n%C3%A4me"
    body = b"--X\r\n" + head + b"\r\n\r\ndata\r\n--X--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=X"}
    assert server.post("api/2/path/data/", data=body, headers=kind).ok
    assert (server.folder / "näme").read_bytes() == b"data"


def test_a_form_that_is_cut_off_stores_nothing(server: Serving) -> None:
    body = b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ndata\r\n--X'
    kind = {"Content-Type": "multipart/form-data; boundary=X"}
    assert server.post("api/2/path/data/", data=body, headers=kind).status_code == 400
    assert server.names() == []


@pytest.mark.parametrize("name", ["a/b", "..", ".", ".syncer", ".syncer-tmp-0123", "x" * 256, ".SYNCER"])
def test_an_upload_under_no_name_is_refused(server: Serving, name: str) -> None:
    body = (
        f'--X\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\ndata\r\n--X--\r\n'
    ).encode()
    kind = {"Content-Type": "multipart/form-data; boundary=X"}
    assert server.post("api/2/path/data/", data=body, headers=kind).status_code == 400
    assert server.names() == []


def test_where_a_directory_is_missing_or_a_file_is_in_the_way(server: Serving) -> None:
    write(server, "file")
    (server.folder / "dir").mkdir()
    assert server.post("api/2/path/data/nowhere/", files={"file": ("a", b"x")}).status_code == 409
    assert server.put("api/3/path/data/nowhere/a", b"x").status_code == 409
    assert server.put("api/3/path/data/file/a", b"x").status_code == 409
    assert server.put("api/3/path/data/dir", b"x").status_code == 415
    assert server.get("api/2/path/data/dir/").status_code == 415
    assert server.request("DELETE", "api/3/path/data/dir").status_code == 415
    assert server.post("api/2/path/oper/mkdir/", data={"path": "/file/x"}).status_code == 409


def test_a_delete_keeps_the_content_in_the_trash(server: Serving) -> None:
    write(server, "a", b"precious")
    assert server.request("DELETE", "api/3/path/data/a", headers={"If-Match": '"00"'}).status_code == 412
    assert server.request("DELETE", "api/3/path/data/a").status_code == 204
    assert server.request("DELETE", "api/3/path/data/a").status_code == 404
    assert server.names() == [] and b"precious" in server.kept()


def test_a_rename_never_replaces(server: Serving) -> None:
    write(server, "a", b"a")
    write(server, "b", b"b")
    assert server.post("api/2/path/oper/rename/", data={"src": "/a", "dst": "/b"}).status_code == 409
    assert server.post("api/2/path/oper/rename/", data={"src": "/c", "dst": "/d"}).status_code == 404
    assert server.post("api/2/path/oper/rename/", data={"src": "/a", "dst": "/x/y"}).status_code == 409
    assert server.post("api/2/path/oper/rename/", data={"src": "/a"}).status_code == 400
    (server.folder / "d").mkdir()
    assert server.post("api/2/path/oper/rename/", data={"src": "/d", "dst": "/d/e"}).status_code == 400
    assert server.post("api/2/path/oper/rename/", data={"src": "/a", "dst": "/d/a"}).json()["path"] == "/d/a"
    assert server.names() == ["b", "d", "d/a"]


def test_move_and_copy_tell_what_they_could_not_do(server: Serving) -> None:
    write(server, "x/a", b"a", mtime=1_600_000_000)
    write(server, "x/deep/b", b"b")
    write(server, "into/a", b"other")
    moved = server.task("api/2/path/oper/move/", {"src": ["/x/a", "/x/deep/"], "dst": "/into/"})
    assert moved["status"] == "SUCCESS" and set(moved["result"]["errors"]) == {"/x/a"}
    assert server.names() == ["into", "into/a", "into/deep", "into/deep/b", "x", "x/a"]
    copied = server.task("api/2/path/oper/copy/", {"src": "/into", "dst": "/x"})
    assert copied["result"]["errors"] == {}
    assert (server.folder / "x/into/deep/b").read_bytes() == b"b"
    assert server.post("api/2/path/oper/move/", data={"src": "/none", "dst": "/x"}).status_code == 404
    assert server.post("api/2/path/oper/move/", data={"src": "/x", "dst": "/none"}).status_code == 404


def test_a_tree_is_not_copied_into_itself(server: Serving) -> None:
    write(server, "x/a", b"a")
    (server.folder / "x/in").mkdir()
    copied = server.task("api/2/path/oper/copy/", {"src": "/x", "dst": "/x/in"})
    assert set(copied["result"]["errors"]) == {"/x"}
    assert server.names() == ["x", "x/a", "x/in"]


def test_remove_takes_a_tree_to_the_trash_file_by_file(server: Serving) -> None:
    write(server, "x/a", b"a")
    write(server, "x/deep/b", b"b")
    (server.folder / "x/link").symlink_to("/etc/passwd")
    removed = server.task("api/2/path/oper/remove/", {"path": ["/x"]})
    assert removed == {"status": "SUCCESS", "result": {"errors": {}}}
    assert server.names() == []
    assert {b"a", b"b"} <= set(server.kept())
    missing = server.post("api/2/path/oper/remove/", data={"path": "/x"})
    assert missing.status_code == 404 and missing.json()["path"]
    assert server.post("api/2/path/oper/remove/", data={"path": "/"}).status_code == 400


def test_remove_leaves_what_a_client_cannot_see(server: Serving) -> None:
    """The folder below is the root of somebody's job: its marker is not ours to throw away."""
    write(server, "x/.syncer/root-id", b"marker")
    write(server, "x/a")
    removed = server.task("api/2/path/oper/remove/", {"path": "/x"})
    assert "not empty" in removed["result"]["errors"]["/x"]
    assert (server.folder / "x/.syncer/root-id").read_bytes() == b"marker"


def test_checksums(server: Serving) -> None:
    write(server, "a", b"abc")
    for name in ("MD5", "SHA1", "SHA256", "SHA512"):
        done = server.task("api/2/path/oper/checksum/", {"path": "/a", "algorithm": name})
        assert done["result"]["checksums"]["/a"] == hashlib.new(name.lower(), b"abc").hexdigest()
    done = server.task("api/2/path/oper/checksum/", {"path": "/a", "algorithm": "CRC-32"})
    assert done["result"]["checksums"]["/a"] == f"{zlib.crc32(b'abc'):08x}"
    assert (
        server.post("api/2/path/oper/checksum/", data={"path": "/a", "algorithm": "ROT13"}).status_code == 400
    )
    assert server.get("api/2/task/none/").status_code == 404


def test_a_task_is_known_to_its_key_only(server: Serving) -> None:
    write(server, "a")
    task = server.post("api/2/path/oper/checksum/", data={"path": "/a", "algorithm": "MD5"}).json()
    other = server.add_key("other")
    server.finished(task)
    assert server.get(task["url"].lstrip("/")).status_code == 200
    eventually(lambda: server.get("api/2/ping", auth=other).status_code == 200)
    assert server.get(task["url"].lstrip("/"), auth=other).status_code == 404


def test_quota_is_that_of_the_file_system(server: Serving) -> None:
    quota = server.get("api/2/whoami/").json()["site"]["quota"]
    room = os.statvfs(server.folder)
    assert int(quota["disk_bytes_limit"]) == room.f_blocks * room.f_frsize
    assert 0 < int(quota["disk_bytes_tally"]) <= int(quota["disk_bytes_limit"])


def test_a_name_that_is_not_utf8_can_be_listed_and_fetched(server: Serving) -> None:
    (server.folder / os.fsdecode(b"b\xffd")).write_bytes(b"odd")
    [child] = server.get("api/2/path/info/?children=on").json()["children"]
    assert os.fsencode(child["name"]) == b"b\xffd"
    assert server.get("api/2/path/data/b%FFd").content == b"odd"
