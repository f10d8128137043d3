"""Commands that look: status, history, explain, check, config, doctor, completion; each with --json."""

from __future__ import annotations

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
    assert answer.code == 0
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
