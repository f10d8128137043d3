"""Mutates what one parser of foreign bytes reads, led by coverage (atheris, libFuzzer).

    python -m tests.fuzz NAME SECONDS [CORPUS] [libFuzzer's options]

It ends when the time is over, or with the input that raised something else than the parser's own refusal. New
inputs go to CORPUS; without one, to a folder that is gone afterwards.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris

INSTRUMENTED = {
    "config": ["syncer.config", "syncer.formatting"],
    "delta": ["syncer.engine"],
    "frames": ["syncer.wire"],
    "headers": ["syncer.stores", "syncer.server"],
    "ignore": ["syncer.engine.gitignore", "syncer.engine.ignore"],
    "listings": ["syncer.wire", "syncer.stores"],
    "manifests": ["syncer.wire", "syncer.stores.swift"],
    "plans": ["syncer.jobs.saved_plan", "json"],
    "values": ["syncer.wire", "syncer.server.extension"],
}
"""The parsers that have targets, and the modules whose branches lead the mutation."""


def main(name: str, seconds: int, words: list[str]) -> None:
    """Does not return: libFuzzer ends the process."""
    with atheris.instrument_imports(include=INSTRUMENTED[name]):
        targets = import_module(f"tests.fuzz.{name}_targets")
    with tempfile.TemporaryDirectory() as own:
        folders = [word for word in words if not word.startswith("-")] or [own]
        for number, seed in enumerate(targets.seeds()):
            (Path(folders[0]) / f"seed-{number}").write_bytes(seed)
        options = [word for word in words if word.startswith("-")]
        usual = [f"-max_total_time={seconds}", "-max_len=4000", "-rss_limit_mb=600", "-timeout=20"]
        atheris.Setup([sys.argv[0], *usual, *options, *folders], targets.once)
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in INSTRUMENTED or not sys.argv[2].isdigit():
        sys.exit(
            f"usage: python -m tests.fuzz NAME SECONDS [CORPUS]; NAME is one of {', '.join(INSTRUMENTED)}"
        )
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
