"""The wire and the stored state of the released version, as recorded by scripts/record_release.py."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.compat import story
from tests.compat.programs import COMMIT, TODAY, Home, trashed, tree
from tests.compat.recording import Answers, Hand, ask, load, said
from tests.doubles.serving import Served

HERE = Path(__file__).parent / COMMIT


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The directories of a released client and server: `home`, `folder`, `server`."""
    with tarfile.open(HERE / "home.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_a_released_client_is_answered_as_its_own_server_answered_it(tmp_path: Path) -> None:
    folder, state = tmp_path / "folder", tmp_path / "server"
    story.begin(folder / "docs")
    key = TODAY.add_key(folder, state)
    calls = set()
    with TODAY.serving(folder, state=state) as server:
        TODAY.sync(Home(base=tmp_path / "other").configure(server.url, *key))  # so that there is a marker
        for played in ask(server.url, key, load(HERE / "client.json.gz"), folder / "docs"):
            calls.add(played.recorded.call)
            told = (played.status, said(played.answer))
            assert covers(told, (played.recorded.status, said(played.expected))), played.recorded.target
    assert {"root", "hello", "changed", "list", "tree", "fetch", "signature", "put", "delete"} <= calls
    assert tree(folder / "docs") == story.END
    assert trashed(state) == sorted(story.TRASH["server"])


FREE = frozenset({"free", "used", "server", "device", "marker", "limits"})
"""Fields whose values are another machine's."""


def covers(now: Any, before: Any) -> bool:
    """Whether everything that was said before is said now; there may be more fields and elements."""
    match before:
        case dict():
            return isinstance(now, dict) and all(
                key in now and (key in FREE or covers(now[key], value)) for key, value in before.items()
            )
        case list() | tuple():
            return len(now) >= len(before) and all(map(covers, now, before))
        case _:
            return bool(now == before)


def test_todays_client_understands_a_released_server(tmp_path: Path) -> None:
    steps = load(HERE / "server.json.gz")
    answers, home = Answers(steps), Home(base=tmp_path)
    with Served(answers) as front:
        home.configure(front.url, "k" * 32, "p" * 32)
        for chapter in story.CHAPTERS:
            for side, path, content in chapter:
                if side == "local":
                    home.write(path, content)
            TODAY.sync(home)
        assert tree(home.local) == story.END
        assert answers.unasked == []
    assert trashed(tmp_path / "state") == sorted(story.TRASH["home"])
    assert [step for step in steps if isinstance(step, Hand)], "the server's side had changes of its own"


def test_a_released_state_keeps_its_memory_trash_and_history(recorded: Path) -> None:
    """At another place and address, as on a new machine: nothing comes back, nothing is sent again."""
    docs, before = Home(base=recorded / "home"), recorded / "folder/docs"
    key = keys(docs)
    docs.write("d/new", None)
    docs.write("large", story.LINES)
    (before / "d/small").write_bytes(b"the server's")
    with TODAY.serving(recorded / "folder", state=recorded / "server") as server:
        done = TODAY.sync(docs.configure(server.url, *key))
        assert {(a["action"], a["path"]) for a in done["actions"]} == {
            ("delete-remote", "d/new"),
            ("upload", "large"),
            ("download", "d/small"),
        }
        assert done["run"] == len(story.CHAPTERS) + 1, "the history goes on"
        assert tree(docs.local) == tree(before) == {"large": story.LINES, "d/small": b"the server's"}
        kept = [*story.TRASH["home"], b"larger now"]
        assert trashed(docs.base) == sorted(kept)
        shown = TODAY.run("--config", str(docs.config), "trash", "list", "--json")
        assert shown.returncode == 0 and len(shown.stdout.split('"path"')) - 1 == len(kept), shown.stdout
        put_back = TODAY.run("--config", str(docs.config), "trash", "restore", str(docs.local / "theirs"))
        assert put_back.returncode == 0, put_back.stderr
        assert (docs.local / "theirs").read_bytes() == b"theirs, edited"
        assert TODAY.sync(docs)["actions"] != []
        assert TODAY.sync(docs)["actions"] == []
    assert trashed(recorded / "server") == sorted([*story.TRASH["server"], b"new", story.EDITED_AGAIN])


def keys(home: Home) -> tuple[str, str]:
    """Key and password, as the config that came along has them."""
    lines = dict(line.split(" = ") for line in home.config.read_text().splitlines() if " = " in line)
    return lines["key"].strip('"'), lines["password"].strip('"')
