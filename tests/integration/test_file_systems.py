"""Real file systems other than ext4, in a namespace where root may mount. The story: `in_file_systems`.

Where nothing can be mounted, that is said aloud: the manners of these file systems are then only met in
`tests/simulation/manners.py`, on any disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.in_file_systems import KINDS

ROOT = Path(__file__).parent.parent.parent
ALONE = ["unshare", "--mount", "--propagation", "private"]
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def cannot() -> str:
    """Why nothing can be mounted here; "" if it can."""
    if os.geteuid() != 0:
        return "only root can mount them"
    missing = [device for device in ("/dev/fuse", "/dev/loop-control") if not os.path.exists(device)]
    if missing:
        return f"{' and '.join(missing)} is not there"
    tried = subprocess.run([*ALONE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True)
    return tried.stderr.strip()


def has(kernel: str) -> bool:
    """Whether the kernel has the file system, perhaps as a module."""
    if shutil.which("modprobe", path=PLACES):
        subprocess.run(["modprobe", kernel], capture_output=True, env={**os.environ, "PATH": PLACES})
    return kernel in Path("/proc/filesystems").read_text().split()


@pytest.mark.parametrize("kind", KINDS)
def test_on_real_file_systems_all_flows_rests_and_nothing_is_lost(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    why = cannot()
    if why:
        with capsys.disabled():
            print(f"\nNOT TRIED on a real {kind}: {why}", file=sys.stderr)
        return
    if KINDS[kind].kernel and not has(KINDS[kind].kernel):
        with capsys.disabled():
            print(f"\nNOT TRIED on a real {kind}: this kernel has none", file=sys.stderr)
        return
    missing = [program for program in KINDS[kind].programs if not shutil.which(program, path=PLACES)]
    assert not missing, f"the tests need {', '.join(missing)}: scripts/setup.sh tools installs them"
    story = ["-W", "error", "-m", "tests.integration.in_file_systems", kind, str(tmp_path)]
    done = subprocess.run(
        [*ALONE, sys.executable, *story],
        cwd=ROOT, capture_output=True, text=True, timeout=150, env={**os.environ, "PATH": PLACES},
    )  # fmt: skip
    assert done.stdout.endswith("done\n"), f"{kind}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0
