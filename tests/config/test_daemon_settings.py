"""The table `[daemon]` and the hooks of jobs: what may be said, and how a refusal reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.config import DaemonSettings, Settings, parse
from syncer.errors import ConfigError

FILE = Path("/etc/syncer/config.toml")
JOB = '[jobs.docs]\nlocal = "/data/docs"\nremote = "local:/backup/docs"\n'


def read(text: str) -> Settings:
    return parse(text, FILE)


def daemon(text: str) -> DaemonSettings:
    return read(f"[daemon]\n{text}").daemon


def test_without_the_table_all_is_default() -> None:
    assert read(JOB).daemon == DaemonSettings() == daemon("")
    assert (DaemonSettings().quiet, DaemonSettings().gather, DaemonSettings().scan) == (0.2, 5.0, 3600.0)
    assert read(JOB).hooks(read(JOB).jobs["docs"]) == {}


def test_every_key_is_read() -> None:
    found = daemon(
        'quiet = "50ms"\ngather = "1m"\nscan = 600\nmetrics = "127.0.0.1:9765"\ndesktop = true\n'
        'log = "logs/daemon.log"\non_conflict = "tell \'my dear\' me"\non_error = ["~/bin/x", "$HOME"]\n'
        'on_guard = "scripts/guard"\non_stale = ""\n'
    )
    assert (found.quiet, found.gather, found.scan) == (0.05, 60.0, 600.0)
    assert (found.metrics, found.desktop, found.log) == (
        "127.0.0.1:9765",
        True,
        Path("/etc/syncer/logs/daemon.log"),
    )
    assert found.on_conflict == ("tell", "my dear", "me")
    assert found.on_error == (str(Path.home() / "bin/x"), "$HOME"), "no shell: only the program is a path"
    assert found.on_guard == ("/etc/syncer/scripts/guard",)
    assert found.on_stale == ()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.9.9.9:9765", "[::1]:9765", "localhost:65535", ""])
def test_metrics_are_for_this_machine_alone(address: str) -> None:
    assert daemon(f"metrics = '{address}'").metrics == address


def test_a_jobs_own_hook_stands_before_the_daemons_and_may_take_it_away() -> None:
    common = '[daemon]\non_error = "all"\non_guard = "all"\non_stale = "all"\n'
    settings = read(common + JOB + 'on_error = ["own", ""]\non_guard = []\n')
    assert settings.hooks(settings.jobs["docs"]) == {"on_error": ("own", ""), "on_stale": ("all",)}


@pytest.mark.parametrize(
    ("text", "key", "right"),
    [
        ("daemon = 5\n", "daemon", "[daemon]"),
        ("[daemon]\nquite = '1s'\n", "daemon.quite", 'did you mean "quiet"?'),
        ("[daemon]\nname = 'x'\n", "daemon.name", "unknown key"),
        ("[daemon]\nquiet = '0.2'\n", "daemon.quiet", '"30s"'),
        ("[daemon]\nscan = '0s'\n", "daemon.scan", "longer than nothing"),
        ("[daemon]\nquiet = '6s'\n", "daemon.gather", "must not be shorter than quiet (6s)"),
        ("[daemon]\ndesktop = 1\n", "daemon.desktop", "true or false"),
        ("[daemon]\nlog = 5\n", "daemon.log", "is not a path"),
        ("[daemon]\nmetrics = '0.0.0.0:9765'\n", "daemon.metrics", "127.0.0.1:9765"),
        ("[daemon]\nmetrics = 'example.org:1'\n", "daemon.metrics", "of this machine alone"),
        ("[daemon]\nmetrics = '127.0.0.1'\n", "daemon.metrics", "of this machine alone"),
        ("[daemon]\nmetrics = '127.0.0.1:70000'\n", "daemon.metrics", "of this machine alone"),
        ("[daemon]\nmetrics = '::1:9765'\n", "daemon.metrics", "[::1]:9765"),
        ("[daemon]\nmetrics = 9765\n", "daemon.metrics", "of this machine alone"),
        ("[daemon]\non_error = 'a \"b'\n", "daemon.on_error", "cannot be cut into words"),
        ("[daemon]\non_error = 5\n", "daemon.on_error", '["notify-me", "--loud"]'),
        ("[daemon]\non_error = ['a', 5]\n", "daemon.on_error", '["notify-me", "--loud"]'),
        ("[daemon]\non_error = ['', 'a']\n", "daemon.on_error", "empty word"),
        ('[daemon]\non_error = "a\\u0000b"\n', "daemon.on_error", "NUL"),
        ("[daemon]\non_error = '~nobody-here/x'\n", "daemon.on_error", 'only "~/" is expanded'),
        (JOB + "on_errors = 'x'\n", "jobs.docs.on_errors", 'did you mean "on_error"?'),
        (JOB + "on_stale = true\n", "jobs.docs.on_stale", "is not a command"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_what_would_be_right(text: str, key: str, right: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert f"{FILE}: {key}: " in caught.value.message
    assert right in caught.value.message
