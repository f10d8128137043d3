"""Scenes for campaigns: machines with a daemon each, perhaps a server, users, and their invariants.

    with at_work(World(tmp_path, seed=7)) as world:
        world.begin()
        ...
        world.end()
        world.converges(60)

Nothing is lost: every content that a user wrote and none gave up stands in a folder or in a trash. They
converge by themselves: no command is given, nothing is flushed. Then they rest: no run, no transfer.
"""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from syncer.engine.paths import PRIVATE, TEMPORARY
from syncer.stores.local.root import TAG_LENGTH
from tests.daemon.campaigns.machines import Machine, eventually
from tests.daemon.campaigns.writers import Book, User
from tests.doubles.proxy import Proxy
from tests.server.conftest import Serving, serving

BELOW = "docs"
_ORDINARY = len(TEMPORARY) + TAG_LENGTH + 8  # characters of a temporary's name; a partial's is longer
_OLD_NS = 2 * 10**9  # of a stamp: a later change has another one
_LAST_LOOKS = 2.0  # seconds
_EFFECTS = ("uploaded", "downloaded", "deleted", "moved", "conflicts")
Tree = dict[str, object]
T = TypeVar("T", bound="Scene")


def tree(root: Path, known: dict[tuple[int, ...], bytes] | None = None) -> Tree:
    """What users see: kinds, the digest of each content, whether it is executable.

    `known` keeps digests from one look to the next: what has the stamp it had then is not read again.
    """
    found: Tree = {}
    for folder, subs, files in os.walk(root):
        if folder == str(root) and PRIVATE in subs:
            subs.remove(PRIVATE)
        for name in (*subs, *files):
            if not name.startswith(TEMPORARY):
                place = Path(folder, name)
                with suppress(FileNotFoundError, NotADirectoryError):
                    found[str(place.relative_to(root))] = _shape(place, known)
    return found


def _shape(place: Path, known: dict[tuple[int, ...], bytes] | None) -> object:
    st = place.lstat()
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(place)
    if stat.S_ISDIR(st.st_mode):
        return None
    stamp = st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns
    digest = known.get(stamp) if known is not None else None
    if digest is None:
        digest = blake3(place.read_bytes()).digest()
        if known is not None and time.time_ns() - st.st_ctime_ns > _OLD_NS:
            known[stamp] = digest
    return digest, bool(st.st_mode & 0o100)


def difference(*trees: Tree) -> str:
    """The first few paths that are not the same in all of them."""
    paths = sorted(set().union(*trees))
    wrong = [
        (path, [t.get(path, "nothing") for t in trees])
        for path in paths
        if len({t.get(path, "nothing") for t in trees}) > 1
    ]
    return f"{len(wrong)} of {len(paths)} paths differ: {wrong[:5]}"


def everything(*places: Path) -> set[bytes]:
    """The digest of every content in folders and in trashes; what is on its way only does not count."""
    found: set[bytes] = set()
    for top in places:
        for folder, _, files in os.walk(top):
            kept = "/trash" in folder
            for name in files:
                if kept or TEMPORARY not in name:
                    with suppress(OSError):
                        found.add(blake3(Path(folder, name).read_bytes()).digest())
    return found


class Scene:
    """Daemons, users, and the folders that have to become equal. `seed` draws what the users do."""

    def __init__(self, base: Path, *, seed: int, pause: float) -> None:
        self.base = base
        self.seed = seed
        self.random = random.Random(seed)
        self.book = Book()
        self.machines: list[Machine] = []
        self.roots: list[Path] = []
        self.users: list[User] = []
        self._pause = pause
        self._settled: set[bytes] = set()

    def _user(self, root: Path) -> User:
        drawn = random.Random(f"{self.seed} {root.relative_to(self.base)}")
        return User(root=root, book=self.book, random=drawn, pause=self._pause)

    def begin(self) -> None:
        """All users, at once."""
        for user in self.users:
            user.begin()

    def end(self) -> None:
        for user in self.users:
            user.end()

    def leave(self) -> None:
        """Nothing of it runs any more."""
        for user in self.users:
            with suppress(AssertionError):
                user.end()
        for machine in self.machines:
            machine.leave()

    # -- what has to hold ----------------------------------------------------------------

    def is_equal(self) -> bool:
        return all(m.is_quiet() for m in self.machines) and not self._differing()

    def _differing(self) -> str:
        trees = [tree(root) for root in self.roots]
        return "" if all(t == trees[0] for t in trees) else difference(*trees)

    def comes_equal(self, within: float) -> float:
        """By itself; seconds that it took."""
        return eventually(self.is_equal, within, self._told)

    def converges(self, within: float) -> float:
        """The same, and nothing that the users wrote is lost."""
        took = self.comes_equal(within)
        self.nothing_is_lost()
        self._settle()
        return took

    def _settle(self) -> None:
        """What stands where no user works: whoever overwrites it elsewhere, there it goes to a trash."""
        apart = [root for root in self.roots if root not in [user.root for user in self.users]]
        shapes = [shape for root in apart for shape in tree(root).values()]
        self._settled |= {shape[0] for shape in shapes if isinstance(shape, tuple)}

    def _told(self) -> str:
        stands = "\n".join(self._stands(machine) for machine in self.machines)
        return f"seed {self.seed}: {self._differing()}\n{stands}"

    def _stands(self, machine: Machine) -> str:
        try:
            return f"{machine.status}\n{machine.log[-1500:]}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the report
            return f"{machine.home.name}: {error}\n{machine.log[-1500:]}"

    def nothing_is_lost(self) -> None:
        """In quiet."""
        there = everything(self.base)
        lost = {where for digest, where in self.book.due().items() if digest not in there}
        assert not lost, f"seed {self.seed}: {len(lost)} contents are lost, written to {sorted(lost)[:20]}"
        missing = len(self._settled - there)
        assert not missing, f"seed {self.seed}: {missing} contents that were synced are in no trash"
        torn = [p for p, shape in tree(self.roots[0]).items() if self._is_torn(shape)]
        assert not torn, f"seed {self.seed}: nobody wrote what stands at {torn[:20]}"

    def _is_torn(self, shape: object) -> bool:
        return isinstance(shape, tuple) and not self.book.known(shape[0])

    def rests(self, seconds: float) -> None:
        """Nothing crosses any more, and once the last looks are over, for so long nobody even looks."""
        before = self._did(_EFFECTS), [tree(root) for root in self.roots]
        eventually(lambda: self._stands_still(_LAST_LOOKS), 15 * _LAST_LOOKS, self._told)
        assert self._stands_still(seconds), f"seed {self.seed}: not at rest: {self._told()}"
        after = self._did(_EFFECTS), [tree(root) for root in self.roots]
        assert after == before, f"seed {self.seed}: not at rest: {before[0]}, then {after[0]}"

    def _stands_still(self, seconds: float) -> bool:
        before = self._did()
        time.sleep(seconds)
        return self._did() == before

    def _did(self, only: tuple[str, ...] = ()) -> list[dict[str, object]]:
        done = [machine.done() for machine in self.machines]
        return [{name: one[name] for name in only or one} for one in done]

    def is_tidy(self) -> None:
        """Nothing of ours is left in the users' folders, but for parts of broken-off transfers."""
        left = [p for m in self.machines for p in m.local.rglob(f"{TEMPORARY}*") if len(p.name) <= _ORDINARY]
        assert not [p for p in left if PRIVATE not in p.parts], f"seed {self.seed}: {left}"

    def nobody_stumbled(self) -> None:
        for machine in self.machines:
            machine.told_no_nonsense()


class Folders(Scene):
    """One daemon between two folders of one disk, a user at each."""

    def __init__(self, base: Path, *, seed: int, pause: float = 0.1) -> None:
        super().__init__(base, seed=seed, pause=pause)
        machine = Machine(home=base / "one", remote=f"local:{base / 'there'}")
        self.machines = [machine]
        self.roots = [machine.local, base / "there"]
        self.roots[1].mkdir()
        self.users = [self._user(root) for root in self.roots]


class World(Scene):
    """Two daemons and a `syncer serve`, a user at each, and (`third`) one at the server's disk.

    With a proxy the machines speak to the server through it.
    """

    def __init__(
        self, base: Path, *, seed: int, pause: float = 0.1, proxied: bool = False, third: bool = False
    ) -> None:
        super().__init__(base, seed=seed, pause=pause)
        self._stack = ExitStack()
        self._server_stack = ExitStack()
        self.server = self._serve()
        port = self.server.port
        self.proxy = self._stack.enter_context(Proxy("127.0.0.1", port)) if proxied else None
        self._url = self.proxy.url if self.proxy else self.server.url
        self.machines = [self._machine(name) for name in ("one", "two")]
        self.roots = [*(machine.local for machine in self.machines), base / "served" / BELOW]
        self.roots[2].mkdir()
        self.users = [self._user(root) for root in (self.roots if third else self.roots[:2])]

    def _machine(self, name: str) -> Machine:
        accounts = (
            f'[accounts.far]\ntype = "smartfile"\nurl = "{self._url}"\n'
            f'key = "{self.server.key}"\npassword = "{self.server.password}"\n'
        )
        return Machine(home=self.base / name, remote=f"far:{BELOW}", accounts=accounts)

    def _serve(self, *options: str) -> Serving:
        return self._server_stack.enter_context(
            serving(self.base / "served", *options, state=self.base / "serving")
        )

    def restart_server(self, *, kill: bool) -> None:
        """On the same port, with the keys that it had."""
        if kill:
            self.server.process.kill()
        port = self.server.port
        self._server_stack.close()
        self._server_told_no_nonsense()
        self.server = self._serve("--listen", f"127.0.0.1:{port}")

    def leave(self) -> None:
        super().leave()
        self._stack.close()
        self._server_stack.close()
        (self.base / "server.log").write_text("".join(self.server.log), encoding="utf-8")

    def nobody_stumbled(self) -> None:
        super().nobody_stumbled()
        self._server_told_no_nonsense()

    def _server_told_no_nonsense(self) -> None:
        log = "".join(line for line in self.server.log if not line.startswith('{"time"'))
        assert "Traceback" not in log, log[:6000]


@contextmanager
def at_work(found: T) -> Iterator[T]:
    """All daemons run when the block begins; all is gone when it ends."""
    try:
        for machine in found.machines:
            machine.start()
        yield found
    finally:
        found.leave()
