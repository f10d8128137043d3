"""Two instances of syncthing on this machine, connected to each other only, as a line beside ours.

`delay` is its `fsWatcherDelayS`: for so long it gathers changes; 1 s is the least that every version takes
(1.19 reads whole numbers only), 10 s what it comes with. Everything that reaches beyond this machine is off,
and so is its low priority.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.ground import Ground, empty
from benchmarks.lines import Line, copies
from benchmarks.running import BenchError
from benchmarks.serving import free_port, started
from benchmarks.trees import DATA

QUICKEST, DEFAULT = 1, 10  # seconds
_PATIENCE, _PAUSE = 900.0, 0.5  # seconds
_FOLDER = "bench"
_OPTIONS = {
    "globalAnnounceEnabled": "false",
    "localAnnounceEnabled": "false",
    "relaysEnabled": "false",
    "natEnabled": "false",
    "crashReportingEnabled": "false",
    "startBrowser": "false",
    "setLowPriority": "false",
    "urAccepted": "-1",
    "autoUpgradeIntervalH": "0",
}


@contextmanager
def syncthing(place: Ground, tree: Path, delay: int) -> Iterator[Line]:
    """Both instances, once they agree on everything. Raises BenchError."""
    name = f"syncthing, {delay} s"
    with copies(place, tree, f"syncthing-{delay}", "a", "b") as roots, ExitStack() as stack:
        one, other = (_Instance.new(place, root.name, root / DATA) for root in roots)
        one.know(other, delay)
        other.know(one, delay)
        running = [stack.enter_context(instance.running()) for instance in (one, other)]
        files = sum(path.is_file() for path in tree.rglob("*"))
        _agreed(one, other, files, lambda: all(process.poll() is None for process in running))
        processes = {"one": running[0].pid, "other": running[1].pid}
        yield Line(name=name, source=roots[0], target=roots[1], processes=processes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instance:
    """One instance: its home, its folder, where it listens."""

    home: Path
    folder: Path
    identity: str
    port: int = field(default_factory=free_port)
    gui: int = field(default_factory=free_port)
    key: str = field(default_factory=lambda: secrets.token_hex(16))

    @classmethod
    def new(cls, place: Ground, name: str, folder: Path) -> _Instance:
        home = place.home(f"syncthing-{name}")
        empty(home)
        home.mkdir()
        words = ["syncthing", "generate", f"--home={home}", "--no-default-folder", "--skip-port-probing"]
        subprocess.run(words, env=_environment(home), capture_output=True, check=True)
        device = ElementTree.parse(home / "config.xml").find("device")
        if device is None:
            raise BenchError("syncthing made a config without a device")
        return cls(home=home, folder=folder, identity=device.attrib["id"])

    def know(self, other: _Instance, delay: int) -> None:
        """Write the config: one folder, shared with the other."""
        path = self.home / "config.xml"
        document = ElementTree.parse(path)
        root = document.getroot()
        device = ElementTree.SubElement(root, "device", id=other.identity, name="other")
        ElementTree.SubElement(device, "address").text = f"tcp://127.0.0.1:{other.port}"
        shared = ElementTree.SubElement(
            root, "folder", id=_FOLDER, path=str(self.folder), type="sendreceive", rescanIntervalS="3600",
            fsWatcherEnabled="true", fsWatcherDelayS=f"{delay}",
        )  # fmt: skip
        for one in (self, other):
            ElementTree.SubElement(shared, "device", id=one.identity)
        (self.folder / ".stfolder").mkdir()
        _set(root, "options", {"listenAddress": f"tcp://127.0.0.1:{self.port}", **_OPTIONS})
        _set(root, "gui", {"address": f"127.0.0.1:{self.gui}", "apikey": self.key})
        document.write(path)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """Its process, without a second one that would start it again."""
        words = [
            "syncthing", "serve", f"--home={self.home}", "--no-browser",
            f"--logfile={self.home}/log",
        ]  # fmt: skip
        with started(
            ["sh", "-c", 'exec "$@" >&2', "sh", *words], _environment(self.home), self.home
        ) as process:
            yield process

    def ask(self, call: str) -> Mapping[str, object]:
        """An answer of its REST API; nothing while it does not listen yet."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.gui}/rest/{call}", headers={"X-API-Key": self.key}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                document = json.load(answer)
        except OSError:
            return {}
        return document if isinstance(document, dict) else {}

    def rests(self, files: int) -> bool:
        """Whether it knows all files, here and there, and needs none."""
        status = self.ask(f"db/status?folder={_FOLDER}")
        figures = [status.get(name) for name in ("globalFiles", "localFiles", "needTotalItems")]
        return status.get("state") == "idle" and figures == [files, files, 0]


def _agreed(one: _Instance, other: _Instance, files: int, alive: Callable[[], bool]) -> None:
    """Waits until both rest, and a file made on either side for this has crossed."""
    end = time.monotonic() + _PATIENCE

    def until(what: str, met: Callable[[], bool]) -> None:
        while not met():
            if time.monotonic() > end or not alive():
                raise BenchError(f"syncthing: {what} does not end; see {one.home}/output and {one.home}/log")
            time.sleep(_PAUSE)

    until("the first scan", lambda: one.rests(files) and other.rests(files))
    for source, target in ((one, other), (other, one)):
        name = f"agreed-{source.folder.parent.name}"
        (source.folder / name).write_text(name)
        until("the first file", (target.folder / name).exists)
    until("the last scan", lambda: one.rests(files + 2) and other.rests(files + 2))


def _set(root: ElementTree.Element, section: str, values: Mapping[str, str]) -> None:
    """Texts of a section's elements; each stands there once."""
    found = root.find(section)
    if found is None:
        raise BenchError(f"syncthing made a config without {section}")
    for name, text in values.items():
        for old in found.findall(name):
            found.remove(old)
        ElementTree.SubElement(found, name).text = text


def _environment(home: Path) -> Mapping[str, str]:
    return {"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath), "STMONITORED": "yes"}
