"""Paths as users have them: absolute, relative to where they are or to a root, of what stands or once did."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Machine


def explained(answer: Answer) -> tuple[str, bool, bool, bool]:
    """The path that was meant, and whether base, local and remote show it."""
    assert answer.code == 0, answer.err
    found = answer.document
    return found["path"], *(found[key] is not None for key in ("base", "local", "remote"))


@pytest.fixture
def lived(machine: Machine) -> Machine:
    """`sub/gone` was deleted here, `sub/there` stands only there, `sub/lost` is only in the trash."""
    for name in ("keep", "sub/gone", "sub/lost"):
        machine.write("local", name, name)
    assert machine.call("sync").code == 0
    (machine.remote / "sub/lost").unlink()
    assert machine.call("sync").code == 0
    (machine.local / "sub/gone").unlink()
    machine.write("remote", "sub/there", "there")
    return machine


@pytest.mark.parametrize(
    ("cwd", "prefix"),
    [
        (".", "local/sub/"),
        (".", "./local/../local/sub/"),
        (".", "remote/sub/"),
        (".", "sub/"),
        (".", "{home}/local/sub/"),
        (".", "{home}/remote/sub/"),
        ("local", "sub/"),
        ("local", "./sub/"),
        ("local/sub", ""),
        ("local/sub", "sub/"),
        ("local/sub", "../sub/"),
        ("remote/sub", ""),
        ("/", "sub/"),
    ],
)
def test_explain_took_a_path_for_another_one_unless_the_file_stood_here(
    lived: Machine, monkeypatch: pytest.MonkeyPatch, cwd: str, prefix: str
) -> None:
    monkeypatch.chdir(lived.home / cwd)
    where = prefix.format(home=lived.home)
    assert explained(lived.call("explain", f"{where}gone", "--json")) == ("sub/gone", True, False, True)
    assert explained(lived.call("explain", f"{where}there", "--json")) == ("sub/there", False, False, True)
    assert explained(lived.call("explain", f"{where}lost", "--json")) == ("sub/lost", False, False, False)
    back = lived.call("trash", "restore", f"{where}lost", "--json")
    assert [one["path"] for one in back.document["restored"]] == ["sub/lost"]


def test_a_path_below_a_directory_that_is_gone_was_not_found(lived: Machine) -> None:
    lived.write("local", "keep2", "so that the side is not empty")
    shutil.rmtree(lived.local / "sub")
    for text in ("local/sub/gone", str(lived.local / "sub/gone"), "sub/gone"):
        assert explained(lived.call("explain", text, "--json")) == ("sub/gone", True, False, True)


def test_explain_said_nothing_of_a_path_while_a_guard_refused_the_job(machine: Machine) -> None:
    for name in ("a", "b", "c"):
        machine.write("local", name, name)
    machine.call("sync")
    for name in ("a", "b", "c"):
        (machine.local / name).unlink()
    answer = machine.call("explain", "local/a", "--json")
    assert explained(answer) == ("a", True, False, True)
    assert "refused by the guard emptied" in answer.document["rule"]


def test_of_two_files_the_one_where_the_user_is_is_meant(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write("local", "x", "1")
    machine.write("local", "sub/x", "22")
    machine.call("sync")
    monkeypatch.chdir(machine.local / "sub")
    assert machine.call("explain", "x", "--json").document["path"] == "sub/x"
    monkeypatch.chdir(machine.home)
    assert machine.call("explain", "x", "--json").document["path"] == "x"


def test_a_path_of_a_job_is_found_by_where_it_is_among_several_jobs(machine: Machine) -> None:
    (machine.home / "photos").mkdir()
    photos = f'[jobs.photos]\nlocal = "{machine.home}/photos"\nremote = "local:{machine.home}/pcopy"\n'
    machine.configure(machine.job() + photos)
    (machine.home / "photos/x").write_text("a photo")
    machine.write("local", "x", "a text")
    machine.call("sync")
    assert machine.call("explain", "photos/x", "--json").document["job"] == "photos"
    assert machine.call("explain", "pcopy/x", "--json").document["job"] == "photos"
    assert machine.call("explain", "local/x", "--json").document["job"] == "docs"
    (machine.home / "pcopy/x").unlink()
    (machine.remote / "x").unlink()
    machine.call("sync")
    assert machine.call("trash", "restore", "local/x").code == 0
    assert (machine.local / "x").exists()
    assert not (machine.home / "photos/x").exists()
    assert machine.call("explain", "/elsewhere/x").code == 2
    answer = machine.call("explain", "x")
    assert (answer.code, "docs, photos" in answer.err) == (2, True)


NAMES = ("report [final].txt", "report f.txt", "d/a[1].txt", "d/a1.txt", "d/*")


@pytest.fixture
def conflicting(machine: Machine) -> Machine:
    for name in NAMES:
        machine.write("local", name, "base", 1e9)
    machine.call("sync")
    for name in NAMES:
        machine.write("local", name, "mine", 1.1e9)
        machine.write("remote", name, "yours!", 1.2e9)
    machine.call("sync")
    return machine


def still_open(machine: Machine) -> set[str]:
    return {one["path"] for one in machine.call("conflicts", "--json").document["conflicts"]}


def test_a_name_that_looks_like_a_glob_took_other_files_with_it(conflicting: Machine) -> None:
    assert still_open(conflicting) == set(NAMES)
    left = set(NAMES)
    for name in ("report [final].txt", "d/a[1].txt", "d/*"):
        shown = conflicting.call("conflicts", "show", name, "--json").document["conflicts"]
        assert [one["path"] for one in shown] == [name]
        assert conflicting.call("conflicts", "resolve", name, "--take", "remote").code == 0
        left.remove(name)
        assert still_open(conflicting) == left
    assert conflicting.call("conflicts", "resolve", "report*", "--take", "local").code == 0
    assert still_open(conflicting) == {"d/a1.txt"}


@pytest.mark.parametrize(
    ("cwd", "text"),
    [
        (".", "local/d/a[1].txt"),
        (".", "remote/d/a[1].txt"),
        (".", "{home}/local/d/a[1].txt"),
        ("local/d", "a[1].txt"),
        ("local/d", "a[[]1].t*"),
        ("local", "d/a[[]*"),
        (".", "local/d/a[[]*"),
    ],
)
def test_a_conflict_named_as_the_shell_completes_it_was_not_found(
    conflicting: Machine, monkeypatch: pytest.MonkeyPatch, cwd: str, text: str
) -> None:
    monkeypatch.chdir(conflicting.home / cwd)
    named = text.format(home=conflicting.home)
    assert conflicting.call("conflicts", "resolve", named, "--take", "local").code == 0
    assert still_open(conflicting) == set(NAMES) - {"d/a[1].txt"}


def test_a_folder_names_everything_below_it(conflicting: Machine) -> None:
    assert conflicting.call("conflicts", "resolve", "local/d/", "--take", "both").code == 0
    assert still_open(conflicting) == {"report [final].txt", "report f.txt"}
    for name in ("d/a[1].txt", "d/*"):
        (conflicting.local / name).unlink()
    conflicting.call("sync")
    assert conflicting.call("trash", "restore", "d").code == 0
    assert (conflicting.remote / "d/a[1].txt").exists()


def test_of_several_names_the_one_that_was_wrong_was_passed_over(conflicting: Machine) -> None:
    answer = conflicting.call("conflicts", "resolve", "report f.txt", "nothing", "--take", "local")
    assert (answer.code, "no open conflict at nothing" in answer.err) == (2, True)
    assert still_open(conflicting) == set(NAMES)
    (conflicting.local / "report f.txt").unlink()
    conflicting.call("sync")
    answer = conflicting.call("trash", "restore", "report f.txt", "nothing")
    assert (answer.code, "does not hold nothing" in answer.err) == (2, True)
    assert not (conflicting.remote / "report f.txt").exists()


def test_the_name_of_the_working_directory_was_read_as_a_glob(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("d[1]/x", "d1/x"):
        machine.write("local", name, name)
    machine.call("sync")
    for name in ("d[1]/x", "d1/x"):
        (machine.remote / name).unlink()
    machine.call("sync")
    (machine.local / "d[1]").mkdir(exist_ok=True)
    monkeypatch.chdir(machine.local / "d[1]")
    assert machine.call("trash", "restore", "?").code == 0
    assert (machine.local / "d[1]/x").exists()
    assert not (machine.local / "d1/x").exists()


@pytest.mark.parametrize(
    ("cwd", "to", "where"),
    [
        (".", "local/back", "back"),
        (".", "back", "back"),
        ("local/sub", "back", "sub/back"),
        ("local/sub", "../back", "back"),
        (".", "{home}/local/sub/back", "sub/back"),
    ],
)
def test_a_place_to_restore_to_is_a_path_like_any_other(
    lived: Machine, monkeypatch: pytest.MonkeyPatch, cwd: str, to: str, where: str
) -> None:
    monkeypatch.chdir(lived.home / cwd)
    words = ("trash", "restore", "sub/lost", "--to", to.format(home=lived.home))
    assert lived.call(*words).code == 0
    assert (lived.local / where).read_text() == "sub/lost"


def test_a_path_leads_through_a_symlink_above_the_root(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(machine.home)
    machine.write("local", "d/x", "1")
    machine.call("sync")
    (machine.local / "d/x").unlink()
    found = machine.call("explain", str(tmp_path / "way/local/d/x"), "--json")
    assert explained(found) == ("d/x", True, False, True)


def test_a_working_directory_that_is_gone_leaves_paths_below_a_root(
    lived: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lived.home / "gone").mkdir()
    monkeypatch.chdir(lived.home / "gone")
    (lived.home / "gone").rmdir()
    assert explained(lived.call("explain", "sub/gone", "--json")) == ("sub/gone", True, False, True)
    here = str(lived.local / "sub/gone")
    assert explained(lived.call("explain", here, "--json")) == ("sub/gone", True, False, True)
    monkeypatch.chdir("/")
