"""`syncer service` as a command; `systemctl` is a script that writes down how it was called."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Machine

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd is Linux's")


class Systemctl:
    """A double in the PATH, which holds nothing else."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.program = folder / "systemctl"
        self._log = folder / "called"
        self.does("exit 0")

    def does(self, last: str) -> None:
        self.program.write_text(f'#!/bin/sh\necho "$*" >> "{self._log}"\n{last}\n')
        self.program.chmod(0o755)

    @property
    def called(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def systemctl(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    made = Systemctl(machine.home / "bin")
    monkeypatch.setenv("PATH", str(machine.home / "bin"))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):  # of whoever runs the tests
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def unit(machine: Machine) -> Path:
    return machine.home / "config/systemd/user/syncer.service"


def test_install_writes_the_unit_and_starts_it_and_uninstall_takes_it_away(
    machine: Machine, systemctl: Systemctl, unit: Path
) -> None:
    done = machine.call("service", "install", "docs")
    assert done.code == 0, done.err
    assert f"{unit}: written" in done.out
    assert (
        f"ExecStart={sys.executable} -P -m syncer --config {machine.config} daemon docs\n" in unit.read_text()
    )
    assert f"Environment=XDG_STATE_HOME={machine.home}/state\n" in unit.read_text()
    assert systemctl.called == [
        "--version",
        "--user daemon-reload",
        "--user enable --now syncer.service",
    ]
    assert "enable-linger" in done.err
    again = machine.call("service", "install", "docs", "--json")
    assert (again.code, again.document["service"]["before"]) == (0, "current")
    gone = machine.call("service", "uninstall", "--json")
    assert (gone.code, gone.document["service"]["path"], unit.exists()) == (0, str(unit), False)
    assert "--user disable --now syncer.service" in systemctl.called
    assert machine.call("service", "uninstall").out == f"{unit}: not installed\n"


def test_no_start_only_writes(machine: Machine, systemctl: Systemctl, unit: Path) -> None:
    assert machine.call("service", "install", "--no-start").code == 0
    assert unit.exists() and systemctl.called == ["--version", "--user daemon-reload"]


def test_where_systemctl_fails_or_is_missing_a_person_is_told_what_to_run(
    machine: Machine, systemctl: Systemctl, unit: Path
) -> None:
    systemctl.does('echo "no bus" >&2; exit 1')
    failed = machine.call("service", "install")
    assert (failed.code, unit.exists()) == (1, True)
    assert "did not work: no bus" in failed.out
    assert "  systemctl --user enable --now syncer.service\n" in failed.out
    systemctl.program.unlink()
    missing = machine.call("service", "install", "--json").document["service"]
    assert missing["failed"][0]["message"] == "systemctl is not installed"
    assert machine.call("service", "uninstall").code == 1
    assert not unit.exists(), "what could be done is done"


def test_a_unit_changed_by_hand_needs_force(machine: Machine, systemctl: Systemctl, unit: Path) -> None:
    machine.call("service", "install")
    unit.write_text(unit.read_text().replace("Nice=5", "Nice=7"))
    refused = machine.call("service", "install")
    assert refused.code == 2 and "--force" in refused.err
    forced = machine.call("service", "install", "--force", "--json")
    kept = Path(forced.document["service"]["kept"])
    assert (forced.code, "Nice=7" in kept.read_text(), "Nice=5" in unit.read_text()) == (0, True, True)


def test_show_prints_what_would_be_written_and_writes_nothing(
    machine: Machine, systemctl: Systemctl, unit: Path
) -> None:
    shown = machine.call("service", "show", "--harden")
    assert shown.code == 0 and "NoNewPrivileges=yes" in shown.out and "not installed" in shown.err
    assert not unit.exists()
    machine.call("service", "install")
    document = machine.call("service", "show", "--json").document["service"]
    assert (document["state"], document["text"]) == ("current", unit.read_text())
    assert machine.call("service", "show", "docs", "--json").document["service"]["state"] == "outdated"


def test_secrets_of_the_environment_are_named_and_not_copied(
    machine: Machine, systemctl: Systemctl, unit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILES_PASSWORD", "hunter2-hunter2")
    account = '[accounts.files]\ntype = "smartfile"\npassword = {env = "FILES_PASSWORD"}\n'
    machine.configure(account + machine.job())
    file = machine.config.parent / "environment"
    done = machine.call("service", "install")
    assert f"FILES_PASSWORD (accounts.files.password): put FILES_PASSWORD=… into {file}" in done.err
    assert "hunter2" not in done.out + done.err + unit.read_text()
    assert f"EnvironmentFile=-{file}\n" in unit.read_text()
    file.write_text("FILES_PASSWORD=hunter2\n")
    assert "FILES_PASSWORD" not in machine.call("service", "install").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("install", "dcos"), 'did you mean "docs"?'),
        (("--config", "missing.toml", "install"), "there is no such config file"),
    ],
)
def test_what_could_not_run_is_not_installed(
    machine: Machine, systemctl: Systemctl, unit: Path, words: tuple[str, ...], said: str
) -> None:
    refused = machine.call("service", *words)
    assert refused.code == 2 and said in refused.err
    assert not unit.exists() and systemctl.called == []


def test_a_service_needs_a_config_file_with_jobs(machine: Machine, systemctl: Systemctl, unit: Path) -> None:
    machine.configure("")
    assert "there are no jobs" in machine.call("service", "install").err
    machine.config.unlink()
    refused = machine.call("service", "install")
    assert refused.code == 2 and "there is no config file" in refused.err
    assert not unit.exists()


def test_a_config_named_by_a_relative_path_is_found_from_anywhere(
    machine: Machine, systemctl: Systemctl, unit: Path
) -> None:
    (machine.home / "my.toml").write_text(machine.job())
    assert machine.call("--config", "my.toml", "service", "install").code == 0
    assert f"--config {machine.home}/my.toml daemon" in unit.read_text()
