"""Runs the console sessions of README.md, so that what is printed there is what Syncer prints.

`python -m scripts.readme` compares, `--write` writes the outputs down. A session is a
fenced block ```` ```console ````; its commands stand behind `$ `, their output below, and all
blocks run one after the other in one home folder that starts empty. A line that begins with
`> ` goes on with the command above it. What must differ from run to run
(times, this machine's name, sizes of a rate) is compared as a placeholder. It starts the
shell; it does not judge whether an output is good.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^\$ (?P<command>.*\n(?:> .*\n)*)(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
_VARIABLE = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"(?<=sync-conflict-)\d{8}-\d{6}-[\w-]+"), "<stamp>-<host>"),
    (re.compile(r"\d{8}-\d{6}"), "<stamp>"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|seconds?|minutes?)\b"), "<duration>"),
    (re.compile(r"\b[\d.]+ ?[kKMG]?i?B/s"), "<rate>"),
    (re.compile(r" +"), " "),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a session, and what it printed (stdout and stderr as a terminal mixes them)."""

    command: str
    output: str


def sessions(text: str) -> list[list[Step]]:
    """The sessions of a document, in order."""
    return [
        [
            Step(command=step["command"].replace("\n> ", "\n").rstrip("\n"), output=step["output"])
            for step in _STEP.finditer(block[1])
        ]
        for block in _BLOCK.finditer(text)
    ]


def settled(output: str) -> list[str]:
    """The lines of an output, sorted, with what differs from run to run replaced by a placeholder.

    Sorted, because a file that was just written is synced at the end of the run on a quick machine (it has
    to settle), and in its turn on a slow one.
    """
    for pattern, placeholder in _VARIABLE:
        output = pattern.sub(placeholder, output)
    return sorted(line.rstrip() for line in output.splitlines())


def run(steps: Iterable[Step], home: Path) -> Iterator[Step]:
    """The same steps with the output they really have, in one shell per step, in `home`."""
    for step in steps:
        done = subprocess.run(
            ["/bin/sh", "-c", step.command],
            cwd=home,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        text = done.stdout.decode(errors="replace").replace(str(home), "~")
        yield Step(command=step.command, output=text if text.endswith("\n") or not text else text + "\n")


def environment(home: Path) -> dict[str, str]:
    """What a person who is new to Syncer has: a home, a PATH with `syncer` in it, nothing else."""
    own = Path(sys.executable).parent
    return {
        "HOME": str(home),
        "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }


def rewritten(text: str, home: Path) -> str:
    """The document with every output as it is now."""

    def block(match: re.Match[str]) -> str:
        [steps] = sessions(match[0])
        return "```console\n" + "".join(shown(step) for step in run(steps, home)) + "```"

    return _BLOCK.sub(block, text)


def shown(step: Step) -> str:
    """A step as it stands in the document."""
    return "$ " + step.command.replace("\n", "\n> ") + "\n" + step.output


def main() -> int:
    """Compares (exit 1 where an output differs) or, with `--write`, writes the outputs down."""
    old = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as home:
        new = rewritten(old, Path(home).resolve())
    if "--write" in sys.argv[1:]:
        README.write_text(new, encoding="utf-8")
        return 0
    if settled(new) != settled(old):
        print("README.md shows something else than Syncer prints: make readme", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
