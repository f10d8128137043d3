"""The double as a test holds it: started and stopped, written to behind the client's back, told to fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from tests.doubles.faults import Fault, Faults, Request, Rule
from tests.doubles.serving import Served
from tests.doubles.smartfile.app import build
from tests.doubles.smartfile.options import Options
from tests.doubles.smartfile.site import Site
from tests.doubles.smartfile.tasks import Script
from tests.doubles.smartfile.tree import names


class SmartFileDouble:
    """A hosted site of its own on a loopback port.

    `url` ends with a slash, as `SMARTFILE_API_URL` must; `options` may be changed at any time.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.site = Site(options=options or Options())
        self._faults = Faults(build(self.site))
        self._served = Served(self._faults)

    def __enter__(self) -> Self:
        self._served.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._served.stop()

    @property
    def url(self) -> str:
        return self._served.url

    @property
    def port(self) -> int:
        return self._served.port

    @property
    def key(self) -> str:
        return self.site.credentials.key

    @property
    def password(self) -> str:
        return self.site.credentials.password

    @property
    def options(self) -> Options:
        return self.site.options

    # -- what another client does ------------------------------------------------------------

    def write(
        self,
        path: str,
        content: bytes,
        *,
        time: float | None = None,
        attributes: Mapping[str, str] | None = None,
        kind: str | None = None,
    ) -> None:
        """A file with its parents. `time`: seconds since 1970, else now; `attributes` replace the old ones
        if given; `kind`: its content type."""
        with self.site.tree.lock:
            *above, name = names(path)
            self.site.tree.mkdir("/".join(above))
            node = self.site.tree.put("/".join(above), name, content, kind=kind)
            node.uploaded = float("-inf")  # it stands there for long, whatever `settle` says
            if time is not None:
                node.time = time
            if attributes is not None:
                node.attributes = dict(attributes)

    def read(self, path: str) -> bytes:
        """The content now; KeyError if there is no such file."""
        node = self.site.tree.look(path)
        if node is None or node.content is None:
            raise KeyError(path)
        return node.content

    def attributes(self, path: str) -> dict[str, str]:
        """What clients noted about it."""
        return dict(self.site.tree.find(path).attributes)

    def mkdir(self, path: str, *, time: float | None = None) -> None:
        """A directory with its parents. `time`: seconds since 1970, else now."""
        made = self.site.tree.mkdir(path)
        if time is not None:
            made.time = time

    def remove(self, path: str) -> None:
        """With all below it."""
        self.site.tree.remove(self.site.tree.find(path))

    def rename(self, old: str, new: str) -> None:
        """Parents are made; what stood there before is gone."""
        with self.site.tree.lock:
            *above, name = names(new)
            parent = self.site.tree.mkdir("/".join(above))
            there = self.site.tree.look(new)
            if there is not None:
                self.site.tree.remove(there)
            self.site.tree.move(self.site.tree.find(old), parent, name, "rename")

    def contents(self) -> dict[str, bytes | None]:
        """Every path with its content; None for a directory."""
        with self.site.tree.lock:
            return {node.path: node.content for node in self.site.tree.walk()}

    def set_clock(self, clock: Callable[[], float]) -> None:
        """Seconds since 1970, from now on."""
        self.site.tree.clock = clock

    # -- misbehaviour ------------------------------------------------------------------------

    def misbehave(
        self, method: str, path: str, fault: Fault, *, skip: int = 0, times: int | None = 1
    ) -> Rule:
        """From the request number `skip` + 1 that fits, `times` times (None: from then on)."""
        return self._faults.add(method, path, fault, skip=skip, times=times)

    def behave(self) -> None:
        """No fault acts any more; options stay."""
        self._faults.behave()

    def script_tasks(self, *scripts: Script) -> None:
        """How the next tasks go."""
        self.site.tasks.script(*scripts)

    def expire_tasks(self) -> None:
        """The service forgets its tasks: 404 for each."""
        self.site.tasks.expire()

    def revoke(self) -> None:
        """No credentials are accepted any more."""
        self.site.credentials.revoked = True

    # -- what was asked ----------------------------------------------------------------------

    @property
    def log(self) -> list[Request]:
        """Every request so far, in the order of arrival."""
        return self._faults.log

    def asked(self, method: str = "*", path: str = "") -> list[Request]:
        """Those of a method and a pattern of the path."""
        return self._faults.asked(method, path)

    def forget(self) -> None:
        """Empties the log."""
        self._faults.log.clear()

    def wait_until(self, true: Callable[[list[Request]], object]) -> None:
        """Returns once `true(log)`: a client in another thread or process has come so far."""
        self._faults.wait_until(true)

    def rest(self) -> None:
        """Waits until no request is being worked on."""
        self._served.rest()
