"""A config that others may write decides what runs as us, and where our secrets go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncer.config import load
from syncer.config.permissions import others_may_write
from syncer.errors import ConfigError

PLAIN = "[jobs.docs]\nlocal = '/a'\nremote = 'local:/b'\n"
COMMANDS = {
    "daemon.on_error": PLAIN + "[daemon]\non_error = 'run-me'\n",
    "jobs.docs.on_conflict": PLAIN + "on_conflict = 'run-me'\n",
    "accounts.a.token": "[accounts.a]\ntype = 'swift'\nauth = 'token'\n"
    "storage_url = 'https://h/v1'\ntoken = {command = 'run-me'}\n",
}


def config(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("key", COMMANDS)
@pytest.mark.parametrize("how", ["world-writable", "of another user", "a directory of others"])
def test_commands_are_not_taken_from_a_file_that_others_may_write(tmp_path: Path, key: str, how: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = config(folder, COMMANDS[key], 0o602 if how == "world-writable" else 0o600)
    if how == "of another user":
        os.chown(path, 12345, 12345)
    elif how == "a directory of others":
        folder.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write") as found:
        load(path)
    assert key in found.value.message and "chmod go-w" in found.value.hint


def test_without_commands_it_is_said_and_taken(tmp_path: Path) -> None:
    settings = load(config(tmp_path, PLAIN, 0o602))
    assert "docs" in settings.jobs and "others may write" in settings.warnings[0]


@pytest.mark.parametrize("key", COMMANDS)
def test_a_file_of_ones_own_is_taken_with_its_commands(tmp_path: Path, key: str) -> None:
    assert load(config(tmp_path, COMMANDS[key], 0o644)).warnings == ()


def test_a_sticky_directory_keeps_others_from_putting_another_file_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = config(folder, PLAIN)
    folder.chmod(0o1777)
    assert not others_may_write(path)


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    path = config(theirs, PLAIN, 0o602)
    (tmp_path / "link.toml").symlink_to(path)
    assert others_may_write(tmp_path / "link.toml")


def test_an_account_that_may_send_secrets_in_the_clear_is_named_at_each_start(tmp_path: Path) -> None:
    text = "[accounts.nas]\ntype = 'smartfile'\nurl = 'http://nas.example:8080/'\ninsecure = true\n"
    [warning] = load(config(tmp_path, text)).warnings
    assert warning.startswith("accounts.nas: insecure = true")
