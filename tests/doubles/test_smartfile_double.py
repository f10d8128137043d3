"""The double of the hosted SmartFile against the notes on its protocol and against the official client."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.doubles.asking import Asking
from tests.doubles.smartfile import Script, SmartFileDouble
from tests.doubles.smartfile.listing import local_time
from tests.doubles.smartfile_client import drive


def test_the_doubles_share_no_code_with_the_program() -> None:
    """Or one mistake could stand on both sides and no test would see it."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    nodes = [node for source in sources for node in ast.walk(ast.parse(source.read_bytes()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert "tests.doubles.serving" in imported
    assert [name for name in imported if name.partition(".")[0] == "syncer"] == []


# -- the official client ---------------------------------------------------------------------


def test_the_official_client_does_everything(double: SmartFileDouble) -> None:
    report = drive("basic", double.url, key=double.key, password=double.password)
    assert report["failed"] == {} and report["died"] is None, report
    assert len(report["done"]) == 17


def test_the_official_sync_client_uploads_by_delta(double: SmartFileDouble) -> None:
    report = drive("sync", double.url, key=double.key, password=double.password)
    assert report["done"] == [
        "upload sends a delta",
        "upload over an empty file",
    ]  # downloads: its own defect
    first = double.asked("POST", "/path/sync/patch/synced")[0]
    assert first.received < 3000 and len(double.read("/synced.bin")) > 50_000


def test_the_official_sync_client_downloads_once_its_librsync_calls_are_right(
    double: SmartFileDouble,
) -> None:
    report = drive("mended-sync", double.url, key=double.key, password=double.password)
    assert report["failed"] == {} and report["died"] is None, report
    assert double.asked("POST", "/path/sync/delta/")[0].sent < 3000


def test_the_official_client_gets_its_oauth_tokens(double: SmartFileDouble) -> None:
    credentials = double.site.credentials
    report = drive("oauth", double.url, key=credentials.client_token, password=credentials.client_secret)
    assert list(report["failed"]) == ["known defect: get_authorization_url on Python 3"]
    assert double.read("/by-oauth.txt") == b"signed"


# -- who may ask -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 401])
def test_wrong_credentials_are_refused(double: SmartFileDouble, ask: Asking, status: int) -> None:
    double.options.refused_status = status
    for auth in ((double.key, "wrong"), ("", ""), ("wrong", double.password)):
        assert ask("GET", "api/2/ping/", auth=auth).status_code == status


def test_revoked_credentials_end_a_run(double: SmartFileDouble, ask: Asking) -> None:
    assert ask("GET", "api/2/ping/").status_code == 200
    double.revoke()
    assert ask("GET", "api/2/ping/").status_code == 403


def test_an_oauth_signature_needs_both_secrets(double: SmartFileDouble, ask: Asking) -> None:
    token, its_secret = double.site.credentials.grant()

    def header(signature: str) -> dict[str, str]:
        fields = {
            "oauth_consumer_key": double.site.credentials.client_token,
            "oauth_token": token,
            "oauth_signature_method": "PLAINTEXT",
            "oauth_signature": signature,
        }
        return {"Authorization": "OAuth " + ", ".join(f'{k}="{quote(v, "")}"' for k, v in fields.items())}

    def status(signature: str) -> int:
        return ask("GET", "api/2/ping/", headers=header(signature), auth=_nobody).status_code

    client_secret = double.site.credentials.client_secret
    assert status(f"{client_secret}&{its_secret}") == 200
    assert status(f"{client_secret}&") == 403
    assert status(f"&{its_secret}") == 403


def test_a_failed_oauth_request_is_answered_in_words(ask: Asking) -> None:
    answer = ask("POST", "oauth/request_token/")
    assert answer.status_code == 401 and answer.text == "Could not verify OAuth request."


# -- addresses and names ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a b", "100%", "a#b", "what?", "a%20b", "süß", "日本", "a&b=c", "a+b", "x\ny"]
)
@pytest.mark.parametrize("version", ["2", "3"])
def test_every_name_is_reached_by_its_encoded_form(
    double: SmartFileDouble, ask: Asking, name: str, version: str
) -> None:
    double.mkdir("/d")
    assert ask("PUT", f"api/3/path/data/d/{quote(name, '')}", data=b"content").json()["name"] == name
    assert double.read(f"/d/{name}") == b"content"
    for end in ("", "/"):
        assert ask("GET", f"api/{version}/path/info/d/{quote(name, '')}{end}").json()["path"] == f"/d/{name}"


def test_repeated_slashes_count_as_one(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/d/a", b"1")
    assert ask("GET", "api//2/path//info//d///a//").json()["path"] == "/d/a"
    assert ask("GET", "api/2/path/info").json()["path"] == "/"


def test_a_wrong_url_is_answered_in_html_and_a_missing_path_in_json(ask: Asking) -> None:
    wrong = ask("GET", "api/2/path/nonsense/")
    assert wrong.status_code == 404 and wrong.headers["content-type"].startswith("text/html")
    assert ask("GET", "api/1.0/path/info/").headers["content-type"].startswith("text/html")
    missing = ask("GET", "api/2/path/info/none/")
    assert missing.status_code == 404 and "detail" in missing.json()


# -- listings --------------------------------------------------------------------------------


def test_the_info_object_has_the_fields_that_clients_read(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/docs/a.txt", b"abc", time=1767261600, attributes={"checksum": "x"})
    file = ask.info("/docs/a.txt")
    told = ("path", "name", "size", "isdir", "isfile", "items", "extension", "mime")
    assert {key: file[key] for key in told} == {
        "path": "/docs/a.txt", "name": "a.txt", "size": 3, "isdir": False, "isfile": True, "items": None,
        "extension": ".txt", "mime": "text/plain",
    }  # fmt: skip
    assert file["time"] == "2026-01-01T05:00:00" and file["attributes"] == {"checksum": "x"}
    assert file["url"] == f"{double.url}api/2/path/info/docs/a.txt/"
    folder = ask.info("/docs")
    assert (folder["isdir"], folder["size"], folder["items"]) == (True, 3, 1)
    assert folder["mime"] == "application/x-directory"


def test_a_directory_counts_everything_below_it(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a/b/c", b"12345")
    double.write("/a/d", b"12")
    double.write("/a/b/c", b"123")
    assert (ask.info("/a")["size"], ask.info("/a/b")["size"], ask.info("/")["size"]) == (5, 3, 5)
    double.remove("/a/b")
    double.rename("/a/d", "/e/d")
    assert (ask.info("/a")["size"], ask.info("/e")["size"], ask.info("/")["size"]) == (0, 2, 2)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (1772953199, "2026-03-08T01:59:59"),  # the last second of winter,
        (1772953200, "2026-03-08T03:00:00"),  # and the next one
        (1793509200, "2026-11-01T01:00:00"),  # in daylight-saving time,
        (1793512800, "2026-11-01T01:00:00"),  # and an hour later: the clock shows the same
        (1793512800.999, "2026-11-01T01:00:00"),
    ],
)
def test_time_is_that_of_indiana(seconds: float, shown: str) -> None:
    assert local_time(seconds) == shown


def test_a_long_listing_comes_in_pages(double: SmartFileDouble, ask: Asking) -> None:
    for number in range(7):
        double.write(f"/d/{number}", b"")
    pages = [ask("GET", f"api/2/path/info/d/?children=true&limit=3&page={page}").json() for page in (1, 2, 3)]
    assert [[child["name"] for child in page["children"]] for page in pages] == [
        ["0", "1", "2"],
        ["3", "4", "5"],
        ["6"],
    ]
    assert {(p["pages"], p["per_page"], p["total"]) for p in pages} == {(3, 3, 7)}
    assert ask("GET", "api/2/path/info/d/?children=true&limit=3&page=4").status_code == 404
    double.options.per_page = 5
    assert len(ask("GET", "api/2/path/info/d/?children=on").json()["children"]) == 5


def test_version_2_1_knows_no_pages(double: SmartFileDouble, ask: Asking) -> None:
    double.options.per_page = 2
    for number in range(5):
        double.write(f"/d/{number}", b"")
    answer = ask("GET", "api/2.1/path/info/d/?children=true").json()
    assert len(answer["children"]) == 5 and "pages" not in answer


@pytest.mark.parametrize("status", [503, 403])
def test_too_large_a_page_is_refused_without_a_hint(
    double: SmartFileDouble, ask: Asking, status: int
) -> None:
    double.options.large_limit_status = status
    answer = ask("GET", "api/2/path/info/?children=true&limit=501")
    assert answer.status_code == status and "x-throttle" not in answer.headers
    assert ask("GET", "api/2/path/info/?children=true&limit=500").status_code == 200


def test_fields_restrict_what_is_told(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/d/a", b"1")
    answer = ask("GET", "api/2/path/info/d/?children=true&fields=path&fields=size").json()
    assert answer["children"] == [{"path": "/d/a", "size": 1}] and "name" not in answer


def test_a_file_may_not_be_found_right_after_its_upload(double: SmartFileDouble, ask: Asking) -> None:
    now = 1_000_000.0
    double.set_clock(lambda: now)
    double.options.settle = 1.0
    assert ask.upload("/", "a", b"1").status_code == 200
    assert ask("POST", "api/2/path/info/a/", data={"attributes": "k=v"}).status_code == 404
    now += 1.0
    assert ask("POST", "api/2/path/info/a/", data={"attributes": "k=v"}).status_code == 200
    assert double.attributes("/a") == {"k": "v"}


def test_the_feed_tells_what_happened_since(double: SmartFileDouble, ask: Asking) -> None:
    now = 100.0
    double.set_clock(lambda: now)
    ask.upload("/", "a", b"1")
    now = 200.0
    ask.start("mkdir", path="/d")
    ask("POST", "api/2/path/oper/rename/", data={"src": "/a", "dst": "/d/b"})
    ask.start("remove", path="/d/b")
    later = ask("GET", "api/2/activity/?timestamp_min=150&limit=2").json()
    assert (later["total"], later["pages"], later["next"]) == (3, 2, 2)
    assert [(r["action"], r["path"]) for r in later["results"]] == [("mkdir", "/d"), ("rename", "/a /d/b")]
    assert ask("GET", "api/2/activity/?timestamp_max=150").json()["results"][0]["path"] == "/a"


def test_names_may_differ_in_case_only_or_not(double: SmartFileDouble, ask: Asking) -> None:
    for name in ("A", "a"):
        ask.upload("/", name, name.encode())
    assert double.contents() == {"/A": b"A", "/a": b"a"}
    double.remove("/a")
    double.remove("/A")
    double.options.case_blind = True
    for name in ("B", "b"):
        ask.upload("/", name, name.encode())
    assert double.contents() == {"/B": b"b"}
    ask("POST", "api/2/path/oper/rename/", data={"src": "/B", "dst": "/b"})
    assert double.contents() == {"/b": b"b"}


# -- content ---------------------------------------------------------------------------------


def test_a_range_is_a_part(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"0123456789")

    def part(wanted: str) -> tuple[int, bytes, str | None]:
        answer = ask("GET", "api/2/path/data/a", headers={"Range": wanted})
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert part("bytes=4-") == (206, b"456789", "bytes 4-9/10")
    assert part("bytes=4-5") == (206, b"45", "bytes 4-5/10")
    assert part("bytes=-3") == (206, b"789", "bytes 7-9/10")
    assert part("bytes=10-") == (416, b"", "bytes */10")


def test_files_and_directories_are_not_mixed_up(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/d/a", b"1")
    assert ask("GET", "api/2/path/data/d/").status_code == 415
    assert ask.upload("/d/a", "b", b"2").status_code == 415
    assert ask.upload("/none", "b", b"2").status_code == 409
    assert ask("PUT", "api/3/path/data/none/b", data=b"2").status_code == 409
    assert ask.upload("/", "d", b"2").status_code == 415
    assert double.contents() == {"/d": None, "/d/a": b"1"}


def test_a_json_file_is_served_as_json(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a.json", b"{}")
    double.write("/b.bin", b"[]", kind="application/json")
    assert ask("GET", "api/2/path/data/a.json").headers["content-type"] == "application/json"
    assert ask("GET", "api/2/path/data/b.bin").headers["content-type"] == "application/json"


def test_an_upload_is_told_in_both_shapes(double: SmartFileDouble, ask: Asking) -> None:
    assert ask.upload("/", "a", b"1").json()["path"] == "/a"
    double.options.upload_as_list, double.options.upload_status = True, 201
    answer = ask.upload("/", "a", b"12")
    assert answer.status_code == 201 and [o["size"] for o in answer.json()] == [2]


def test_content_that_looks_like_a_boundary_arrives_whole(double: SmartFileDouble, ask: Asking) -> None:
    content = b"\r\n--\r\n\r\n--x--\r\nContent-Disposition: form-data\r\n\r\n\r\n"
    assert ask.upload("/", "a", content).status_code == 200
    assert double.read("/a") == content


def test_a_patch_of_version_3_appends_on_a_condition(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"0123456789", time=1_000_000_000)  # Sun, 09 Sep 2001 01:46:40 GMT
    url, dates = "api/3/path/data/a", ("Sun, 09 Sep 2001 01:46:39 GMT", "Sun, 09 Sep 2001 01:46:40 GMT")
    early, exact = ({"Range": "bytes=8-", "If-Unmodified-Since": date} for date in dates)
    assert ask("PATCH", url, data=b"XYZ", headers=early).status_code == 412
    assert double.read("/a") == b"0123456789"
    assert ask("PATCH", url, data=b"XYZ", headers=exact).status_code == 200
    assert double.read("/a") == b"01234567XYZ"


def test_version_3_deletes_one_file(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/d/a", b"1")
    assert [ask("DELETE", "api/3/path/data/d/a").status_code for _ in range(2)] == [204, 404]
    assert ask("DELETE", "api/3/path/data/d").status_code == 415


@pytest.mark.parametrize("status", [402, 400])
def test_a_full_account_refuses_and_changes_nothing(
    double: SmartFileDouble, ask: Asking, status: int
) -> None:
    double.options.disk_limit, double.options.quota_status = 10, status
    double.write("/a", b"12345678")
    assert ask.upload("/", "b", b"123").status_code == status
    assert ask.upload("/", "a", b"12345678901").status_code == status
    assert double.contents() == {"/a": b"12345678"}
    quota = ask("GET", "api/2/whoami/").json()["site"]["quota"]
    assert quota == {"disk_bytes_tally": "8", "disk_bytes_limit": "10"}


# -- operations and tasks --------------------------------------------------------------------


def test_a_rename_onto_a_name_is_refused_unless_it_replaces(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"1")
    double.write("/b", b"2")
    fields = {"src": "/a/", "dst": "/b/"}
    assert ask("POST", "api/2/path/oper/rename/", data=fields).status_code == 409
    double.options.rename_onto = "replace"
    assert ask("POST", "api/2/path/oper/rename/", data=fields).json()["path"] == "/b"
    assert double.contents() == {"/b": b"1"}
    assert ask("POST", "api/2/path/oper/rename/", data=fields).status_code == 404


def test_each_shape_of_error(double: SmartFileDouble, ask: Asking) -> None:
    def refused(operation: str, **fields: str) -> tuple[int, str]:
        answer = ask("POST", f"api/2/path/oper/{operation}/", data=fields)
        return answer.status_code, next(iter(answer.json()))

    assert refused("mkdir") == (400, "field_errors")
    assert refused("move", src="/none", dst="/") == (400, "src")
    assert refused("remove", path="/none") == (400, "path")
    assert refused("rename", src="/none", dst="/b") == (404, "detail")
    double.options.missing_status = 404
    assert refused("remove", path="/none") == (404, "path")


def test_a_task_is_polled_until_it_ends(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/d/a", b"1")
    assert ask.polls(ask.start("remove", path="/d")) == ["PENDING", "PROGRESS", "SUCCESS"]
    assert double.contents() == {}


def test_a_task_may_work_only_when_it_says_so(double: SmartFileDouble, ask: Asking) -> None:
    double.options.task_effect = "end"
    double.write("/a", b"1")
    task = ask.start("remove", path="/a")
    ask.poll(task), ask.poll(task)
    assert "/a" in double.contents()
    ask.poll(task)
    assert double.contents() == {}


def test_a_task_may_fail_in_part_in_whole_or_never_end(double: SmartFileDouble, ask: Asking) -> None:
    for name in "abcd":
        double.write(f"/{name}", b"1")
    double.script_tasks(
        Script(states=(), errors={"/a": "busy"}), Script(states=("PENDING",), end="FAILURE"), Script(end=None)
    )
    partly = ask.poll(ask.start("remove", path=["/a", "/b"]))
    assert partly["result"] == {"status": "SUCCESS", "result": {"errors": {"/a": "busy"}}}
    assert ask.polls(ask.start("remove", path="/c")) == ["PENDING", "FAILURE"]
    assert sorted(double.contents()) == ["/a", "/c", "/d"]
    endless = ask.start("remove", path="/d")
    assert {ask.poll(endless)["result"]["status"] for _ in range(20)} == {"PENDING", "PROGRESS"}


def test_tasks_expire_and_come_in_two_layouts(double: SmartFileDouble, ask: Asking) -> None:
    double.options.task_layout = "flat"
    task = ask.start("copy", src="/", dst="/")
    assert ask.poll(task)["status"] == "PENDING"
    double.expire_tasks()
    assert ask("GET", f"api/2/task/{task['uuid']}/").status_code == 404


def test_move_and_copy_lead_into_a_directory(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a/x", b"1", attributes={"k": "v"})
    double.mkdir("/to")
    ask.polls(ask.start("copy", src=["/a"], dst="/to/"))
    ask.polls(ask.start("move", src=["/a/x/"], dst="/to/"))
    assert double.contents() == {"/a": None, "/to": None, "/to/a": None, "/to/a/x": b"1", "/to/x": b"1"}
    assert double.attributes("/to/a/x") == {"k": "v"}
    again = ask.start("copy", src="/a", dst="/to")
    ask.poll(again), ask.poll(again)
    assert list(ask.poll(again)["result"]["result"]["errors"]) == ["/a"]


@pytest.mark.parametrize("algorithm", ["MD5", "SHA1", "SHA256", "SHA512", "CRC-32"])
def test_checksums(double: SmartFileDouble, ask: Asking, algorithm: str) -> None:
    double.options.task_states = ()
    double.write("/a", b"123456789")
    sums = ask.poll(ask.start("checksum", path="/a", algorithm=algorithm))["result"]["result"]["checksums"]
    right = "cbf43926" if algorithm == "CRC-32" else hashlib.new(algorithm, b"123456789").hexdigest()
    assert sums == {"/a": right}


def _nobody(request: object) -> object:
    """For `requests`: leaves the headers as they are."""
    return request
