"""Limits and mounts of the system, in a namespace where they can be set low."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.watch.in_namespace import STORIES

ROOT = Path(__file__).parent.parent.parent
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]


def may() -> bool:
    """Whether this system lets a user have namespaces."""
    try:
        return (
            sys.platform == "linux" and not subprocess.run([*ALONE, "true"], capture_output=True).returncode
        )
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may(), reason="this system gives no namespaces")
@pytest.mark.parametrize("story", STORIES)
def test_in_a_namespace(story, tmp_path):
    done = subprocess.run(
        [*ALONE, sys.executable, "-W", "error", "-m", "tests.watch.in_namespace", story, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
