"""The demo runs, and checks itself."""

from __future__ import annotations

import subprocess
import sys

from scripts.readme import ROOT


def test_the_demo_ends_with_the_line_that_syncs_the_users_own_folders() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].split()[-3:] == ["sync", "~/Documents", "local:/path/to/the/copy"]
    assert len(lines) <= 75, "the demo should fit on a screen and a half"
