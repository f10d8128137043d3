"""Disks mounted inside a root, in a namespace where a user may mount. See `in_mounts` for the stories."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.in_mounts import STORIES

ROOT = Path(__file__).parent.parent.parent
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.mark.parametrize("story", STORIES)
def test_what_is_not_mounted_today_is_unknown_and_not_deleted(story: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*ALONE, sys.executable, "-W", "error", "-m", "tests.integration.in_mounts", story, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.endswith("done\n"), (
        f"{story}: exit {done.returncode}\n{done.stdout}{done.stderr}\n"
        "(where unshare(1) is refused this needs root, or kernel.unprivileged_userns_clone=1)"
    )
    assert done.returncode == 0
