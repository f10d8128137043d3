"""Service definitions: parsed as systemd and launchd do, installed, and never over manual changes."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.config import parse
from syncer.daemon.service import environment, installer, systemd, unit_file
from syncer.daemon.service.launchd import Agents
from syncer.daemon.service.spec import Ran, ServiceSpec, run
from syncer.daemon.service.systemd import UserManager
from syncer.daemon.service.unit_file import UnitFileState
from syncer.errors import ConfigError, LocalError, UsageError

WANTED = ServiceSpec(python="/opt/venv/bin/python", config=Path("/home/me/.config/syncer/config.toml"))


class Commands:
    """Stands where commands are run: remembers them, and says what it is told to."""

    def __init__(self, *, fails: str = "", missing: bool = False) -> None:
        self.ran: list[str] = []
        self._fails = fails
        self._missing = missing

    def __call__(self, words: Sequence[str]) -> Ran:
        if self._missing:
            return Ran(status=None, output=f"{words[0]} is not installed")
        self.ran.append(" ".join(words))
        failed = bool(self._fails) and self._fails in self.ran[-1]
        return Ran(status=1, output="no bus") if failed else Ran(status=0, output="systemd 252 (252.38)")


# -- a strict reader of units, from systemd.syntax(7) and systemd.service(5) -----------------------

_ESCAPES = {"\\": "\\", '"': '"', "n": "\n", "t": "\t", "r": "\r"}
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"\'\\]+)(?=\s|$)', re.DOTALL)


def settings_of(text: str) -> dict[str, list[tuple[str, str]]]:
    """Sections with their settings in order. Refuses whatever systemd would have to guess at."""
    found: dict[str, list[tuple[str, str]]] = {}
    section: list[tuple[str, str]] | None = None
    for line in text.split("\n"):
        assert line == line.strip() and not line.endswith("\\"), line
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            assert line in ("[Unit]", "[Service]", "[Install]") and line not in found, line
            section = found.setdefault(line, [])
            continue
        assert section is not None
        key, equals, value = line.partition("=")
        assert equals and re.fullmatch("[A-Za-z]+", key), line
        section.append((key, value))
    return found


def words_of(line: str) -> list[str]:
    """The words of a setting: quotes and C escapes read, `%` and `$` still as they stand."""
    words, at = [], 0
    while at < len(line):
        found = _WORD.match(line, at)
        assert found, line[at:]
        words.append(found[2] if found[1] is None else _unescaped(found[1]))
        at = found.end()
        assert at == len(line) or line[at] == " "
        at += at < len(line)
    return words


def _unescaped(text: str) -> str:
    def one(found: re.Match[bytes]) -> bytes:
        word = found[1].decode()
        return bytes([int(word[1:], 16)]) if word[0] == "x" else _ESCAPES[word].encode()

    return os.fsdecode(re.sub(rb"\\(x[0-9a-f]{2}|.)", one, os.fsencode(text), flags=re.DOTALL))


def expanded(word: str, *, variables: bool) -> str:
    """Specifiers, then variables. A lone sign would mean something else than itself."""
    for sign in "%$" if variables else "%":
        assert sign not in word.replace(sign * 2, ""), word
        word = word.replace(sign * 2, sign)
    return word


def command_of(text: str) -> list[str]:
    """What is executed in the end."""
    [line] = [value for key, value in settings_of(text)["[Service]"] if key == "ExecStart"]
    assert re.match(r'"?/', line), "an absolute path, and no sign before it that means something"
    program, *rest = words_of(line)
    words = [expanded(program, variables=False), *(expanded(word, variables=True) for word in rest)]
    return words[1:] if words[0] == "/usr/bin/env" else words


NAMES = st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])
    | st.sampled_from("\"'\\$%{}; \n\t\udcff"),
    min_size=1,
    max_size=12,
)


@given(jobs=st.lists(NAMES, max_size=3), folder=NAMES, place=NAMES)
def test_systemd_runs_exactly_the_words_that_are_meant(jobs: list[str], folder: str, place: str) -> None:
    folder = folder.replace("/", "_")
    wanted = ServiceSpec(python=f"/{folder}/python", config=Path("/etc/c.toml"), jobs=(place, *jobs))
    try:
        text = systemd.unit(wanted)
    except ConfigError:
        assert "=" in folder, "only what `env` would misunderstand is refused"
        return
    assert command_of(text) == list(wanted.words)


@given(value=NAMES)
def test_a_variable_is_what_it_was(value: str) -> None:
    text = systemd.unit(ServiceSpec(python="/p", config=Path("/c"), environment={"XDG_STATE_HOME": value}))
    [line] = [value for key, value in settings_of(text)["[Service]"] if key == "Environment"]
    [word] = words_of(line)
    assert expanded(word, variables=False) == f"XDG_STATE_HOME={value}"


def test_a_config_file_at_a_place_that_no_unit_can_name_is_refused() -> None:
    with pytest.raises(ConfigError):
        systemd.unit(ServiceSpec(python="/p", config=Path("/a\nb/c.toml")))


def test_the_unit_starts_again_what_a_new_start_can_help() -> None:
    service = dict(settings_of(systemd.unit(WANTED))["[Service]"])
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "on-failure")
    assert service["RestartPreventExitStatus"].split() == ["2", "7"]
    assert service["SuccessExitStatus"].split() == ["130", "143"]
    assert service["ExecReload"] == "kill -HUP $MAINPID"
    assert int(service["WatchdogSec"]) > 0 and "RestartSteps" not in service
    steps = dict(settings_of(systemd.unit(WANTED, version=254))["[Service]"])
    assert (steps["RestartSteps"], steps["RestartMaxDelaySec"]) == ("8", "300")


def test_nothing_in_the_unit_stands_between_the_daemon_and_a_folder() -> None:
    for harden in (False, True):
        wanted = ServiceSpec(python="/p", config=Path("/c"), harden=harden)
        service = dict(settings_of(systemd.unit(wanted))["[Service]"])
        barred = (
            "Protect",
            "Private",
            "ReadWrite",
            "ReadOnly",
            "Inaccessible",
            "TemporaryFileSystem",
            "UMask",
        )
        assert not [key for key in service if key.startswith(barred)]
        assert ("NoNewPrivileges" in service) == harden


@pytest.mark.parametrize(("output", "version"), [("systemd 252 (252.38-1)\n+PAM", 252), ("", 0), ("x 5", 0)])
def test_the_version_of_systemd_is_read(output: str, version: int) -> None:
    assert systemd.version_of(output) == version


def test_systemd_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    """Where systemd is not installed the strict reader above has to do."""
    odd = tmp_path / "o'd $d %d"
    odd.mkdir()
    (odd / "python").symlink_to(sys.executable)
    checker = shutil.which("systemd-analyze")
    for number, python in enumerate((sys.executable, str(odd / "python"))):
        for harden in (False, True):
            wanted = ServiceSpec(
                python=python, config=tmp_path / "a b/c.toml", jobs=("my $job; %n",), harden=harden
            )
            text = unit_file.marked(systemd.unit(wanted))
            assert command_of(text) == list(wanted.words)
            if not checker:
                continue
            unit = tmp_path / f"syncer{number}.service"
            unit.write_text(text)
            done = subprocess.run(
                [checker, "--user", "verify", str(unit)],
                env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert (done.returncode, done.stderr) == (0, "")


# -- launchd ----------------------------------------------------------------------------


def test_the_property_list_holds_what_is_meant() -> None:
    wanted = ServiceSpec(python="/p <&> q", config=Path("/c.toml"), jobs=("docs",), environment={"A": "b"})
    text = unit_file.marked(Agents(Path("/Users/me"), uid=501).text(wanted))
    found = plistlib.loads(text.encode())
    assert found["ProgramArguments"] == list(wanted.words)
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    assert (found["RunAtLoad"], found["ProcessType"]) == (True, "Background")
    assert found["EnvironmentVariables"] == {"A": "b"}
    assert found["StandardErrorPath"] == "/Users/me/Library/Logs/syncer.log"
    assert found["ThrottleInterval"] >= 10
    assert unit_file.is_ours(text) and not unit_file.is_ours(text.replace("Background", "Interactive"))


def test_launchd_is_told_of_a_new_list_by_taking_out_the_old_one(tmp_path: Path) -> None:
    agents, commands = Agents(tmp_path, uid=501), Commands(fails="bootout")
    done = installer.install(agents, WANTED, commands, start=True, force=False)
    where = f"{tmp_path}/Library/LaunchAgents/syncer.daemon.plist"
    assert commands.ran == [
        "launchctl enable gui/501/syncer.daemon",
        f"launchctl bootstrap gui/501 {where}",
    ]
    other = ServiceSpec(python="/new", config=WANTED.config)
    commands.ran.clear()
    done = installer.install(agents, other, commands, start=True, force=False)
    assert (commands.ran[0], done.failures) == ("launchctl bootout gui/501/syncer.daemon", ())
    assert installer.uninstall(agents, commands, force=False).failures == ()
    assert not Path(where).exists()


# -- files ------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> UserManager:
    return UserManager(tmp_path / "config")


def test_installing_twice_changes_nothing_the_second_time(units: UserManager) -> None:
    commands = Commands()
    first = installer.install(units, WANTED, commands, start=True, force=False)
    assert (first.before, first.failures) == (UnitFileState.MISSING, ())
    assert commands.ran == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now syncer.service",
    ]
    before = units.path.stat()
    second = installer.install(units, WANTED, commands, start=True, force=False)
    after = units.path.stat()  # reading moves the time of access
    assert (second.before, after.st_ino, after.st_ctime_ns) == (
        UnitFileState.CURRENT,
        before.st_ino,
        before.st_ctime_ns,
    )
    assert [file.name for file in units.path.parent.iterdir()] == ["syncer.service"]
    assert units.path.stat().st_mode & 0o777 == 0o644


def test_a_unit_of_ours_for_something_else_is_replaced_and_the_daemon_started_anew(
    units: UserManager,
) -> None:
    installer.install(units, WANTED, Commands(), start=True, force=False)
    commands = Commands()
    other = ServiceSpec(python="/new/python", config=WANTED.config)
    done = installer.install(units, other, commands, start=True, force=False)
    assert (done.before, done.kept) == (UnitFileState.OUTDATED, None)
    assert commands.ran[-1] == "systemctl --user try-restart syncer.service"
    assert "/new/python" in units.path.read_text()


@pytest.mark.parametrize("theirs", ["edited", "own", "empty", "link", "masked"])
def test_what_a_person_changed_is_only_replaced_by_force_and_then_kept(
    units: UserManager, tmp_path: Path, theirs: str
) -> None:
    installer.install(units, WANTED, Commands(), start=False, force=False)
    if theirs == "edited":
        units.path.write_text(units.path.read_text().replace("Nice=5", "Nice=19"))
    else:
        units.path.unlink()
        if theirs == "own":
            units.path.write_text("[Service]\nExecStart=/bin/true\n")
        elif theirs == "empty":
            units.path.touch()
        else:
            target = tmp_path / "theirs" if theirs == "link" else Path("/dev/null")
            (tmp_path / "theirs").write_text("[Unit]\n")
            units.path.symlink_to(target)
    before = os.readlink(units.path) if units.path.is_symlink() else units.path.read_text()
    commands = Commands()
    with pytest.raises(UsageError, match="changed by hand") as caught:
        installer.install(units, WANTED, commands, start=True, force=False)
    assert "--force" in caught.value.hint
    with pytest.raises(UsageError, match="changed by hand"):
        installer.uninstall(units, commands, force=False)
    assert commands.ran == [], "nothing was stopped or started either"
    done = installer.install(units, WANTED, commands, start=True, force=True)
    assert done.kept is not None and done.kept.name == "syncer.service.1.bak"
    assert (os.readlink(done.kept) if done.kept.is_symlink() else done.kept.read_text()) == before
    assert not units.path.is_symlink() and unit_file.is_ours(units.path.read_text())


def test_each_copy_of_a_persons_unit_stays(units: UserManager) -> None:
    units.path.parent.mkdir(parents=True)
    for number in (1, 2):
        units.path.write_text(str(number))
        kept = unit_file.remove(units.path, force=True)
        assert kept is not None and kept.read_text() == str(number)
    assert len(list(units.path.parent.iterdir())) == 2


def test_a_unit_that_cannot_be_written_leaves_nothing_half_done(units: UserManager, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where a directory should be")
    with pytest.raises(LocalError) as caught:
        installer.install(units, WANTED, Commands(), start=True, force=False)
    assert str(units.path) in caught.value.message


# -- commands ---------------------------------------------------------------------------


def test_without_a_start_the_unit_is_only_made_known(units: UserManager) -> None:
    commands = Commands()
    installer.install(units, WANTED, commands, start=False, force=False)
    assert commands.ran == ["systemctl --user daemon-reload"]


@pytest.mark.parametrize(
    ("commands", "left"),
    [(Commands(missing=True), 2), (Commands(fails="daemon-reload"), 2), (Commands(fails="--now"), 1)],
)
def test_where_commands_fail_the_unit_stands_and_the_rest_is_told(
    units: UserManager, commands: Commands, left: int
) -> None:
    done = installer.install(units, WANTED, commands, start=True, force=False)
    assert units.path.exists()
    assert len(done.failures) == left
    assert done.failures[-1].words == ("systemctl", "--user", "enable", "--now", "syncer.service")
    assert done.failures[0].output in ("systemctl is not installed", "no bus")


def test_uninstalling_stops_it_first_and_leaves_nothing(units: UserManager) -> None:
    installer.install(units, WANTED, Commands(), start=True, force=False)
    there: list[bool] = []

    def watched(words: Sequence[str]) -> Ran:
        there.append(units.path.exists())
        return Ran(status=0)

    done = installer.uninstall(units, watched, force=False)
    assert (done.before, done.failures, there) == (UnitFileState.OUTDATED, (), [True, False])
    assert list(units.path.parent.iterdir()) == []
    assert installer.uninstall(units, watched, force=False).before is UnitFileState.MISSING
    assert len(there) == 2, "nothing is stopped that is not there"


def test_real_commands_are_run_with_their_words_and_bounds(tmp_path: Path) -> None:
    assert run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]) == Ran(status=3, output="out\nerr")
    assert run(["no-such-program-at-all"]) == Ran(
        status=None, output="no-such-program-at-all is not installed"
    )
    assert run([str(tmp_path)]).status is None


def test_the_manager_is_that_of_the_system(tmp_path: Path) -> None:
    def made(platform: str) -> installer.Manager:
        return installer.manager(Commands(), config_home=tmp_path, platform=platform, home=tmp_path)

    assert (made("linux").kind, made("darwin").kind) == ("systemd", "launchd")
    with pytest.raises(UsageError):
        made("freebsd14")


# -- surroundings -----------------------------------------------------------------------

CONFIG = """
state_dir = "$DISK/state"
[accounts.env]
type = "smartfile"
password = {env = "FILES_PASSWORD"}
[accounts.cloud]
type = "swift"
auth = "keystone"
password = {command = "my-pass show x"}
[jobs.docs]
local = "/a"
remote = "local:${DISK}/b"
on_error = ["notify-me"]
on_guard = ["/bin/true"]
"""


def test_what_the_service_will_lack_is_named_with_what_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISK", "/mnt")
    settings = parse(CONFIG, Path("/c.toml"))
    here = {
        "DISK": "/mnt",
        "OS_REGION_NAME": "x",
        "ST_KEY": "x",
        "HTTPS_PROXY": "http://me:pw@proxy",
        "HOME": "/h",
    }
    found = environment.lacking(settings, CONFIG, here)
    assert found == {
        "FILES_PASSWORD": "accounts.env.password",
        "OS_REGION_NAME": "accounts.cloud",
        "DISK": "state_dir",
        "HTTPS_PROXY": "the network",
    }


def test_only_where_things_are_is_carried_over_and_never_a_secret() -> None:
    here = {"XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "relative", "FILES_PASSWORD": "hunter2", "PATH": "/bin"}
    assert environment.carried(here) == {"XDG_STATE_HOME": "/s"}


def test_what_the_file_of_variables_sets_is_not_lacking() -> None:
    assert environment.given("# A=1\nFILES_PASSWORD = x\n\n;B=2\nC=\nrest") == {"FILES_PASSWORD", "C"}


def test_programs_that_only_this_shell_finds_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISK", "/mnt")
    settings = parse(CONFIG, Path("/c.toml"))

    def find(word: str, path: str | None) -> str | None:
        return None if path else f"/home/me/bin/{word}"

    assert environment.unfound(settings, find) == {
        "notify-me": "on_error of docs",
        "my-pass": "accounts.cloud.password",
    }
    assert environment.unfound(settings, lambda word, path: f"/bin/{word}") == {}
