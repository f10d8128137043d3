"""`sync` and `plan`: what is done, what is printed, and the exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Machine


def actions(job: dict[str, list[dict[str, str]]]) -> list[tuple[str, str, str]]:
    return [(a["action"], a["path"], a["result"]) for a in job["actions"]]


def test_a_first_sync_makes_the_remote_and_fills_both_sides(machine: Machine) -> None:
    machine.write("local", "a/b.txt", "hello")
    answer = machine.call("sync", "--json")
    assert answer.code == 0
    assert answer.document["schema"] == 1
    job = answer.job
    assert (job["job"], job["run"], job["result"], job["exit"]) == ("docs", 1, "in-sync", 0)
    assert ("upload", "a/b.txt", "done") in actions(job)
    assert ("mkdir-remote", "a", "done") in actions(job)
    upload = next(a for a in job["actions"] if a["action"] == "upload")
    assert (upload["reason"], upload["size"], upload["sent"], upload["received"]) == ("local-new", 5, 5, 0)
    assert upload["method"] in ("whole", "copy")
    assert (job["conflicts"], job["problems"]) == ([], [])
    assert job["totals"]["uploaded"] == 1
    assert job["totals"]["bytes_sent"] == 5
    assert (machine.remote / "a/b.txt").read_text(encoding="utf-8") == "hello"


def test_a_download_counts_as_received(machine: Machine) -> None:
    machine.call("sync")
    machine.write("remote", "x", "12345")
    job = machine.call("sync", "--json").job
    assert actions(job) == [("download", "x", "done")]
    assert (job["totals"]["downloaded"], job["totals"]["bytes_received"]) == (1, 5)
    assert (job["totals"]["uploaded"], job["totals"]["bytes_sent"]) == (0, 0)


def test_a_second_sync_has_nothing_to_do(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    job = machine.call("sync", "--json").job
    assert (job["run"], job["actions"], job["exit"]) == (2, [], 0)


def test_people_get_a_line_per_action_and_a_summary_on_stdout(machine: Machine) -> None:
    machine.write("local", "x", "1")
    answer = machine.call("sync")
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0].split() == ["upload", "x", "(1", "B,", "local-new)"]
    assert lines[-1] == "docs: in sync, 1 up (1 B)"
    machine.write("local", "y", "1")
    quiet = machine.call("sync", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_quiet_prints_only_what_somebody_must_act_on(machine: Machine) -> None:
    machine.configure(machine.job('conflict = "ask"\nmax_delete = 1'))
    for name in ("a", "b", "c", "kept"):
        machine.write("local", name, "1")
    machine.call("sync")
    for name in ("a", "b", "c"):
        (machine.local / name).unlink()
    machine.write("local", "kept", "mine")
    machine.write("remote", "kept", "yours!")
    machine.write("local", "new", "1")
    answer = machine.call("sync", "-q")
    assert (answer.code, answer.err) == (4, "")
    heads = [line.split()[0] for line in answer.out.splitlines() if not line.startswith(" ")]
    assert heads == ["conflict", "held", "docs:"]
    assert (machine.remote / "new").read_text() == "1"


def test_a_deleted_file_goes_to_the_trash(machine: Machine) -> None:
    machine.write("local", "x", "precious")
    machine.call("sync")
    (machine.local / "x").unlink()
    answer = machine.call("sync", "--json")
    assert actions(answer.job) == [("delete-remote", "x", "done")]
    assert machine.everything() == {}
    assert machine.kept() == [b"precious"]


def test_a_conflict_is_kept_on_both_sides_and_explained(machine: Machine) -> None:
    machine.write("local", "x.txt", "base", 1e9)
    machine.call("sync")
    machine.write("local", "x.txt", "mine", 1.1e9)
    machine.write("remote", "x.txt", "yours!", 1.2e9)
    answer = machine.call("sync", "--json")
    [conflict] = answer.job["conflicts"]
    assert conflict["path"] == "x.txt"
    assert (conflict["reason"], conflict["resolution"]) == ("both-changed", "keep-both")
    assert conflict["local"] == {"kind": "file", "size": 4, "mtime": 1.1e9}
    assert conflict["remote"] == {"kind": "file", "size": 6, "mtime": 1.2e9}
    copy = conflict["copy"]
    assert copy.startswith("x.sync-conflict-")
    contents = machine.everything()
    assert contents[f"local/{copy}"] == contents[f"remote/{copy}"] == b"mine"
    assert contents["local/x.txt"] == contents["remote/x.txt"] == b"yours!"
    [action] = [a for a in answer.job["actions"] if a["action"] == "keep-both"]
    assert action["copy"] == copy
    assert (action["sent"], action["received"]) == (4, 6)
    assert "both are kept" in answer.err


def test_plan_says_the_same_and_changes_nothing(machine: Machine) -> None:
    machine.write("local", "x", "1")
    planned = machine.call("plan", "--json")
    assert planned.code == 0
    assert actions(planned.job) == [("upload", "x", "planned")]
    assert (planned.job["result"], planned.job["run"]) == ("planned", 0)
    assert not machine.remote.exists()
    assert not machine.state.exists()
    assert actions(machine.call("sync", "--json").job) == [("upload", "x", "done")]


def test_plan_of_a_known_pair_leaves_both_sides_alone(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    machine.write("remote", "y", "2")
    before = machine.everything()
    answer = machine.call("plan")
    assert "download" in answer.out
    assert answer.out.splitlines()[-1] == "docs: would sync, 1 down (1 B)"
    assert machine.everything() == before
    assert machine.call("sync", "--dry-run", "--json").job["result"] == "planned"
    assert machine.everything() == before


def test_a_plan_can_be_saved(machine: Machine) -> None:
    machine.write("local", "x", "1")
    file = machine.home / "plan.json"
    assert machine.call("plan", "-o", str(file)).code == 0
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert saved["schema"] == 1
    assert saved["jobs"][0]["actions"][0]["path"] == "x"
    assert machine.call("plan", "-o", "/no/such/folder/plan").code == 2


@pytest.mark.parametrize("remote", ["local:there", "there", "./there", "~/there"])
def test_two_folders_need_no_config(machine: Machine, remote: str) -> None:
    machine.config.unlink()
    machine.write("local", "x", "1")
    answer = machine.call("sync", "local", remote if ":" in remote or "/" in remote else f"./{remote}")
    assert answer.code == 0, answer.err
    assert (machine.home / "there/x").read_text(encoding="utf-8") == "1"


def test_an_existing_folder_by_its_bare_name_is_a_remote(machine: Machine) -> None:
    (machine.home / "there").mkdir()
    machine.write("local", "x", "1")
    assert machine.call("sync", "local", "there").code == 0
    assert (machine.home / "there/x").exists()


def test_a_pair_may_bring_its_own_rules(machine: Machine) -> None:
    machine.write("local", "x.tmp", "1")
    machine.write("local", "y", "1")
    assert machine.call("sync", "local", "./there", "--ignore", "*.tmp", "--mode", "push").code == 0
    assert sorted(p.name for p in (machine.home / "there").iterdir() if p.name != ".syncer") == ["y"]
    assert machine.call("sync", "local", "./there", "--conflict", "newr").code == 2
    assert machine.call("sync", "docs", "--mode", "push").code == 2


def test_options_may_stand_anywhere(machine: Machine) -> None:
    elsewhere = machine.home / "other.toml"
    elsewhere.write_text(machine.job(name="other"), encoding="utf-8")
    for words in (
        ("--json", "--config", str(elsewhere), "sync", "other"),
        ("sync", "other", "--json", "--config", str(elsewhere)),
        ("sync", "--json", "-c", str(elsewhere), "--full", "other"),
    ):
        answer = machine.call(*words)
        assert (answer.code, answer.job["job"]) == (0, "other"), answer.err


def test_all_jobs_run_and_the_worst_end_counts(machine: Machine) -> None:
    gone = machine.home / "gone"
    text = f'[jobs.broken]\nlocal = "{gone}"\nremote = "local:{machine.home}/x"\n' + machine.job()
    machine.configure(text)
    machine.write("local", "a", "1")
    answer = machine.call("sync", "--json")
    assert answer.code == 2
    assert [(j["job"], j["result"], j["exit"]) for j in answer.document["jobs"]] == [
        ("broken", "error", 2),
        ("docs", "in-sync", 0),
    ]
    assert (machine.remote / "a").exists()
    assert str(gone) in answer.document["jobs"][0]["problems"][0]["message"]
    assert answer.document["jobs"][0]["problems"][0]["code"] == "config"


def test_a_missing_root_of_a_known_pair_is_refused_until_it_is_back(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    away = machine.local.rename(machine.home / "away")
    answer = machine.call("sync", "--json")
    assert answer.code == 4
    assert answer.job["result"] == "refused"
    assert answer.job["problems"][0]["code"] == "root-missing"
    assert (machine.remote / "x").exists()
    assert not machine.local.exists()
    planned = machine.call("plan", "--json")
    assert (planned.code, planned.job["result"], planned.job["exit"]) == (4, "refused", 4)
    away.rename(machine.local)
    assert machine.call("sync").code == 0


def test_a_replaced_root_is_refused_and_accepted_with_yes_without_a_deletion(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    machine.local.rename(machine.home / "away")
    machine.write("local", "y", "2")
    answer = machine.call("sync", "--json")
    assert (answer.code, answer.job["problems"][0]["code"]) == (4, "root-replaced")
    assert "--yes" in answer.job["problems"][0]["hint"]
    assert "local/x" not in machine.everything()
    planned = machine.call("plan", "--yes", "--json").job
    assert actions(planned) == [("download", "x", "planned"), ("upload", "y", "planned")]
    assert machine.call("sync", "--yes").code == 0
    assert set(machine.everything()) == {"local/x", "local/y", "remote/x", "remote/y"}
    assert machine.call("sync").code == 0


def test_held_deletions_are_named_by_status_until_they_are_let_through(machine: Machine) -> None:
    for number in range(20):
        machine.write("local", f"f{number}", str(number))
    machine.call("sync")
    for number in range(15):
        (machine.local / f"f{number}").unlink()
    machine.write("local", "new", "fresh")
    answer = machine.call("sync", "--json")
    assert (answer.code, answer.job["result"]) == (4, "held")
    held = answer.job["problems"][0]
    assert len(held["paths"]) == 15
    assert (machine.remote / "f0").exists()
    assert (machine.remote / "new").exists()
    [status] = machine.call("status", "--json").document["jobs"]
    assert len(status["held"][0]["paths"]) == 15
    assert "f14" in machine.call("status").out
    assert machine.call("sync", "--max-delete", "15").code == 0
    assert not (machine.remote / "f0").exists()
    assert machine.call("status", "--json").document["jobs"][0]["held"] == []


def test_two_jobs_may_share_a_local_folder(machine: Machine) -> None:
    other = f'[jobs.second]\nlocal = "{machine.local}"\nremote = "local:{machine.home}/second"\n'
    machine.configure(machine.job() + other)
    machine.write("remote", "x", "1")
    assert machine.call("sync").code == 0
    assert (machine.home / "second/x").exists()
    assert machine.call("sync").code == 0


def test_a_renamed_job_keeps_its_memory(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    machine.configure(machine.job(name="papers"))
    (machine.local / "x").unlink()
    assert actions(machine.call("sync", "papers", "--json").job) == [("delete-remote", "x", "done")]


def test_a_job_that_is_pointed_elsewhere_starts_anew(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    machine.configure(f'[jobs.docs]\nlocal = "{machine.local}"\nremote = "local:{machine.home}/other"\n')
    assert machine.call("sync").code == 0
    assert (machine.local / "x").exists()
    assert (machine.home / "other/x").exists()


def test_a_damaged_database_is_moved_aside_and_said_once(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.call("sync")
    [database] = machine.state.glob("pairs/*/state.db")
    database.write_bytes(b"rubbish" * 1000)
    (machine.local / "x").unlink()
    answer = machine.call("sync", "--json")
    assert answer.code == 0
    assert "moved" in answer.job["notes"][0]
    assert (machine.local / "x").exists(), "nothing is deleted for what is no longer known"
    assert machine.call("sync", "--json").job["notes"] == []


def test_names_that_are_not_utf8_come_back_from_the_document(machine: Machine) -> None:
    name = b"caf\xe9\n\x1b[31m"
    Path(os.fsdecode(os.fsencode(machine.local) + b"/" + name)).write_bytes(b"1")
    answer = machine.call("sync", "--json")
    assert answer.out.isascii()
    [action] = answer.job["actions"]
    assert os.fsencode(action["path"]) == name
    assert "\x1b" not in answer.err
    assert "caf\\xe9\\n\\x1b[31m" in answer.err


def test_what_is_never_synced_is_reported_once(machine: Machine) -> None:
    os.mkfifo(machine.local / "pipe")
    first = machine.call("sync", "--json").job
    assert [(p["path"], p["side"]) for p in first["problems"]] == [("pipe", "local")]
    code = first["problems"][0]["code"]
    assert code == "unsupported"
    assert first["problems"][0]["message"] == "a fifo: never synced"
    if first["exit"] == 0:
        assert machine.call("sync", "--json").job["problems"] == []


def test_state_is_for_its_user_only_and_users_files_are_not_touched_by_that(machine: Machine) -> None:
    machine.write("local", "x", "1").chmod(0o644)
    machine.call("sync")
    assert machine.state.stat().st_mode & 0o077 == 0
    for path in machine.state.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (machine.remote / "x").stat().st_mode & 0o044
