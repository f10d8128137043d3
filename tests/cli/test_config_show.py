"""`config show` of the daemon's settings: complete, and a config again."""

from __future__ import annotations

from tests.cli.conftest import Machine

DAEMON = """[daemon]
quiet = "50ms"
gather = "1m30s"
metrics = "[::1]:9765"
desktop = true
log = "daemon.log"
on_error = "tell 'my dear' \\"$HOME\\""
"""


def test_the_daemons_settings_and_hooks_are_shown_and_read_back(machine: Machine) -> None:
    machine.configure(DAEMON + machine.job('on_error = ""\non_stale = ["a", "b c"]'))
    document = machine.call("config", "show", "--json").document
    assert document["daemon"] == {
        "quiet": "0.05s",
        "gather": "1m30s",
        "scan": "1h",
        "metrics": "[::1]:9765",
        "desktop": True,
        "log": str(machine.config.parent / "daemon.log"),
        "on_conflict": [],
        "on_error": ["tell", "my dear", "$HOME"],
        "on_guard": [],
        "on_stale": [],
    }
    job = document["jobs"]["docs"]
    assert (job["on_conflict"], job["on_error"], job["on_stale"]) == (None, [], ["a", "b c"])
    shown = machine.call("config", "show").out
    machine.configure(shown)
    assert machine.call("config", "show").out == shown
