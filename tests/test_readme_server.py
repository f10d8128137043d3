"""The three lines of README.md that bring in a second machine do what it says, as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from scripts.readme import README, environment
from tests.server.conftest import eventually

SECTION = (
    README.read_text(encoding="utf-8")
    .partition("## A second machine in three lines")[2]
    .partition("\n## ")[0]
)
LINES = [line for block in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL) for line in block.splitlines()]


def command(line: str, home: Path) -> list[str]:
    """The line as a shell would call it, on a port that is free."""
    words = shlex.split(line.replace("~/", f"{home}/").replace(":8467", ":0"))
    assert words[0] == "syncer"
    return [sys.executable, "-m", *words]


def test_three_lines_bring_in_a_second_machine(tmp_path: Path) -> None:
    assert len(LINES) == 3
    add_key, serve, sync = (command(line, tmp_path) for line in LINES)
    env = environment(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("milk\n")

    told = subprocess.run([*add_key, "--json"], cwd=tmp_path, env=env, check=True, capture_output=True).stdout
    key = json.loads(told)
    with (tmp_path / "told").open("wb") as out, (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*serve, "--json"], cwd=tmp_path, env=env, stdout=out, stderr=log)
    try:
        eventually(lambda: (tmp_path / "told").read_text().endswith("\n"))
        config = tmp_path / ".config" / "syncer" / "config.toml"
        config.parent.mkdir(parents=True)
        url = json.loads((tmp_path / "told").read_text())["url"]
        account = {"type": "smartfile", "url": url, "key": key["key"], "password": key["password"]}
        lines = [f'{name} = "{value}"' for name, value in account.items()]
        config.write_text("\n".join(["[accounts.box]", *lines, ""]))
        config.chmod(0o600)
        done = subprocess.run(sync, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "disk" / "notes" / "todo.txt").read_text() == "milk\n"
    finally:
        server.terminate()
        server.wait()
