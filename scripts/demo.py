"""`make demo`: the main job, for real, on two folders in a temporary home.

Every line behind a `$` is a command that was really run, and what follows is what it printed.
Between them the files are edited as people would, on both sides. At the end the two folders
are compared byte by byte, and anything unexpected makes the demo fail. It touches nothing
outside its temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = Path(sys.executable).parent / "syncer"
CONFIG = """\
[jobs.docs]
local = "~/laptop"
remote = "local:~/backup"
"""
TEXT = "The quick brown fox jumps over the lazy dog.\n"
PICTURE = bytes(range(256)) * 4096  # 1 MiB


class Unexpected(Exception):
    """The demo did not go as it should have."""


class Stage:
    """A temporary home with two folders, and a shell that shows what it runs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.laptop = home / "laptop"
        self.backup = home / "backup"
        self.dim, self.bold, self.plain = ("\033[2m", "\033[1m", "\033[0m") if colours() else ("", "", "")

    def say(self, text: str) -> None:
        """One line of the story."""
        print(f"\n{self.bold}{text}{self.plain}", flush=True)

    def run(self, *words: str, expect: int = 0) -> str:
        """Runs `syncer`, shows it, and fails unless it ends with the exit code `expect`."""
        line = f"syncer {' '.join(words)}".replace(str(self.home), "~")
        print(f"{self.dim}$ {line}{self.plain}", flush=True)
        done = subprocess.run(
            [COMMAND, *words],
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        text = done.stdout.decode(errors="replace").replace(str(self.home), "~")
        print("".join(f"  {row}\n" for row in text.splitlines()), end="")
        if done.returncode != expect:
            raise Unexpected(f"`{line}` ended with {done.returncode}, not {expect}")
        return text

    def environment(self) -> dict[str, str]:
        """Ours, with another home: the user's own config and state are not seen."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "SYNCER_"))}
        return {**kept, "HOME": str(self.home), "COLUMNS": "96"}

    def check(self) -> None:
        """Both folders hold the same, byte by byte."""
        ours, theirs = contents(self.laptop), contents(self.backup)
        if ours != theirs:
            differing = sorted(
                name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
            )
            raise Unexpected(f"the two folders differ in {', '.join(differing)}")


def colours() -> bool:
    """Whether to dress up the output (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def contents(root: Path) -> dict[str, bytes | None]:
    """Every file below `root` with its bytes, every directory with None; our own marker left out."""
    found = {str(p.relative_to(root)): p for p in root.rglob("*")}
    return {
        name: p.read_bytes() if p.is_file() else None
        for name, p in found.items()
        if not name.startswith(".syncer")
    }


def write(path: Path, content: str | bytes) -> None:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def prepare(stage: Stage) -> None:
    """A folder with a bit of everything, an empty one, and a config that pairs them."""
    write(stage.home / ".config" / "syncer" / "config.toml", CONFIG)
    stage.backup.mkdir()
    write(stage.laptop / "report.txt", TEXT)
    write(stage.laptop / "todo.txt", "milk\n")
    write(stage.laptop / "photos" / "summer.raw", PICTURE)
    for number in range(100):
        write(stage.laptop / "letters" / f"{number:03}.txt", f"{number}\n" + TEXT * 20)
    write(stage.backup / "from the backup.txt", "This one was only over there.\n")


def edit(stage: Stage) -> None:
    """What two people do in a day, one on each side."""
    write(stage.laptop / "report.txt", TEXT + "Edited on the laptop.\n")
    write(stage.backup / "report.txt", "Edited on the backup at the same time.\n" + TEXT)
    write(stage.backup / "todo.txt", "milk\nbread\n")
    write(stage.laptop / "new" / "idea.txt", "Only the changes travel.\n")
    (stage.laptop / "photos").rename(stage.laptop / "pictures")
    (stage.backup / "letters" / "007.txt").unlink()


def expect_kept(stage: Stage) -> None:
    """Both edits of the report, the other side's todo, the deletion and the rename are on both sides."""
    copies = list(stage.laptop.glob("report.sync-conflict-*.txt"))
    both = {path.read_text() for path in (*copies, stage.laptop / "report.txt")}
    if len(copies) != 1 or len(both) != 2 or not all("Edited on the" in text for text in both):
        raise Unexpected("one of the two edits of report.txt is gone")
    if (stage.laptop / "letters" / "007.txt").exists() or (stage.backup / "photos").exists():
        raise Unexpected("the deletion or the rename did not cross")
    if (stage.laptop / "todo.txt").read_text() != "milk\nbread\n":
        raise Unexpected("the edit on the backup did not cross")


def play(stage: Stage) -> None:
    """The story."""
    stage.say("Two folders, ~/laptop with 103 files and ~/backup with another one. First sync:")
    stage.run("sync", "-q")
    stage.check()
    stage.run("status")

    stage.say(
        "Now both sides are edited: a file on both at once, a rename, a deletion, a new file. The plan:"
    )
    edit(stage)
    stage.run("plan")

    stage.say("Why would it do that with report.txt?")
    stage.run("explain", str(stage.laptop / "report.txt"))

    stage.say("And the sync. Nobody's version of report.txt is lost:")
    stage.run("sync")
    stage.check()
    expect_kept(stage)
    stage.run("conflicts")

    stage.say("What was deleted or replaced is in the trash:")
    stage.run("trash", "list")

    stage.say("A run with nothing to do, and a check of both sides, byte by byte:")
    stage.run("sync")
    stage.run("check")


def main() -> int:
    """Plays the demo; 0 if everything was as it should be."""
    home = Path(tempfile.mkdtemp(prefix="syncer-demo-")).resolve()
    stage = Stage(home)
    try:
        prepare(stage)
        play(stage)
    except Unexpected as problem:
        print(f"\nThe demo failed: {problem}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    command = os.path.relpath(COMMAND)
    stage.say("Both folders are equal. To sync your own two folders:")
    print(f"  {command} sync ~/Documents local:/path/to/the/copy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
