"""Distinctive secrets in every kind of account and in every place; then a search through all output.

What is searched: stdout and stderr at -vv, a crash, and every file of the state directory but the tokens'
own. The doubles tell which tokens they handed out, and these are searched for as well.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.conftest import Machine, machine
from tests.cli.test_login import browser, call, table
from tests.doubles.hubic import HubicDouble
from tests.doubles.orange import OrangeDouble
from tests.doubles.ovh import OvhDouble
from tests.doubles.smartfile import SmartFileDouble
from tests.jobs.login.conftest import hubic, hubic_url, orange, ovh, ovh_url, site, swift
from tests.swift.server import Swift

__all__ = ["hubic", "hubic_url", "machine", "orange", "ovh", "ovh_url", "site", "swift"]

JOBS = ("orange", "hubic", "site", "v1")
CRASH = """
import sys
from syncer.cli import main as cli
from syncer.config import load
import types, click
module = types.ModuleType("syncer.cli.boom")

@click.command()
def boom():
    settings = load(None)
    raise RuntimeError(f"{settings!r} {[dict(account) for account in settings.accounts.values()]!r}")

module.boom = boom
sys.modules["syncer.cli.boom"] = module
cli.COMMANDS["boom"] = ("boom", "Fails.")
sys.exit(cli.main(sys.argv[1:]))
"""


class Planted:
    """A machine with every kind of account, and all that must not show."""

    def __init__(
        self,
        machine: Machine,
        services: tuple[OrangeDouble, HubicDouble, OvhDouble, SmartFileDouble, Swift],
        urls: tuple[str, str],
    ) -> None:
        self.machine = machine
        self.orange, self.hubic, self.ovh, self.site, self.swift = services
        self.hubic_url, self.ovh_url = urls
        self.words: list[str] = []
        self.orange.login.client_secret = self.secret("orange-client")
        self.hubic.client_secret, self.hubic.password = (
            self.secret("hubic-client"),
            self.secret("hubic & word"),
        )
        self.ovh.secret, self.ovh.consumer = self.secret("ovh-application"), self.secret("ovh-consumer")
        self.ovh.credentials = {self.ovh.consumer: next(iter(self.ovh.credentials.values()))}
        self.site.site.credentials.password = self.secret("smartfile-password")
        self.environ = {"PLANTED_OVH": self.ovh.secret, "PLANTED_KEY": self.swift.key}

    def secret(self, name: str) -> str:
        """A secret that stands nowhere else."""
        made = f"planted-{name}-{os.urandom(8).hex()}"
        self.words.append(made)
        return made

    def configure(self) -> None:
        """Secrets as text, from the environment, from a file, from a command; right ones and wrong ones."""
        home = self.machine.home
        (home / "hubic-secret").write_text(self.hubic.client_secret + "\n")
        (home / "site-secret").write_text(self.site.password + "\n")
        wrong = self.secret("wrong")
        text = (
            table(
                "orange",
                type="orange",
                client_id=self.orange.login.client_id,
                client_secret=self.orange.login.client_secret,
                redirect_uri=self.orange.login.redirect_uri,
                api_url=self.orange.api_url,
                content_url=self.orange.content_url,
                auth_url=self.orange.auth_url,
            )
            + table(
                "hubic", type="swift", auth="hubic", client_id=self.hubic.client_id, api_url=self.hubic_url
            )
            + f'redirect_uri = "{self.hubic.redirect_uri}"\n'
            + f'username = "{self.hubic.user}"\npassword = {json.dumps(self.hubic.password)}\n'
            + 'client_secret = {file = "~/hubic-secret"}\n'
            + table("ovh", type="swift", auth="ovh", endpoint=self.ovh_url, application_key=self.ovh.key)
            + f'application_secret = {{env = "PLANTED_OVH"}}\nconsumer_key = "{self.ovh.consumer}"\n'
            + table("site", type="smartfile", url=self.site.url, key=self.site.key)
            + f'password = {{command = ["cat", "{home}/site-secret"]}}\n'
            + table("v1", type="swift", auth="v1", auth_url=self.swift.auth_url, user=self.swift.user)
            + 'key = {env = "PLANTED_KEY"}\n'
            + table(
                "dance", type="smartfile", url=self.site.url, client_token="t" * 30, client_secret=wrong * 2
            )
            + table("token", type="swift", auth="token", storage_url="http://127.0.0.1:9/v1/a", token=wrong)
            + table("stone", type="swift", auth="keystone", auth_url="http://127.0.0.1:9/v3", username="me")
            + f'password = "{wrong}"\nproject = "p"\n'
            + table("bad", type="swift", auth="v1", auth_url=self.swift.auth_url, user="a:b", key=wrong)
        )
        for name in JOBS:
            (home / name).mkdir()
            (home / name / "a.txt").write_text(f"content of {name}")
            text += f'[jobs.{name}]\nlocal = "{home / name}"\nremote = "{name}:{self.container}"\n'
        self.machine.configure(text)

    @property
    def container(self) -> str:
        return "planted"

    def called(self, *words: str, **environ: str) -> int:
        """Calls the program, searches what it said; its exit code."""
        answer = call(self.machine, *words, "-vv", **self.environ, **environ)
        self.search(" ".join(words), (answer.out + answer.err).encode())
        assert "Traceback" not in answer.err, answer.err
        return answer.code

    def shown(self, *words: str) -> int:
        """The same in this process, which is quicker; without the log, which pytest would take."""
        answer = self.machine.call(*words)
        self.search(" ".join(words), (answer.out + answer.err).encode())
        return answer.code

    def search(self, where: str, content: bytes) -> None:
        """Fails where anything that was planted or handed out stands."""
        for word in [*self.words, *self._handed_out(), self.swift.key]:
            for shape in shapes(word):
                assert shape not in content, f"{shape!r} in {where}"

    def _handed_out(self) -> list[str]:
        login = self.orange.login
        found = [
            *login._refresh,
            *login._access,
            *self.hubic.grants,
            *self.hubic.bearers,
            *self.hubic.tokens.given,
        ]
        return [*found, *self.ovh.tokens.given, *(key for key in self.ovh.credentials)]

    def search_state(self) -> int:
        """All files below the state directory but the tokens' own; how many there were."""
        files = [p for p in self.machine.state.rglob("*") if p.is_file() and p.parent.name != "tokens"]
        for file in files:
            self.search(str(file), file.read_bytes())
        return len(files)


def shapes(word: str) -> Iterator[bytes]:
    """How a text may stand somewhere: as it is, in a URL, in base64 (at each of three offsets)."""
    plain = word.encode()
    yield from {plain, quote(word, safe="").encode(), json.dumps(word)[1:-1].encode()}
    if len(plain) >= 12:
        for offset in range(3):
            coded = base64.b64encode(b"x" * offset + plain)
            yield coded[4 : len(coded) - 4]  # the ends depend on the neighbours


@pytest.fixture
def planted(
    machine: Machine,
    orange: OrangeDouble,
    hubic: HubicDouble,
    hubic_url: str,
    ovh: OvhDouble,
    ovh_url: str,
    site: SmartFileDouble,
    swift: Swift,
    monkeypatch: pytest.MonkeyPatch,
) -> Planted:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    site.mkdir("planted")
    orange.mkdir("planted")
    found = Planted(machine, (orange, hubic, ovh, site, swift), (hubic_url, ovh_url))
    found.configure()
    for name, value in found.environ.items():
        monkeypatch.setenv(name, value)
    return found


def test_no_secret_shows_in_anything_the_program_writes(planted: Planted) -> None:
    home = planted.machine.home
    assert planted.called("config", "show") == planted.shown("config", "show", "--json") == 0
    assert planted.called("login", "orange", BROWSER=browser(planted.machine)) == 0
    assert planted.called("login", "hubic", "--json") == 0
    assert [planted.shown("login", name) for name in ("ovh", "site", "v1")] == [0, 0, 0]
    assert planted.called("login", "bad") == planted.called("login", "dance") == 7
    assert planted.called("doctor") == planted.shown("doctor", "--json", "ovh", "bad") == 1
    assert planted.called("sync", "--json") == 0
    for name in JOBS:
        assert planted.shown("ls", f"{name}:planted", "--json") == 0
        assert planted.shown("quota", f"{name}:") == 0
    for words in (("status", "--json"), ("history", "--json"), ("explain", str(home / "v1/a.txt"))):
        assert planted.shown(*words) == 0
    assert planted.search_state() >= len(JOBS)
    assert sorted(p.name for p in planted.machine.state.glob("tokens/*")) == ["hubic.json", "orange.json"]
    planted.search("the browser's command line", (home / "calls").read_bytes())


def test_an_expired_login_in_the_middle_shows_nothing(planted: Planted) -> None:
    planted.called("login", "orange", BROWSER=browser(planted.machine))
    planted.orange.login.expire("api")
    planted.orange.login.revoked = True
    planted.site.revoke()
    assert planted.called("sync", "orange") == 7
    assert planted.called("sync", "site") == 7
    planted.search_state()


def test_a_crash_shows_nothing(planted: Planted) -> None:
    environ = {**os.environ, **planted.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    for words in (["boom"], ["-vv", "boom"]):
        done = subprocess.run(
            [sys.executable, "-c", CRASH, *words], env=environ, capture_output=True, timeout=60
        )
        assert done.returncode == 5
        assert b"unexpected RuntimeError" in done.stderr and b"application_key" in done.stderr
        assert (b"Traceback" in done.stderr) is ("-vv" in words)
        planted.search("a crash", done.stdout + done.stderr)


def test_the_search_finds_what_it_searches_for() -> None:
    word = "planted-hubic & word-0123456789abcdef"
    for content in (
        f"x {word} y",
        f"?password={quote(word)}&x",
        json.dumps({"a": word}),
        "Basic " + base64.b64encode(f"alice:{word}".encode()).decode(),
    ):
        assert any(shape in content.encode() for shape in shapes(word)), content
    assert not any(shape in b"planted-elsewhere" for shape in shapes(word))
