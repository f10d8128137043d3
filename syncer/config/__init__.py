"""Read the config file (TOML) into frozen, validated settings.

A mistake is a ConfigError that names the file, the key, what is wrong and what would be right. Only the
config file itself is opened: `jobs` (and `config check`) check the folders, the stores the credentials.
"""

from __future__ import annotations

import os
from pathlib import Path

from syncer.config.paths import default_config, default_state_dir
from syncer.config.permissions import others_may_write
from syncer.config.settings import LOCAL, SETTLE, DaemonSettings, JobSettings, Location, Settings, choose
from syncer.engine.gitignore import check_own
from syncer.errors import ConfigError

__all__ = [
    "LOCAL",
    "SETTLE",
    "DaemonSettings",
    "JobSettings",
    "Location",
    "Settings",
    "check_own",
    "choose",
    "load",
    "parse",
]


def load(path: Path | None = None) -> Settings:
    """Read the config file; the default place may be empty, a named file may not. Raises ConfigError."""
    file_path = path or default_config()
    try:
        with file_path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            shared = others_may_write(file_path)
            text = file.read().decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        if path is None:
            return Settings(path=None, state_dir=default_state_dir(), accounts={}, jobs={})
        raise ConfigError(
            f"{file_path}: there is no such config file", hint="name another one with --config FILE"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file_path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file_path}: is not UTF-8 text (byte {error.start})") from None
    from syncer.config import parser  # loads pydantic, which a run without a config file does not need

    return parser.with_warnings(parser.parse(text, file_path), mode, shared=shared)


def parse(text: str, path: Path) -> Settings:
    """Settings from the text of a config file that stands at `path`. Raises ConfigError."""
    from syncer.config import parser

    return parser.parse(text, path)
