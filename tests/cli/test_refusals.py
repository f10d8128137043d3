"""Everything a user can get wrong on the command line or in the config: exit 2, what, where, remedy."""

from __future__ import annotations

import pytest

from syncer.cli.main import COMMANDS, main
from tests.cli.conftest import Machine


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("snyc",), "did you mean"),
        (("sync", "--nope"), "--nope"),
        (("sync", "doc"), 'did you mean "docs"'),
        (("sync", "a", "b", "c"), "no job"),
        (("sync", "--max-delete", "many"), "--max-delete"),
        (("sync", "local", "nope:x"), "unknown account"),
        (("sync", "local", "local:"), "REMOTE"),
        (("sync", "./local", ""), "REMOTE is empty"),
        (("sync", "", "./remote"), "LOCAL is empty"),
        (("sync", "./local", "box"), "did you mean `box:`?"),
        (("sync", "./local", "dcs"), 'did you mean "docs"'),
        (("plan", "./local", "box"), "write ./box"),
        (("sync", "~root/x", "./remote"), "~root/x does not exist"),
        (("sync", "$HOME/local", "./remote"), "$HOME/local does not exist"),
        (("sync", "./local", "local:~root/x/y"), "parent does not exist"),
        (("sync", "local", "./x", "--mode", "up"), "one of two-way, push, pull"),
        (("sync", "/no/such/folder", "./x"), "does not exist"),
        (("sync", "local", "./no/such/parent"), "parent does not exist"),
        (("plan", "local", "./no/such/parent"), "parent does not exist"),
        (("--config", "/no/such/file", "sync"), "no such config file"),
        (("explain", "/somewhere/else"), "not below"),
        (("explain", "../x"), "never synced"),
        (("explain", ".syncer/root-id"), "never synced"),
        (("conflicts", "resolve", "--take", "local"), "--all"),
        (("conflicts", "resolve", "x", "--take", "mine"), "mine"),
        (("conflicts", "resolve", "x"), "Choose from: local, remote, both"),
        (("conflicts", "resolve", "x", "--take", "local"), "no open conflict"),
        (("conflicts", "show", "x"), "no open conflict"),
        (("trash", "restore", "x"), "does not hold"),
        (("trash", "empty"), "nobody is there"),
        (("trash", "empty", "--yes", "--older-than", "long"), "--older-than"),
        (("history", "--run", "99"), "no run 99"),
        (("completion", "tcsh"), "tcsh"),
    ],
)
def test_a_wrong_word_exits_2_and_says_what_is_right(
    machine: Machine, words: tuple[str, ...], said: str
) -> None:
    answer = machine.call(*words)
    assert answer.code == 2, answer.err
    assert answer.err.startswith("syncer: ")
    assert said in answer.err
    assert "Traceback" not in answer.err
    in_json = machine.call(*words, "--json")
    assert in_json.code == 2
    document = in_json.document
    assert document["schema"] == 1
    told = document.get("error") or document["jobs"][0]["problems"][0]
    assert said in told["message"] + told["hint"]


def test_a_wrong_word_changes_nothing(machine: Machine) -> None:
    machine.call("sync", "local", "./no/such/parent")
    machine.call("sync", "/no/such/folder", "./x")
    assert not (machine.home / "x").exists()
    assert not (machine.local / ".syncer").exists()


def test_without_any_job_the_two_ways_out_are_named(machine: Machine) -> None:
    machine.config.unlink()
    answer = machine.call("sync")
    assert answer.code == 2
    assert "[jobs.NAME]" in answer.err
    assert "syncer sync LOCAL REMOTE" in answer.err
    assert str(machine.config) in answer.err


def test_a_broken_config_exits_2_with_file_key_and_remedy(machine: Machine) -> None:
    machine.configure(machine.job('intervall = "5m"'))
    for command in ("sync", "plan", "status", "check", "history"):
        answer = machine.call(command)
        assert answer.code == 2
        assert f"{machine.config}: jobs.docs.intervall: " in answer.err
        assert '"interval"' in answer.err


@pytest.mark.parametrize(
    ("local", "remote", "said"),
    [
        ("local", "local", "the same as"),
        ("local", "local/sub", "inside"),
        ("local/sub", "local", "around"),
        ("local", "link", "the same as"),
    ],
)
def test_roots_in_each_other_are_refused(machine: Machine, local: str, remote: str, said: str) -> None:
    (machine.local / "sub").mkdir()
    (machine.home / "link").symlink_to(machine.local)
    for words in (("sync",), ("plan",), ("config", "check")):
        text = f'[jobs.docs]\nlocal = "{machine.home}/{local}"\nremote = "local:{machine.home}/{remote}"\n'
        machine.configure(text)
        answer = machine.call(*words)
        assert answer.code == 2
        assert f"{machine.config}: jobs.docs.remote: " in answer.err
        assert said in answer.err
    assert machine.call("sync", f"./{local}", f"./{remote}").code == 2


def test_two_jobs_in_each_other_are_refused(machine: Machine) -> None:
    (machine.local / "sub").mkdir()
    other = f'[jobs.inner]\nlocal = "{machine.local}/sub"\nremote = "local:{machine.home}/inner"\n'
    machine.configure(machine.job() + other)
    answer = machine.call("sync", "docs")
    assert answer.code == 2
    assert "jobs.inner.local" in answer.err
    assert "jobs.docs.local" in answer.err
    assert not machine.remote.exists()


def test_two_jobs_over_one_pair_are_refused(machine: Machine) -> None:
    machine.configure(machine.job() + machine.job(name="again"))
    answer = machine.call("sync")
    assert answer.code == 2
    assert "jobs.again" in answer.err


@pytest.mark.parametrize("place", ["local/state", "remote", "."])
def test_a_state_directory_that_shares_a_root_is_refused(machine: Machine, place: str) -> None:
    machine.configure(f'state_dir = "{machine.home}/{place}"\n' + machine.job())
    answer = machine.call("sync")
    assert answer.code == 2
    assert f"{machine.config}: state_dir: " in answer.err
    assert "hint: set state_dir" in answer.err


def test_a_root_that_is_a_file_is_refused(machine: Machine) -> None:
    machine.remote.write_text("a file", encoding="utf-8")
    answer = machine.call("sync")
    assert answer.code == 2
    assert "folder" in answer.err
    machine.remote.unlink()
    machine.local.rmdir()
    machine.local.write_text("a file", encoding="utf-8")
    assert machine.call("sync").code == 2


def test_a_root_that_became_a_file_is_a_guards_affair(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    machine.remote.rename(machine.home / "away")
    machine.remote.write_text("a file", encoding="utf-8")
    assert machine.call("sync").code == 4


def test_a_job_of_an_account_nobody_logged_in_to_says_how_to(machine: Machine) -> None:
    account = '[accounts.cloud]\ntype = "orange"\nclient_id = "x"\nclient_secret = {env = "X"}\n'
    account += 'redirect_uri = "http://localhost/"\n'
    machine.configure(account + f'[jobs.up]\nlocal = "{machine.local}"\nremote = "cloud:x"\n')
    assert machine.call("config", "check").code == 0
    answer = machine.call("sync")
    assert answer.code == 7
    assert "log in: syncer login cloud" in answer.err


def test_literal_secrets_in_an_open_file_are_warned_of_and_never_shown(machine: Machine) -> None:
    machine.configure('[accounts.a]\ntype = "smartfile"\npassword = "hunter2"\n' + machine.job())
    machine.config.chmod(0o644)
    for words in (("sync",), ("config", "show"), ("config", "show", "--json"), ("doctor",), ("sync", "-vv")):
        answer = machine.call(*words)
        assert "accounts.a.password" in answer.err
        assert "hunter2" not in answer.err + answer.out


def test_every_command_has_help(machine: Machine) -> None:
    for command in COMMANDS:
        answer = machine.call(command, "--help")
        assert answer.code == 0
        assert "Usage:" in answer.out
    assert main(["--version"]) == 0
