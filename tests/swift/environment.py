"""Where the real servers are installed, by `scripts/swift.sh` when missing, and where their data goes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-swift"
CEPH = ROOT / ".venv-ceph"
S3 = ROOT / ".venv-s3"
PYTHON = VENV / "bin" / "python"
SHARED_MEMORY = Path("/dev/shm")  # tmpfs on Linux
METADATA = (
    b"x" * 3000
)  # Swift keeps an object's metadata in extended attributes; ext4 has little room for them


@cache
def environment() -> str:
    """The Python of the servers' environment; one process of a test run makes it, the others wait."""
    with (ROOT / "scripts" / "swift-requirements.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([ROOT / "scripts" / "swift.sh", VENV.name], cwd=ROOT, check=True)
    return str(PYTHON)


@cache
def ceph_programs() -> Path:
    """Where Ceph's packages are unpacked; one process of a test run does it, the others wait."""
    with (ROOT / "scripts" / "ceph.sh").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([ROOT / "scripts" / "ceph.sh", CEPH.name], cwd=ROOT, check=True)
    return CEPH


@cache
def s3_programs() -> Path:
    """The `bin` folder with SeaweedFS and moto; one process of a test run installs them, the others wait."""
    with (ROOT / "scripts" / "s3-requirements.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([ROOT / "scripts" / "s3.sh", S3.name], cwd=ROOT, check=True)
    return S3 / "bin"


def fast_folder() -> Path:
    """A new folder for a server's data: in memory where Swift can live there, else among temporary files.

    Raises OSError where neither takes extended attributes of the size that Swift needs.
    """
    places = [place for place in (SHARED_MEMORY, Path(tempfile.gettempdir())) if place.is_dir()]
    for place in places:
        folder = Path(tempfile.mkdtemp(prefix="syncer-swift-", dir=place))
        if place == places[-1] or _takes_metadata(folder):
            return folder
        folder.rmdir()
    raise OSError("no place for temporary files")


def _takes_metadata(folder: Path) -> bool:
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.probe", METADATA)
    except OSError:
        return False
    finally:
        probe.unlink()
    return True
