"""A config file, as a fuzzer sees it: settings, or a ConfigError that says what is wrong where."""

from __future__ import annotations

from pathlib import Path

from syncer.config import parser
from syncer.errors import ConfigError

PATH = Path("/nowhere/config.toml")


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return  # said by `config.load`
    said = ""
    try:
        settings = parser.parse(text, PATH)
        parser.with_warnings(settings, 0o644, shared=len(data) % 2 == 0)
    except ConfigError as error:
        said = error.message
    if said:
        assert str(PATH) in said
        return
    assert all(job.name == name for name, job in settings.jobs.items())


def seeds() -> tuple[bytes, ...]:
    """The example, and each kind of account with a job."""
    example = (Path(__file__).parent.parent.parent / "config.example.toml").read_bytes()
    blocks = [b"[" + block for block in example.split(b"\n[")]
    small = b"""state_dir = "state"
[daemon]
quiet = "2s"
metrics = "127.0.0.1:9"
on_error = ["x", "y"]
[accounts.far]
type = "smartfile"
url = "https://x.example/"
key = "k"
password = { env = "P" }
[jobs.docs]
local = "~/docs"
remote = "far:docs"
conflict = "newer"
mode = "push"
ignore = ["*.o", "!/a/**/b"]
max_delete = "10%"
settle = 0
max_age = "2d"
trash_size = "5 GiB"
"""
    return (small, *(block for block in blocks if len(block) < 3000))
