"""The config file: what may be said, what is refused, and how the refusal reads."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from syncer.config import DaemonSettings, JobSettings, Location, Settings, load, parse
from syncer.config.paths import default_config, default_state_dir
from syncer.engine.model import ConflictPolicy, MaxDelete, Mode
from syncer.errors import ConfigError

FILE = Path("/etc/syncer/config.toml")
JOB = '[jobs.docs]\nlocal = "/data/docs"\nremote = "local:/backup/docs"\n'
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE)
    return caught.value.message


def job(extra: str = "") -> JobSettings:
    return parse(JOB + extra, FILE).jobs["docs"]


def test_the_shortest_job_gets_every_default() -> None:
    found = job()
    assert found.local == Path("/data/docs")
    assert found.remote == Location(account="local", path="/backup/docs")
    assert (found.conflict, found.mode) == (ConflictPolicy.KEEP_BOTH, Mode.TWO_WAY)
    assert (found.ignore, found.watch, found.interval) == ((), True, 300.0)
    assert (found.max_delete, found.trash_days) == (MaxDelete(share=0.5), 30)
    assert (found.max_age, found.upload_limit, found.download_limit) == (None, None, None)


def test_every_key_of_a_job_is_read() -> None:
    found = job(
        'conflict = "ask"\nmode = "push"\nignore = ["*.tmp", "build/"]\nwatch = false\ninterval = "1h30m"\n'
        'max_delete = 25\nmax_age = "2d"\ntrash_days = 7\nupload_limit = "4M"\ndownload_limit = "500k"\n'
    )
    assert (found.conflict, found.mode, found.ignore) == (ConflictPolicy.ASK, Mode.PUSH, ("*.tmp", "build/"))
    assert (found.watch, found.interval, found.max_age) == (False, 5400.0, 172_800.0)
    assert found.max_delete == MaxDelete(share=None, count=25)
    assert (found.trash_days, found.upload_limit, found.download_limit) == (7, 4 << 20, 500 << 10)


def test_the_example_loads_and_its_job_holds_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    settings = load(EXAMPLE)
    plain = JobSettings(name="docs", local=settings.jobs["docs"].local, remote=settings.jobs["docs"].remote)
    assert settings.jobs["docs"] == plain
    assert settings.state_dir == default_state_dir()
    assert settings.daemon == DaemonSettings()
    assert settings.warnings == ()


def test_the_example_names_every_key_there_is() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    from syncer.config.accounts import SWIFT_LOGINS, Orange, SmartFile

    kinds = [*SWIFT_LOGINS.values(), SmartFile, Orange]
    keys = {kind.__name__: set(kind.model_fields) for kind in kinds}
    keys["job"] = {field.name for field in fields(JobSettings)}
    keys["daemon"] = {field.name for field in fields(DaemonSettings)}
    missing = [(kind, key) for kind, names in keys.items() for key in names - {"name"} if key not in text]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "key", "right"),
    [
        ("state_dirr = 'x'\n", "state_dirr", 'did you mean "state_dir"?'),
        ("state_dir = 5\n", "state_dir", "is not a path"),
        ("jobs = 5\n", "jobs", "[jobs.NAME]"),
        ("[jobs]\ndocs = 5\n", "jobs.docs", "[jobs.docs]"),
        ("[jobs.'a:b']\n", "jobs.a:b", 'without ":"'),
        ("[accounts.local]\ntype = 'swift'\n", "accounts.local", "built in"),
        (JOB + "intervall = '5m'\n", "jobs.docs.intervall", 'did you mean "interval"?'),
        (JOB + "interval = 'soon'\n", "jobs.docs.interval", '"5m"'),
        (JOB + "interval = '0s'\n", "jobs.docs.interval", "longer than nothing"),
        (JOB + "max_age = -1\n", "jobs.docs.max_age", "longer than nothing"),
        (JOB + "conflict = 'newr'\n", "jobs.docs.conflict", 'did you mean "newer"?'),
        (JOB + "conflict = 5\n", "jobs.docs.conflict", "one of keep-both, newer, local, remote, ask"),
        (JOB + "mode = 'both'\n", "jobs.docs.mode", "one of two-way, push, pull"),
        (JOB + "ignore = '*.tmp'\n", "jobs.docs.ignore", '["*.tmp", "build/"]'),
        (JOB + "ignore = [5]\n", "jobs.docs.ignore", '["*.tmp", "build/"]'),
        (JOB + "watch = 'yes'\n", "jobs.docs.watch", "true or false"),
        (JOB + "max_delete = '500%'\n", "jobs.docs.max_delete", '"50%" or 100'),
        (JOB + "max_delete = true\n", "jobs.docs.max_delete", '"50%" or 100'),
        (JOB + "max_delete = -1\n", "jobs.docs.max_delete", '"50%" or 100'),
        (JOB + "trash_days = 0\n", "jobs.docs.trash_days", "at least 1"),
        (JOB + "trash_days = '30'\n", "jobs.docs.trash_days", "whole number"),
        (JOB + "upload_limit = '4Q'\n", "jobs.docs.upload_limit", '"4M"'),
        (JOB + "download_limit = 0\n", "jobs.docs.download_limit", "leave the key out"),
        ("[jobs.docs]\nlocal = '/a'\n", "jobs.docs.remote", "is missing"),
        ("[jobs.docs]\nremote = 'local:/a'\n", "jobs.docs.local", "is missing"),
        ("[jobs.docs]\nlocal = ''\nremote = 'local:/a'\n", "jobs.docs.local", "~/Documents"),
        ("[jobs.docs]\nlocal = '/a'\nremote = '/b'\n", "jobs.docs.remote", 'write "local:/b"'),
        ("[jobs.docs]\nlocal = '/a'\nremote = 'local:'\n", "jobs.docs.remote", "the folder is missing"),
        (
            "[jobs.docs]\nlocal = '$NOPE_UNSET/a'\nremote = 'local:/b'\n",
            "jobs.docs.local",
            "NOPE_UNSET is not set",
        ),
        ("[jobs.docs]\nlocal = '/a'\nremote = 'ohv:b'\n", "jobs.docs.remote", "known: local"),
        ("[accounts.a]\nuser = 'x'\n", "accounts.a.type", "one of swift, smartfile, orange"),
        ("[accounts.a]\ntype = 'swfit'\n", "accounts.a.type", 'did you mean "swift"?'),
        ("[accounts.a]\ntype = 'swift'\n", "accounts.a.auth", "one of v1, keystone, hubic, ovh, token"),
        ("[accounts.a]\ntype = 'swift'\nauth = 'v1'\npassword = 'x'\n", "accounts.a.password", "unknown key"),
        ("[accounts.a]\ntype = 'swift'\nauth = 'v1'\nauth_url = 'x'\n", "accounts.a.auth_url", "https://"),
        (
            "[accounts.a]\ntype = 'swift'\nauth = 'token'\ntoken = 'x'\n",
            "accounts.a.storage_url",
            "is missing",
        ),
        (
            "[accounts.a]\ntype = 'smartfile'\nurl = 'https://me:pw@x'\n",
            "accounts.a.url",
            "user or a password",
        ),
        ("[accounts.a]\ntype = 'smartfile'\npassword = {env = 5}\n", "accounts.a.password", "{env = "),
        (
            "[accounts.a]\ntype = 'smartfile'\npassword = {keyring = 'x'}\n",
            "accounts.a.password",
            "SERVICE/USER",
        ),
    ],
)
def test_a_mistake_is_named_with_file_key_and_what_would_be_right(text: str, key: str, right: str) -> None:
    message = refused(text)
    assert f"{FILE}: {key}: " in message
    assert right in message


def test_all_mistakes_are_told_at_once() -> None:
    message = refused(JOB + "watch = 5\nmode = 'x'\n")
    assert "jobs.docs.watch" in message
    assert "jobs.docs.mode" in message


def test_a_syntax_error_comes_with_line_and_column() -> None:
    message = refused("[jobs.docs\nlocal = 5")
    assert str(FILE) in message
    assert "line 1, column 11" in message


def test_the_value_of_a_secret_is_in_no_complaint() -> None:
    message = refused("[accounts.a]\ntype = 'smartfile'\npassword = ['hunter2']\nurl = 'nope'\n")
    assert "hunter2" not in message


def test_account_keys_that_the_environment_may_hold_are_optional() -> None:
    for auth in ("v1", "keystone", "hubic", "ovh"):
        assert parse(f"[accounts.a]\ntype = 'swift'\nauth = '{auth}'\n", FILE).accounts["a"].type == "swift"
    assert parse("[accounts.a]\ntype = 'smartfile'\n", FILE).accounts["a"].type == "smartfile"


def test_paths_are_expanded_and_relative_ones_belong_to_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DISK", "/mnt/disk")
    text = 'state_dir = "state"\n[jobs.docs]\nlocal = "~/docs/"\nremote = "local:$DISK/docs"\n'
    settings = parse(text, FILE)
    assert settings.state_dir == Path("/etc/syncer/state")
    assert settings.jobs["docs"].local == Path("/home/me/docs")
    assert settings.jobs["docs"].remote.folder == Path("/mnt/disk/docs")


def test_a_service_path_loses_empty_parts_and_may_not_climb() -> None:
    assert str(Location.parse("ovh:/backup//docs/")) == "ovh:backup/docs"
    with pytest.raises(ValueError, match="\\.\\."):
        Location.parse("ovh:backup/../other")


def test_without_a_file_at_the_default_place_all_is_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert load() == Settings(path=None, state_dir=tmp_path / "state/syncer", accounts={}, jobs={})


def test_a_relative_xdg_directory_is_ignored_as_its_specification_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert default_config() == Path("/home/me/.config/syncer/config.toml")


@pytest.mark.parametrize("kind", ["missing", "directory", "latin-1"])
def test_a_named_file_that_cannot_be_read_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.toml"
    if kind == "directory":
        path.mkdir()
    elif kind == "latin-1":
        path.write_bytes(b'state_dir = "/\xe9"')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_literal_secret_in_a_file_that_others_may_read_is_warned_of(
    tmp_path: Path, mode: int, warned: bool
) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[accounts.a]\ntype = 'smartfile'\npassword = 'hunter2'\n", encoding="utf-8")
    path.chmod(mode)
    warnings = load(path).warnings
    assert bool(warnings) == warned
    assert "hunter2" not in "".join(warnings)


def test_the_example_is_valid_toml_for_any_reader() -> None:
    assert set(tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))) == {
        "state_dir",
        "daemon",
        "jobs",
        "accounts",
    }


def test_an_unknown_job_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(JOB, FILE).job("doc")
    assert 'did you mean "docs"?' in caught.value.message
    assert "docs" in caught.value.hint
