"""A real Swift for tests: started, told to misbehave, asked what it was asked.

    swift.rule("lose-answer", method="PUT")        the next PUT takes effect, its answer is lost
    swift.rule("status", kind="container", status=503, retry_after=1, times=None)
    swift.lag(None); …; swift.settle()             listings stand still until told
    swift.expire(); swift.requests(method="PUT")

Paths in rules are decoded, below the account (`container/a/b`); `*` matches slashes too; others
than Swift's begin with a slash (`/auth/v1.0`, `/info`). The server lives in `inside`, in a process and an
environment of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from tests.swift.environment import environment, fast_folder
from tests.swift.processes import end, hear, start

LAUNCHER = Path(__file__).parent / "inside" / "launcher.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may differ from one Swift to another.

    `limits` go into `[swift-constraints]` (`container_listing_limit`, `max_file_size`, …); `without`
    names middleware to leave out (`bulk`, `slo`, `symlink`, `versioned_writes`, …); `slo_throttle` is the
    segment after which small ones come slowly (Swift's default is 10; here none).
    """

    token_life: int = 86400
    limits: Mapping[str, int] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    max_manifest_segments: int = 1000
    slo_throttle: int | None = None
    keystone: Mapping[str, str] | None = None
    s3: bool = False  # the s3api middleware, which offers the S3 API beside Swift's
    verbose: bool = False  # Swift's log on stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that Swift got; `received` and `sent` are bytes of bodies, `rule` the one that hit it."""

    method: str
    path: str
    kind: str  # account, container, object or other
    query: str
    status: int
    received: int
    sent: int
    began: float
    seconds: float
    rule: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A misbehaviour that was asked for."""

    swift: Swift
    number: int

    def hits(self, *, at_least: int = 0, seconds: float = 20) -> int:
        """How often it hit; waits until `at_least` so often, then fails."""
        hits: int = self.swift.control("hits", number=self.number, at_least=at_least, seconds=seconds)
        assert hits >= at_least, f"rule hit {hits} times, not {at_least}"
        return hits

    def release(self) -> None:
        """Lets go whom `hold` or `hold-answer` holds."""
        self.swift.control("release", number=self.number)

    def remove(self) -> None:
        """Ends it; releases as well."""
        self.swift.control("remove", number=self.number)


class Swift:
    """A running Swift with four users: `user`, an administrator of the account, is the usual one."""

    user, key = "test:tester", "testing"
    other_user, other_key = "test2:tester2", "testing2"  # of another account
    powerless_user, powerless_key = "test:tester3", "testing3"  # of the account, without rights
    reseller, reseller_key = "admin:admin", "admin"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._launch(LAUNCHER, asdict(self.settings), verbose=self.settings.verbose)

    def _launch(self, launcher: Path, settings: Mapping[str, Any], *, verbose: bool = False) -> None:
        self.root = fast_folder()
        self._numbers = count(1)
        words = [environment(), str(launcher), str(self.root), json.dumps(settings)]
        self._process = start(words, None if verbose else self.root / "stderr")
        try:
            self.ports: dict[str, int] = hear(self._process, self.root / "stderr")
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Scheme, host and port of the proxy."""
        return f"http://127.0.0.1:{self.ports['proxy']}"

    @property
    def auth_url(self) -> str:
        """Where TempAuth takes logins."""
        return f"{self.url}/auth/v1.0"

    def stop(self) -> None:
        """Ends the process and removes its data."""
        end(self._process)
        shutil.rmtree(self.root, ignore_errors=True)

    def control(self, operation: str, /, **words: Any) -> Any:
        """One operation of `inside/control.py`."""
        url = f"http://127.0.0.1:{self.ports['control']}/{operation}"
        request = HttpRequest(url, data=json.dumps(words).encode(), method="POST")
        try:
            with urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except HTTPError as error:
            with error:
                raise ValueError(json.loads(error.read())) from None

    # -- misbehaviour ----------------------------------------------------------

    def rule(
        self,
        do: str,
        *,
        method: str = "*",
        path: str = "*",
        kind: str = "*",
        query: str = "",
        after: int = 0,
        every: Sequence[int] = (1,),
        times: int | None = 1,
        **how: Any,
    ) -> Rule:
        """Does `do` to `times` (None: all) requests of a kind, once `after` of them went through.

        `every`: how far those are apart from then on, in turn. A request with a header `X-Spared` is left
        alone.

        `method`, `path` and `kind` (account, container, object, other) are patterns, `query` is a part
        of the query string. The first rule that takes a request has it. Deeds, with what they need:

        without effect   `status` (`status`, `retry_after`, `headers`, `body`), `drop`, `cut-upload` (`bytes`)
        after it         `lose-answer`, `answer` (as `status`; a header None is taken away), `cut` (`bytes`),
                         `corrupt` (`at`), `delay-answer` (`seconds`), `hold-answer`
        before it        `delay` (`seconds`), `hold`, `expire-token` (the request's own), `expire-tokens`,
                         `unconditional` (`If-Match` and `If-None-Match` are taken away)
        """
        like = {"method": method, "path": path, "kind": kind, "query": query}
        when = {"after": after, "every": every, "times": times}
        return Rule(self, self.control("add", do=do, **like, **when, **how)["number"])

    def lag(self, seconds: float | None) -> None:
        """Listings follow so much later; None: not before `settle`; 0: at once."""
        self.control("lag", seconds=seconds)

    def settle(self) -> int:
        """Listings catch up now; how many changes they had missed. The lag stays as it is."""
        settled: int = self.control("settle")
        return settled

    def expire(self, token: str = "") -> None:
        """One token dies, or all."""
        self.control("expire", token=token)

    def fresh_tokens(self) -> None:
        """The next login of each user gets a new token; those handed out live on."""
        self.control("forget-users")

    def forget_info(self) -> None:
        """The proxy looks at containers and accounts anew (it remembers their quotas for 60 s)."""
        self.control("forget-info")

    def update_totals(self) -> None:
        """Accounts learn how many bytes and objects their containers hold."""
        self.control("update", conf=str(self.root / "container-server.conf"))

    def reset(self) -> None:
        """No rules, no lag, nothing asked so far; data and tokens stay."""
        self.control("reset")

    # -- looking ----------------------------------------------------------------

    def requests(self, **like: Any) -> list[Asked]:
        """What was asked since the last `reset` or `clear`; `like` picks by equal fields (`method="PUT"`)."""
        asked = [Asked(**words) for words in self.control("log")]
        return [a for a in asked if all(getattr(a, name) == value for name, value in like.items())]

    def clear(self) -> None:
        """Forgets what was asked so far."""
        self.control("clear")

    def fresh_name(self, stem: str = "c") -> str:
        """A container name not used before on this server."""
        return f"{stem}{next(self._numbers)}"

    def log_in(self, user: str = "", key: str = "") -> tuple[str, str]:
        """Storage URL and token by v1 auth, without any of Syncer's code."""
        headers = {"X-Auth-User": user or self.user, "X-Auth-Key": key or self.key}
        with urlopen(HttpRequest(self.auth_url, headers=headers), timeout=60) as answer:
            return answer.headers["X-Storage-Url"], answer.headers["X-Auth-Token"]
