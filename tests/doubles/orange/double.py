"""The double as a test holds it: started and stopped, written to behind the client's back, told to fail."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.doubles.faults import Fault, Faults, Request, Rule
from tests.doubles.orange.app import API, CONTENT, Service
from tests.doubles.orange.drive import Drive, Node
from tests.doubles.orange.login import Login
from tests.doubles.orange.options import Options
from tests.doubles.serving import Served


class OrangeDouble:
    """Both hosts, each on a loopback port of its own. `options` may be changed at any time."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.drive = Drive(self.options)
        self.login = Login(options=self.options)
        self._service = Service(self.drive, self.login)
        self._faults = Faults(self._service.app())
        self._hosts = (Served(self._faults), Served(self._faults))
        self._service.content_url = self.content_url

    def __enter__(self) -> Self:
        for host in self._hosts:
            host.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts:
            host.stop()

    @property
    def api_url(self) -> str:
        return f"{self._hosts[0].url.rstrip('/')}{API}"

    @property
    def content_url(self) -> str:
        return f"{self._hosts[1].url.rstrip('/')}{CONTENT}"

    @property
    def auth_url(self) -> str:
        return f"{self._hosts[0].url}oauth/v2"

    # -- what a user does --------------------------------------------------------------

    def write(self, path: str, content: bytes) -> None:
        """A file with the folders above it; in the place of what was there."""
        with self.drive.lock:
            self.mkdir(path.rpartition("/")[0])
            now = self.drive.clock()
            self.drive.exists = True
            self.drive.nodes[path] = Node(content, now, now)

    def mkdir(self, path: str) -> None:
        """A folder with those above it."""
        with self.drive.lock:
            parts = path.split("/") if path else []
            for number in range(1, len(parts) + 1):
                self.drive.nodes.setdefault("/".join(parts[:number]), Node(None))

    def read(self, path: str) -> bytes:
        """The content; KeyError if there is no such file."""
        content = self.drive.nodes[path].content
        if content is None:
            raise KeyError(path)
        return content

    def remove(self, path: str) -> None:
        """With all below it."""
        with self.drive.lock:
            for gone in [p for p in self.drive.nodes if p == path or p.startswith(f"{path}/")]:
                del self.drive.nodes[gone]

    def rename(self, old: str, new: str) -> None:
        """With all below it; the folder above must be there."""
        with self.drive.lock:
            for path in [p for p in self.drive.nodes if p == old or p.startswith(f"{old}/")]:
                self.drive.nodes[new + path[len(old) :]] = self.drive.nodes.pop(path)

    def files(self, below: str = "") -> dict[str, bytes]:
        """Every file by its path below a folder."""
        with self.drive.lock:
            start = f"{below}/" if below else ""
            return {
                path[len(start) :]: node.content
                for path, node in self.drive.nodes.items()
                if node.content is not None and path.startswith(start)
            }

    def set_clock(self, clock: Callable[[], float]) -> None:
        """What the service's files are dated by, in seconds since 1970."""
        self.drive.clock = clock

    # -- misbehaviour ------------------------------------------------------------------

    def misbehave(
        self, method: str, path: str, fault: Fault, *, skip: int = 0, times: int | None = 1
    ) -> Rule:
        """From the request number `skip` + 1 that fits, `times` times (None: from then on)."""
        return self._faults.add(method, path, fault, skip=skip, times=times)

    def behave(self) -> None:
        """No fault acts any more; options stay."""
        self._faults.behave()

    @property
    def log(self) -> list[Request]:
        """Every request so far, in the order of arrival."""
        return self._faults.log

    def asked(self, method: str = "*", path: str = "") -> list[Request]:
        """Those of a method and a pattern of the path."""
        return self._faults.asked(method, path)
