"""Whole runs of the program against the service, by its real clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.doubles.smartfile import Options, SmartFileDouble
from tests.stores.smartfile.bases import NEW, OLD, edited

CONFIG = """state_dir = "{state}"
[accounts.site]
type = "smartfile"
url = "{url}"
key = "{key}"
password = {{ env = "SITE_PASSWORD" }}
[jobs.docs]
local = "{local}"
remote = "site:docs"
"""


def sync(base: Path, double: SmartFileDouble) -> dict[str, Any]:
    words = [sys.executable, "-m", "syncer", "--config", str(base / "config.toml"), "sync", "--json"]
    environ = {"SITE_PASSWORD": double.password, "HOME": str(base), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["jobs"][0]
    assert isinstance(found, dict)
    return found


def test_two_sides_are_kept_in_step_by_little_more_than_what_changed(tmp_path: Path) -> None:
    local = tmp_path / "local"
    (local / "a").mkdir(parents=True)
    (local / "a" / "x").write_bytes(b"hello")
    (local / "a" / "x").chmod(0o755)
    (local / "big").write_bytes(OLD)
    (local / "link").symlink_to("a/x")
    with SmartFileDouble(Options(task_states=())) as double:
        settings = {"state": tmp_path / "state", "url": double.url, "key": double.key, "local": local}
        (tmp_path / "config.toml").write_text(CONFIG.format(**settings))
        assert sync(tmp_path, double)["totals"]["uploaded"] == 3
        assert double.read("/docs/big") == OLD and double.read("/docs/a/x") == b"hello"

        (local / "big").write_bytes(NEW)
        (local / "a" / "x").unlink()
        double.write("/docs/new", b"of another client")
        totals = sync(tmp_path, double)["totals"]
        assert (totals["uploaded"], totals["downloaded"], totals["deleted"]) == (1, 1, 1)
        assert totals["bytes_sent"] < 8000 and totals["bytes_received"] < 8000
        assert double.read("/docs/big") == NEW and (local / "new").read_bytes() == b"of another client"

        double.write("/docs/big", edited(NEW, by=b"over there"))
        totals = sync(tmp_path, double)["totals"]
        assert (totals["uploaded"], totals["downloaded"], totals["deleted"]) == (0, 1, 0)
        assert totals["bytes_received"] < 8000
        assert (local / "big").read_bytes() == edited(NEW, by=b"over there")
        assert sync(tmp_path, double)["actions"] == []
