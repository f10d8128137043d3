"""The released program itself with today's, both ways. Needs the history: a shallow clone has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat import story
from tests.compat.programs import TODAY, Home, Program, released, trashed, tree
from tests.compat.relay import Relay

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Program:
    found = released(tmp_path_factory.mktemp("released"))
    if found is None:
        pytest.skip("the released version is not in this clone's history")
    return found


class Place:
    """A served folder and a client of it, at an address that stays."""

    def __init__(self, base: Path) -> None:
        self.folder, self.state = base / "folder", base / "server"
        self.docs, self.home = self.folder / "docs", Home(base=base / "home")
        self.docs.mkdir(parents=True)

    def live(self, server: Program, client: Program) -> None:
        """The whole story between them."""
        key = server.add_key(self.folder, self.state)
        story.begin(self.docs)
        with server.serving(self.folder, state=self.state) as served, Relay(served.url) as relay:
            self.home.configure(relay.url, *key)
            for chapter in story.CHAPTERS:
                for side, path, content in chapter:
                    story.write(self.home.local if side == "local" else self.docs, path, content)
                client.sync(self.home)
            assert client.sync(self.home)["actions"] == []
        assert tree(self.home.local) == tree(self.docs) == story.END
        assert trashed(self.state) == sorted(story.TRASH["server"])
        assert trashed(self.home.base) == sorted(story.TRASH["home"])


@pytest.mark.parametrize("newer", ["client", "server"])
def test_a_client_and_a_server_of_different_versions_keep_in_step(
    tmp_path: Path, old: Program, newer: str
) -> None:
    server, client = (old, TODAY) if newer == "client" else (TODAY, old)
    Place(tmp_path).live(server, client)


def test_a_client_and_a_server_that_are_updated_one_after_the_other_keep_their_memory(
    tmp_path: Path, old: Program
) -> None:
    place = Place(tmp_path)
    place.live(old, old)
    with Relay.nowhere() as relay:
        config = place.home.config.read_text()
        address = next(line for line in config.splitlines() if line.startswith("url"))
        place.home.config.write_text(config.replace(address, f'url = "{relay.url}"'))
        for server, client in ((old, old), (TODAY, old), (TODAY, TODAY), (old, TODAY)):
            with server.serving(place.folder, state=place.state) as served:
                relay.lead_to(served.url)
                client.sync(place.home)
                place.home.write("note", f"{server} {client}".encode())
                (place.home.local / "d/new").unlink(missing_ok=True)
                done = client.sync(place.home)["actions"]
                assert ("upload", "note") in [(a["action"], a["path"]) for a in done]
                assert client.sync(place.home)["actions"] == []
                assert tree(place.home.local) == tree(place.docs)
                assert "d/new" not in tree(place.docs), "a deletion is not undone by an update"


def test_a_state_of_today_is_refused_by_the_released_program_and_left_as_it_is(
    tmp_path: Path, old: Program
) -> None:
    place = Place(tmp_path)
    place.live(TODAY, TODAY)
    databases = {p: p.read_bytes() for p in place.home.base.rglob("state.db*")}
    with TODAY.serving(place.folder, state=place.state) as served, Relay.nowhere() as relay:
        address = place.home.config.read_text().split('url = "')[1].split('"')[0]
        place.home.config.write_text(place.home.config.read_text().replace(address, relay.url))
        relay.lead_to(served.url)
        TODAY.sync(place.home)
        databases = {p: p.read_bytes() for p in place.home.base.rglob("state.db")}
        place.home.write("more", b"more")
        done = old.run("--config", str(place.home.config), "sync")
        assert done.returncode == 5 and "use the newer Syncer that wrote it" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert {p: p.read_bytes() for p in place.home.base.rglob("state.db")} == databases
        assert TODAY.sync(place.home)["exit"] == 0
    assert tree(place.home.local) == tree(place.docs)
