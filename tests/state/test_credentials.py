"""Where the tokens of a login are kept: whole, private, for one purpose, in a keyring where there is one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from syncer.errors import AuthError, StateError
from syncer.state.credentials import CredentialStore, SystemKeyring

TOKENS = {"access": "made-up-access-token", "refresh": "made-up-refresh-token"}


class Ring:
    """A keyring in memory. `failing`: it is locked, and says so in its own way."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.failing = False

    def _used(self) -> None:
        if self.failing:
            raise RuntimeError("locked; the secret was made-up-access-token")

    def get_password(self, service: str, user: str) -> str | None:
        self._used()
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, password: str) -> None:
        self._used()
        self.kept[service, user] = password

    def delete_password(self, service: str, user: str) -> None:
        self._used()
        del self.kept[service, user]


def nowhere() -> SystemKeyring | None:
    return None


def wallet(home: Path, account: str = "cloud", ring: Ring | None = None) -> CredentialStore:
    return CredentialStore(home / "state", account, vault=(lambda: ring) if ring else nowhere)


def test_what_is_kept_comes_back_in_another_process(tmp_path: Path) -> None:
    assert wallet(tmp_path).load("here") is None
    assert wallet(tmp_path).save("here", TOKENS) == "file"
    assert wallet(tmp_path).load("here") == TOKENS


def test_the_file_is_private_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    os.umask(before := os.umask(0))
    try:
        os.umask(0)
        wallet(tmp_path).save("here", TOKENS)
    finally:
        os.umask(before)
    [file] = (tmp_path / "state/tokens").iterdir()
    assert file.name == "cloud.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_token_is_not_given_for_another_service(tmp_path: Path) -> None:
    wallet(tmp_path).save("orange https://real.example app", TOKENS)
    assert wallet(tmp_path).load("orange https://elsewhere.example app") is None


def test_each_account_has_its_own_whatever_it_is_called(tmp_path: Path) -> None:
    names = ["cloud", "..", ".", "a b", "été", "cloud.json", "%2e%2e", "CLOUD"]
    for name in names:
        wallet(tmp_path, name).save("here", {"name": name})
    assert [dict(wallet(tmp_path, name).load("here") or {}) for name in names] == [{"name": n} for n in names]
    assert len(list((tmp_path / "state/tokens").iterdir())) == len(names)
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["tokens"]
    with pytest.raises(StateError, match="too long"):
        wallet(tmp_path, "é" * 100)


def test_forgetting_says_whether_there_was_anything(tmp_path: Path) -> None:
    assert wallet(tmp_path).forget() is False
    assert not (tmp_path / "state").exists()
    wallet(tmp_path).save("here", TOKENS)
    assert wallet(tmp_path).forget() is True
    assert wallet(tmp_path).forget() is False
    assert list((tmp_path / "state/tokens").iterdir()) == []


def test_what_a_killed_login_left_is_swept_by_the_next(tmp_path: Path) -> None:
    wallet(tmp_path).save("here", TOKENS)
    left = tmp_path / "state/tokens/cloud.json.0123abcd.tmp"
    others = tmp_path / "state/tokens/cloudy.json.0123abcd.tmp"
    for path in (left, others):
        path.write_text("half a tok")
    wallet(tmp_path).save("here", TOKENS)
    assert not left.exists() and others.exists()


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "state/tokens/cloud.json").mkdir(parents=True)
    with pytest.raises(StateError, match="cannot be kept") as caught:
        wallet(tmp_path).save("here", TOKENS)
    assert "made-up" not in str(caught.value)
    assert [p.name for p in (tmp_path / "state/tokens").iterdir()] == ["cloud.json"]


SAVING = """
import sys
from pathlib import Path
from syncer.state.credentials import CredentialStore
wallet = CredentialStore(Path(sys.argv[1]), "cloud", vault=lambda: None)
wallet.save("here", {"text": "a" * 9000, "again": "a" * 9000})
print("begun", flush=True)
while True:
    for letter in "bcdef":
        wallet.save("here", {"text": letter * 9000, "again": letter * 9000})
"""


def test_a_login_killed_at_any_moment_leaves_the_old_or_the_new_one_whole(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVING, str(state)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert child.stdout is not None
        with child.stdout:
            child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        child.wait()
        kept = wallet(tmp_path).load("here")
        assert kept is not None and len(kept["text"]) == 9000 and kept["text"] == kept["again"]


def test_a_careless_copy_is_made_private_again(tmp_path: Path) -> None:
    wallet(tmp_path).save("here", TOKENS)
    file = tmp_path / "state/tokens/cloud.json"
    file.chmod(0o644)
    assert wallet(tmp_path).load("here") == TOKENS
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "for": "here", "kept": "file", "values": {"a": 1}}'],
)
def test_a_file_that_is_no_login_asks_for_a_new_one(tmp_path: Path, text: str) -> None:
    wallet(tmp_path).save("here", TOKENS)
    (tmp_path / "state/tokens/cloud.json").write_text(text)
    with pytest.raises(AuthError) as caught:
        wallet(tmp_path).load("here")
    assert caught.value.hint == "log in again: syncer login cloud"
    assert wallet(tmp_path).forget() is True


def test_a_symlink_in_its_place_is_not_followed(tmp_path: Path) -> None:
    wallet(tmp_path).save("here", TOKENS)
    file = tmp_path / "state/tokens/cloud.json"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="cannot be read"):
        wallet(tmp_path).load("here")


def test_with_a_keyring_no_token_is_in_a_file(tmp_path: Path) -> None:
    ring = Ring()
    assert wallet(tmp_path, ring=ring).save("here", TOKENS) == "keyring"
    assert wallet(tmp_path, ring=ring).load("here") == TOKENS
    assert "made-up" not in (tmp_path / "state/tokens/cloud.json").read_text()
    assert wallet(tmp_path, ring=ring).load("elsewhere") is None
    assert wallet(tmp_path, ring=ring).forget() is True
    assert ring.kept == {}


def test_two_state_directories_do_not_share_an_entry(tmp_path: Path) -> None:
    ring = Ring()
    for name in ("one", "two"):
        wallet(tmp_path / name, ring=ring).save("here", {"name": name})
    assert wallet(tmp_path / "one", ring=ring).load("here") == {"name": "one"}


def test_a_keyring_that_fails_is_done_without(tmp_path: Path) -> None:
    ring = Ring()
    ring.failing = True
    assert wallet(tmp_path, ring=ring).save("here", TOKENS) == "file"
    assert wallet(tmp_path, ring=ring).load("here") == TOKENS


def test_a_keyring_that_is_locked_is_said_without_its_words(tmp_path: Path) -> None:
    ring = Ring()
    wallet(tmp_path, ring=ring).save("here", TOKENS)
    ring.failing = True
    for attempt in (lambda: wallet(tmp_path, ring=ring).load("here"), wallet(tmp_path, ring=ring).forget):
        with pytest.raises(AuthError, match="RuntimeError") as caught:
            attempt()
        assert "made-up" not in str(caught.value) and caught.value.__suppress_context__
    with pytest.raises(AuthError, match="cannot be reached"):
        wallet(tmp_path).forget()
    with pytest.raises(AuthError, match="does not hold"):
        wallet(tmp_path).load("here")


def test_what_is_in_the_keyring_from_before_goes_too(tmp_path: Path) -> None:
    ring = Ring()
    wallet(tmp_path, ring=ring).save("here", TOKENS)
    ring.failing = True
    wallet(tmp_path, ring=ring).save("here", TOKENS)
    ring.failing = False
    assert wallet(tmp_path, ring=ring).forget() is True
    assert ring.kept == {}


KEYRING = """
class Backend:
    priority = {priority}
def get_keyring():
    {body}
"""
ASKING = "from syncer.state.credentials import system_vault; print(type(system_vault()).__name__)"


@pytest.mark.parametrize(
    ("priority", "body", "found"),
    [
        (5, "return Backend()", "Backend"),
        (0, "return Backend()", "NoneType"),
        (5, "raise RuntimeError", "NoneType"),
    ],
)
def test_a_keyring_is_used_only_if_its_own_package_recommends_it(
    tmp_path: Path, priority: int, body: str, found: str
) -> None:
    (tmp_path / "keyring.py").write_text(KEYRING.format(priority=priority, body=body))
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", ASKING],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, found), done.stderr
