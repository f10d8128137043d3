"""Commands that look: status, history, explain, check, config, doctor, completion; each with --json."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import Machine


def test_status_tells_the_last_success_and_what_waits(machine: Machine) -> None:
    [before] = machine.call("status", "--json").document["jobs"]
    assert (before["last_success"], before["last_run"], before["stale"]) == (None, None, False)
    assert "never synced" in machine.call("status").out
    assert not machine.state.exists(), "looking makes nothing"
    machine.write("local", "x", "1")
    machine.call("sync")
    [after] = machine.call("status", "--json").document["jobs"]
    assert after["last_success"] > 0
    assert (after["last_run"]["run"], after["last_run"]["result"], after["known"]) == (1, "in-sync", 1)
    assert "last success" in machine.call("status", "docs").out


def test_status_of_a_refused_run_says_why(machine: Machine) -> None:
    machine.call("sync")
    machine.local.rename(machine.home / "away")
    machine.call("sync")
    answer = machine.call("status")
    assert answer.code == 4
    assert "refused" in answer.out


def test_status_exits_3_when_the_last_success_is_too_old(machine: Machine) -> None:
    machine.configure(machine.job('max_age = "1h"'))
    assert machine.call("status").code == 3
    machine.call("sync")
    assert machine.call("status").code == 0


def test_history_lists_runs_and_what_one_did(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    machine.call("sync")
    [job] = machine.call("history", "--json").document["jobs"]
    assert [run["run"] for run in job["runs"]] == [2, 1]
    assert job["runs"][1]["totals"]["uploaded"] == 1
    [one] = machine.call("history", "docs", "--run", "1", "--json").document["jobs"]
    assert [(a["action"], a["path"], a["result"]) for a in one["actions"]] == [("upload", "x", "done")]
    assert "upload" in machine.call("history", "--run", "1").out


def test_history_of_a_job_that_never_ran_says_so(machine: Machine) -> None:
    assert machine.call("history").out == "docs: never ran\n"
    assert machine.call("history", "--json").document["jobs"] == [{"job": "docs", "runs": []}]


@pytest.mark.parametrize("command", ["history", "conflicts"])
def test_a_look_into_a_damaged_database_says_that_it_is_damaged(machine: Machine, command: str) -> None:
    machine.call("sync")
    [database] = machine.state.glob("pairs/*/state.db")
    database.write_bytes(b"no database" * 999)
    answer = machine.call(command, "--json")
    assert answer.code == 0
    assert answer.document["schema"] == 1
    assert "is damaged" in answer.err


def test_check_reports_an_error_in_the_shape_of_a_problem(machine: Machine) -> None:
    machine.call("sync")
    machine.local.rename(machine.home / "away")
    answer = machine.call("check", "--json")
    [problem] = answer.job["problems"]
    assert (answer.code, problem["code"], problem["path"]) == (4, "root-missing", str(machine.local))
    assert set(problem) == {"path", "side", "code", "message", "hint"}


def test_explain_shows_three_observations_a_rule_and_the_next_step(machine: Machine) -> None:
    machine.write("local", "d/x", "1")
    machine.call("sync")
    machine.write("local", "d/x", "22")
    found = machine.call("explain", "d/x", "--json").document
    assert (found["job"], found["path"], found["base"]["size"]) == ("docs", "d/x", 1)
    assert (found["local"]["size"], found["remote"]["size"]) == (2, 1)
    assert [a["action"] for a in found["actions"]] == ["upload"]
    for words in (("d/x", "docs"), ("./local/d/x",), (str(machine.local / "d/x"),)):
        answer = machine.call("explain", *words)
        assert answer.code == 0, answer.err
        assert "next    upload" in answer.out


def test_explain_of_a_quiet_path_says_so(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    assert "next    nothing" in machine.call("explain", "x").out


def test_check_compares_by_content(machine: Machine) -> None:
    machine.write("local", "x", "same", 1e9)
    machine.call("sync")
    answer = machine.call("check")
    assert (answer.code, answer.out) == (0, "docs: both sides are equal\n")
    machine.write("remote", "x", "SAME", 1e9)
    found = machine.call("check", "--json")
    assert found.code == 1
    [difference] = found.document["jobs"][0]["differences"]
    assert (difference["path"], difference["message"]) == ("x", "the content differs")
    assert (machine.local / "x").read_text(encoding="utf-8") == "same"


def test_check_of_a_refused_job_tells_the_guard(machine: Machine) -> None:
    machine.call("sync")
    machine.local.rename(machine.home / "away")
    found = machine.call("check", "--json")
    assert found.code == 4
    assert found.document["jobs"][0]["problems"][0]["code"] == "root-missing"


def test_config_check_and_show(machine: Machine) -> None:
    account = '[accounts.a]\ntype = "smartfile"\nkey = "me"\npassword = {env = "PW"}\n'
    machine.configure(account + machine.job('upload_limit = "4M"'))
    assert machine.call("config").code == 0
    checked = machine.call("config", "check", "--json").document
    assert (checked["jobs"], checked["accounts"], checked["warnings"]) == (["docs"], ["a"], [])
    shown = machine.call("config", "show", "--json").document
    assert shown["jobs"]["docs"]["max_delete"] == "50%"
    assert shown["jobs"]["docs"]["upload_limit"] == 4 << 20
    assert shown["accounts"]["a"] == {"type": "smartfile", "key": "me", "password": {"env": "PW"}}
    assert 'interval = "5m"' in machine.call("config", "show").out


def test_what_config_show_prints_is_a_config_again(machine: Machine) -> None:
    machine.configure(machine.job('ignore = ["*.tmp"]'))
    shown = machine.call("config", "show").out
    machine.configure(shown)
    assert machine.call("config", "show").out == shown


def test_config_check_warns_of_a_folder_that_is_not_there(machine: Machine) -> None:
    machine.local.rmdir()
    answer = machine.call("config", "check")
    assert answer.code == 0
    assert "is not there" in answer.out


def test_doctor_probes_and_leaves_nothing_behind(machine: Machine) -> None:
    answer = machine.call("doctor", "--json")
    found = {check["name"]: check for check in answer.document["checks"]}
    assert {"python", "librsync", "sqlite", "config", "state_dir", "docs remote", "docs local"} <= set(found)
    assert "GB free" in found["docs local"]["message"]
    assert list(machine.local.iterdir()) == []
    assert len(machine.call("doctor").out.splitlines()) < 25


def test_doctor_names_what_is_bad(machine: Machine) -> None:
    machine.local.rmdir()
    answer = machine.call("doctor")
    assert answer.code == 1
    assert "BAD  docs local" in answer.out
    machine.configure("nonsense")
    assert machine.call("doctor").code == 1


def test_doctor_sees_a_damaged_state_database(machine: Machine) -> None:
    machine.call("sync")
    assert "ok   docs state" in machine.call("doctor").out
    [database] = machine.state.glob("pairs/*/state.db")
    database.write_bytes(b"no database" * 999)
    answer = machine.call("doctor")
    assert answer.code == 1
    assert "BAD  docs state" in answer.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(machine: Machine, shell: str) -> None:
    assert "_SYNCER_COMPLETE" in machine.call("completion", shell).out


def codes(machine: Machine) -> dict[str, int]:
    """How the four commands that say how a job stands end; `sync` last, for it changes that."""
    return {command: machine.call(command).code for command in ("plan", "status", "check", "sync")}


def test_what_waits_for_a_person_was_told_by_one_command_and_hidden_by_another(machine: Machine) -> None:
    machine.configure(machine.job('conflict = "ask"'))
    machine.write("local", "x", "mine")
    machine.write("remote", "x", "yours!")
    machine.call("sync")
    assert codes(machine) == dict.fromkeys(("plan", "status", "check", "sync"), 1)
    machine.call("conflicts", "resolve", "x", "--take", "local")
    assert "local is chosen" in machine.call("plan").out
    assert [machine.call(command).code for command in ("plan", "status")] == [0, 0]
    assert codes(machine)["sync"] == 0
    assert codes(machine) == dict.fromkeys(("plan", "status", "check", "sync"), 0)


def test_a_path_that_is_skipped_was_told_by_one_command_and_hidden_by_another(machine: Machine) -> None:
    machine.call("sync")
    (machine.local / ".syncer-tmp-of-mine").write_text("not a name that can be synced")
    (machine.local / "sub").mkdir()
    (machine.local / "sub/.SYNCER-TMP-x").write_text("nor this")
    machine.call("sync")
    found = codes(machine)
    assert (found["plan"], found["status"], found["sync"]) == (1, 1, 1)


def test_a_transfer_that_failed_was_told_by_one_command_and_hidden_by_another(machine: Machine) -> None:
    machine.write("local", "d/x", "1")
    machine.call("sync")
    (machine.remote / "d").chmod(0o500)
    machine.write("local", "d/y", "2")
    with as_nobody(machine):
        assert machine.call("sync").code == 3
        assert codes(machine) == dict.fromkeys(("plan", "status", "check", "sync"), 3)
    (machine.remote / "d").chmod(0o700)
    assert machine.call("sync").code == 0
    assert codes(machine) == dict.fromkeys(("plan", "status", "check", "sync"), 0)


@contextmanager
def as_nobody(machine: Machine) -> Iterator[None]:
    """Rights are nothing to the superuser: then another user's eyes are borrowed, who owns it all."""
    if os.geteuid():
        yield
        return
    give(machine, 65534)
    ways = [p for p in machine.home.parents if p.stat().st_uid == 0 and not p.stat().st_mode & 0o001]
    for path in ways:
        path.chmod(path.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        give(machine, 0)


def give(machine: Machine, user: int) -> None:
    for path in (machine.home, *machine.home.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def test_deletions_that_are_held_were_told_by_one_command_and_hidden_by_another(machine: Machine) -> None:
    for number in range(20):
        machine.write("local", f"f{number}", str(number))
    machine.call("sync")
    for number in range(19):
        (machine.local / f"f{number}").unlink()
    assert machine.call("sync").code == 4
    assert codes(machine) == dict.fromkeys(("plan", "status", "check", "sync"), 4)
    assert machine.call("plan", "--yes").code == 0
    assert machine.call("sync", "--yes").code == 0
    assert codes(machine) == dict.fromkeys(("plan", "status", "check", "sync"), 0)


def test_after_a_run_that_an_error_ended_status_said_that_all_was_well(machine: Machine) -> None:
    machine.call("sync")
    marker = machine.remote / ".syncer/root-id"
    text = marker.read_bytes()
    marker.unlink()
    assert machine.call("sync").code == 4
    answer = machine.call("status")
    assert (answer.code, "has no root marker any more" in answer.out) == (4, True)
    assert machine.call("status", "--json").job["exit"] == 4
    marker.write_bytes(text)
    assert machine.call("sync").code == 0
    assert machine.call("status").code == 0
    machine.configure(
        '[accounts.a]\ntype = "smartfile"\nurl = "http://127.0.0.1:9"\nkey = "k"\npassword = "p"\n'
    )
    machine.configure(machine.config.read_text() + f'[jobs.j]\nlocal = "{machine.local}"\nremote = "a:x"\n')
    code = machine.call("sync").code
    assert code in (3, 7)
    answer = machine.call("status")
    assert (answer.code, "ended: error" in answer.out) == (code, True)


def test_a_job_that_can_never_run_was_only_never_synced(machine: Machine) -> None:
    machine.local.rmdir()
    assert machine.call("sync").code == 2
    answer = machine.call("status")
    assert (answer.code, "does not exist" in answer.out) == (2, True)


def test_kept_conflicts_were_told_once_and_never_again(machine: Machine) -> None:
    for name in ("x", "y"):
        machine.write("local", name, "mine", 1e9)
        machine.write("remote", name, "yours!", 1.1e9)
    first = machine.call("sync")
    assert (first.code, "2 conflicts kept, see `syncer conflicts`" in first.out.splitlines()[-1]) == (0, True)
    again = machine.call("sync")
    assert (again.code, "2 conflicts kept, see `syncer conflicts`" in again.out.splitlines()[-1]) == (0, True)
    assert machine.call("plan").out.splitlines()[-1] == (
        "docs: nothing to do, 2 conflicts kept, see `syncer conflicts`"
    )
    assert machine.call("sync", "--json").job["kept_conflicts"] == 2
    assert machine.call("status").code == 0
    machine.call("conflicts", "resolve", "x", "--take", "both")
    assert "1 conflict kept, see `syncer conflicts`" in machine.call("sync").out
    machine.call("conflicts", "resolve", "y", "--take", "both")
    assert machine.call("sync").out == "docs: in sync\n"


def test_explain_names_the_versions_in_the_trash_of_both_sides(machine: Machine) -> None:
    machine.configure(machine.job())
    for side, text in (("local", "one"), ("local", "two, longer"), ("remote", "three"), ("local", "4")):
        machine.write(side, "d/f", text)
        assert machine.call("sync").code == 0
    machine.write("local", "other", "x")
    said = machine.call("explain", "d/f", "--json").document
    assert [(one["side"], one["run"], one["size"]) for one in said["trash"]] == [
        ("remote", "2", 3),
        ("local", "3", 11),
        ("remote", "4", 5),
    ]
    lines = [line for line in machine.call("explain", "d/f").out.splitlines() if "trash" in line]
    assert len(lines) == 3 and "remote, run 4, " in lines[0] and ", 5 B" in lines[0]
    (machine.local / "d/f").unlink()
    assert machine.call("sync").code == 0
    assert len(machine.call("explain", "d/f", "--json").document["trash"]) == 4, "of what is gone as well"
    assert machine.call("explain", "other", "--json").document["trash"] == []
