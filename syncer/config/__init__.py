"""The config file: TOML in, frozen and checked settings out.

Everything wrong is a ConfigError that names the file, the key, what is wrong and what
would be right. Nothing is opened but the config file itself: whether the folders are
there and apart is asked by `jobs` (and `config check`), credentials by the stores.
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
    place = path or default_config()
    try:
        with place.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            shared = others_may_write(place)
            text = file.read().decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        if path is None:
            return Settings(path=None, state_dir=default_state_dir(), accounts={}, jobs={})
        raise ConfigError(
            f"{place}: there is no such config file", hint="name another one with --config FILE"
        ) from None
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: is not UTF-8 text (byte {error.start})") from None
    from syncer.config import parser  # loads pydantic, which a run without a config does without

    return parser.with_warnings(parser.parse(text, place), mode, shared=shared)


def parse(text: str, path: Path) -> Settings:
    """Settings from the text of a config file that stands at `path`. Raises ConfigError."""
    from syncer.config import parser

    return parser.parse(text, path)
