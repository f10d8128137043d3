"""The double itself, asked over plain HTTP: what section after section of the notes on the protocol says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.contract.orange_rig import OrangeRig
from tests.doubles.orange import Options, OrangeDouble


class Asking:
    """`requests` with a bearer. It never tries twice."""

    def __init__(self, double: OrangeDouble) -> None:
        self.double = double
        self.token = str(double.login.grant()["access_token"])

    def __call__(self, method: str, where: str, **more: Any) -> requests.Response:
        url = where if where.startswith("http") else f"{self.double.api_url}/{where}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, url, headers=headers, timeout=20, **more)

    def upload(
        self, name: str, data: bytes, *, size: str | None = None, folder: str = ""
    ) -> requests.Response:
        description = {"name": name, "size": str(len(data)) if size is None else size}
        if folder:
            description["folder"] = folder
        files = [("description", (None, json.dumps(description))), ("file", (name, data))]
        return self("POST", f"{self.double.content_url}/files/content", files=files)

    def folder(self, where: str = "", **query: str) -> Any:
        return self("GET", f"folders/{where}" if where else "folders", params=query).json()


@pytest.fixture
def ask() -> Iterator[Asking]:
    with OrangeDouble() as double:
        yield Asking(double)


def test_items_look_as_in_the_notes(ask: Asking) -> None:
    ask.double.set_clock(lambda: 1_767_261_600.9)
    assert ask.upload("photo 1.jpg", b"12345").json() == {
        "fileId": "cGhvdG8gMS5qcGc",
        "fileName": "photo 1.jpg",
    }
    made = ask("POST", "folders", json={"name": "docs", "parentFolderId": "Lw"}).json()
    assert (made["id"], made["parentId"], made["name"]) == ("ZG9jcy8", "Lw", "docs")
    root = ask.folder()
    assert (root["id"], root["name"], root["parentId"]) == ("Lw", "", "Lw")
    [file] = root["files"]
    assert file["lastUpdateDate"] == "2026-01-01T11:00:00+0100" and file["type"] == "PICTURE"
    assert "downloadUrl" not in file and file["size"] == 5
    assert root["subfolders"] == [{"id": "ZG9jcy8", "name": "docs", "parentId": "Lw"}]


def test_ids_change_with_names_for_all_below_and_old_ones_are_gone(ask: Asking) -> None:
    ask.double.write("a/b/f", b"x")
    old = ask.folder(flat="true")["files"][0]["id"]
    moved = ask("POST", f"folders/{ask.folder()['subfolders'][0]['id']}", json={"name": "z"}).json()
    assert moved["name"] == "z" and ask.folder(moved["id"])["subfolders"][0]["name"] == "b"
    gone = ask("GET", f"files/{old}")
    assert gone.status_code == 404 and gone.json()["code"] == 60
    assert ask.folder(flat="true")["files"][0]["id"] != old


@pytest.mark.parametrize(
    ("collisions", "status", "left"),
    [
        ("error", 409, {"f": b"1"}),
        ("rename", 200, {"f": b"1", "f (1)": b"2"}),
        ("overwrite", 200, {"f": b"2"}),
    ],
)
def test_a_taken_name_is_refused_changed_or_replaced(
    ask: Asking, collisions: Any, status: int, left: dict[str, bytes]
) -> None:
    ask.double.write("f", b"1")
    ask.double.options.collisions = collisions
    assert ask.upload("f", b"2").status_code == status and ask.double.files() == left


def test_a_listing_may_be_flat_a_tree_filtered_or_a_window(ask: Asking) -> None:
    for path in ("a.jpg", "d/b.mp3", "d/e/c.txt"):
        ask.double.write(path, b"x")
    flat, tree = ask.folder(flat="true"), ask.folder(tree="true")
    assert [f["name"] for f in flat["files"]] == ["a.jpg", "b.mp3", "c.txt"]
    assert [f["name"] for f in flat["subfolders"]] == [f["name"] for f in tree["subfolders"]] == ["d", "e"]
    assert tree["files"] == []
    assert [f["name"] for f in ask.folder(flat="true", filter="audio")["files"]] == ["b.mp3"]
    page = ask.folder(flat="true", limit="2", offset="1")
    assert len(page["files"]) + len(page["subfolders"]) == 2


def test_a_listing_that_lags_shows_what_was_and_what_users_do_at_once(ask: Asking) -> None:
    ask.double.options.lag = 2
    ask.upload("f", b"1")
    ask.double.write("g", b"2")
    seen = [{f["name"] for f in ask.folder()["files"]} for _ in range(3)]
    assert seen == [{"g"}, {"g"}, {"f", "g"}]


def test_a_size_that_is_no_text_or_wrong_is_refused(ask: Asking) -> None:
    refused = ask.upload("f", b"12345", size="4")
    assert (refused.status_code, refused.json()["code"]) == (400, 24) and ask.double.files() == {}


def test_a_folder_goes_with_all_that_is_in_it_and_for_good(ask: Asking) -> None:
    ask.double.write("d/e/f", b"x")
    gone = ask("DELETE", f"folders/{ask.folder()['subfolders'][0]['id']}")
    assert (gone.status_code, gone.content) == (204, b"") and ask.double.drive.nodes == {}


def test_the_address_of_content_is_given_with_the_file_and_ends(ask: Asking) -> None:
    ask.double.write("f", b"12345")
    now = [100.0]
    ask.double.set_clock(lambda: now[0])
    ask.double.options.url_seconds = 10
    url = ask("GET", "files/Zg").json()["downloadUrl"]
    whole = ask("GET", url)
    assert (whole.status_code, whole.content) == (200, b"12345")
    now[0] += 11
    assert ask("GET", url).status_code == 404
    assert ask("GET", url + "x").status_code == 404


def test_the_two_hosts_end_tokens_apart(ask: Asking) -> None:
    ask.double.login.expire("content")
    assert ask("GET", "freespace").status_code == 200
    assert ask.upload("f", b"x").json()["code"] == 42
    ask.double.login.expire("api")
    assert ask("GET", "freespace").status_code == 401
    ask.token = "made-up"
    assert ask("GET", "freespace").json()["code"] == 41
    assert requests.get(f"{ask.double.api_url}/freespace", timeout=20).json()["code"] == 40


@pytest.mark.parametrize(
    ("shape", "keys"),
    [("flat", {"code", "message", "description"}), ("nested", {"error"}), ("old", {"error"})],
)
def test_errors_come_in_either_shape(ask: Asking, shape: Any, keys: set[str]) -> None:
    ask.double.options.shape = shape
    assert set(ask("GET", "files/none").json()) == keys


def test_the_application_s_own_folder_appears_with_the_first_upload() -> None:
    with OrangeDouble(Options(restricted=True)) as double:
        ask = Asking(double)
        assert ask("GET", "folders").status_code == 404
        ask.upload("f", b"x")
        assert [f["name"] for f in ask.folder()["files"]] == ["f"] and ask.folder()["id"] != "Lw"


def test_a_copy_leaves_the_original_where_it_is(rig: OrangeRig) -> None:
    """Also that the client's own call for it works: nothing in the store needs it yet."""
    rig.write("f", b"x")
    rig.mkdir("d")
    root = rig.orange._root
    file, folder = root.stat("f"), root.stat("d")
    assert file is not None and folder is not None
    told = root.api.copy(file.id, folder.id, folder=False)
    assert told is not None and told.name == "f"
    assert (rig.read("f"), rig.read("d/f")) == (b"x", b"x")
