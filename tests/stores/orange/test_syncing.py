"""A machine that syncs a folder with the double: engine, database and store as `syncer.jobs` has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.engine import sync
from syncer.engine.gitignore import compile_rules
from syncer.engine.model import Action, Done, Failed, Outcome, Policy, Side
from syncer.engine.report import RunReport
from syncer.errors import StoreError
from syncer.jobs.root_identity import admit
from syncer.state import open_state
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import Trash
from syncer.stores.retry import RetryingStore
from syncer.stores.retry_policy import RetryPolicy
from tests.contract.orange_rig import OrangeRig
from tests.doubles.faults import Reset
from tests.doubles.orange import Options

TAG = "0123abcd"
NAMES = {Side.LOCAL: "local", Side.REMOTE: "remote"}
WORDS = [
    "été à la mer",
    "l’œuvre d'Ève",
    "Noël 2025",
    "ça va",
    "naïve (copie)",
    "100 % sûr",
    "a&b=c;d",
    "plain",
]


class Silent:
    """A reporter that keeps what it hears to itself."""

    def scanning(self, directories: int) -> None: ...

    def transferring(self, files: int, size: int) -> None: ...

    def finished(self, action: Action, outcome: Outcome) -> None: ...

    def moved(self, side: Side, size: int) -> None: ...


class Machine:
    """One home with a folder, a state and a cache."""

    def __init__(self, rig: OrangeRig, home: Path) -> None:
        self.rig, self.home = rig, home
        self.local = home / "local"
        self.local.mkdir(parents=True)
        (home / "trash").mkdir()

    def run(self, policy: Policy | None = None, *, patient: bool = True) -> RunReport:
        """One run. Raises what it raises."""
        with self._pair(policy or Policy(host=self.home.name), patient=patient) as pair:
            return sync.sync(pair)

    def at_rest(self, policy: Policy | None = None, most: int = 3) -> int:
        """Runs until there is nothing to do, and how many runs that took."""
        for number in range(most):
            report = self.run(policy)
            bad = [a for a in report.actions if isinstance(a.outcome, Failed)]
            assert not bad, bad
            if not report.actions and not report.problems:
                return number
        raise AssertionError(f"no end: {report}")

    def write(self, path: str, data: bytes) -> None:
        file = self.local / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def tree(self) -> dict[str, bytes]:
        found = (p for p in self.local.rglob("*") if p.is_file() and ".syncer" not in p.parts)
        return {str(p.relative_to(self.local)): p.read_bytes() for p in found}

    @contextmanager
    def _pair(self, policy: Policy, *, patient: bool) -> Iterator[sync.SyncContext]:
        fs, clock = FileSystem(), self.rig.clock
        state = open_state(self.home / "state", now_ns=clock.now_ns)
        trash = Trash.at(str(self.home / "trash"), fs=fs, clock=clock, run="r")
        local = FolderStore(str(self.local), fs=fs, clock=clock, tag=TAG, trash=trash)
        patience = RetryPolicy(tries=5 if patient else 1)
        inner = self.rig.opened(f"cache-{self.home.name}", TAG)
        remote = RetryingStore(inner, sleep=clock.sleep, policy=patience)
        try:
            admit(state.memory, local, remote, names=NAMES, accept=False)
            yield sync.SyncContext(
                local=local, remote=remote, memory=state.memory, policy=policy, clock=clock,
                reporter=Silent(), compiler=compile_rules,
            )  # fmt: skip
        finally:
            local.close()
            remote.close()
            state.close()


def there(rig: OrangeRig) -> dict[str, bytes]:
    """The remote's files, our own left out."""
    return {p: data for p, data in rig.double.files(rig.root).items() if not p.startswith(".syncer")}


def paths(count: int) -> list[str]:
    """Paths in some twenty directories, two of them deep, with accents, apostrophes and spaces."""
    made = []
    for n in range(count):
        word, other = WORDS[n % 8], WORDS[(n // 8) % 8]
        above = f"{other}/{word}" if n % 3 else other
        made.append(f"{above}/{word} {n}.txt")
    return made


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OrangeRig]:
    built = OrangeRig(tmp_path / "rig", getattr(request, "param", Options)())
    yield built
    built.store.close()


@pytest.mark.timeout(600)
def test_a_thousand_files_edited_renamed_and_deleted_on_both_sides_come_to_rest(
    rig: OrangeRig, tmp_path: Path
) -> None:
    machine, names = Machine(rig, tmp_path / "one"), paths(1_050)
    for n, path in enumerate(names[:600]):
        machine.write(path, b"local %d" % n)
    for n, path in enumerate(names[600:]):
        rig.write(path, b"remote %d" % n)
    assert machine.at_rest() == 1
    assert machine.tree() == there(rig) and len(there(rig)) == 1_050

    for n, path in enumerate(names):
        if n % 10 == 0:
            machine.write(path, b"edited here, %d" % n)
        elif n % 10 == 1:
            rig.write(path, b"edited there, %d" % n)
        elif n % 50 == 2:
            (machine.local / path).unlink()
        elif n % 50 == 3:
            rig.remove(path)
        elif n % 50 == 4:
            (machine.local / path).rename(machine.local / f"{path} renommé d'ici")
        elif n % 50 == 5:
            rig.double.rename(rig.at(path), rig.at(f"{path} renommé là-bas"))
    wanted = len(there(rig)) - 21
    assert machine.at_rest() == 1
    assert machine.tree() == there(rig) and len(there(rig)) == wanted
    (machine.local / "Noël 2025").rename(machine.local / "Noël d’avant")
    assert machine.at_rest() == 1
    assert machine.tree() == there(rig) and len(there(rig)) == wanted
    assert any("renommé d'ici" in p for p in there(rig)) and any(
        "renommé là-bas" in p for p in machine.tree()
    )
    assert any(p.startswith("Noël d’avant/") for p in there(rig))

    rig.double.log.clear()
    report = machine.run()
    assert report.actions == () and report.problems == ()
    assert len(rig.double.log) < 40, "a run with nothing to do asks for the tree, not for its files"


@pytest.mark.parametrize(
    "rig",
    [
        lambda: Options(lag=3),
        lambda: Options(touches_date=True),
        lambda: Options(opaque_ids=True, write_status=204),
        lambda: Options(collisions="rename", page_cap=50),
        lambda: Options(collisions="overwrite", flat=False),
    ],
    ids=["lagging", "dates move", "opaque", "capped", "never flat"],
    indirect=True,
)
def test_however_the_service_behaves_two_machines_come_to_rest(rig: OrangeRig, tmp_path: Path) -> None:
    one, two = Machine(rig, tmp_path / "one"), Machine(rig, tmp_path / "two")
    for n, path in enumerate(paths(70)):
        one.write(path, b"%d" % n)
    one.at_rest()
    two.at_rest()
    assert one.tree() == two.tree() == there(rig) and len(there(rig)) == 70
    names = sorted(one.tree())
    one.write(names[0], b"edited by one")
    two.write(names[1], b"edited by two")
    (one.local / names[2]).unlink()
    (two.local / names[3]).rename(two.local / "moved by two")
    one.at_rest()
    two.at_rest()
    one.at_rest()
    assert one.tree() == two.tree() == there(rig) and len(there(rig)) == 69
    assert one.tree()["moved by two"] == two.tree()["moved by two"]


def test_a_conflict_keeps_both(rig: OrangeRig, tmp_path: Path) -> None:
    machine = Machine(rig, tmp_path / "one")
    machine.write("d/f", b"agreed")
    machine.at_rest()
    machine.write("d/f", b"mine")
    rig.write("d/f", b"theirs, later")
    machine.run()
    machine.at_rest()
    assert sorted(machine.tree().values()) == [b"mine", b"theirs, later"] and machine.tree() == there(rig)


@pytest.mark.parametrize("host", ["api", "content"])
def test_a_token_that_ends_in_the_middle_of_a_run_is_renewed_once(
    rig: OrangeRig, tmp_path: Path, host: str
) -> None:
    machine = Machine(rig, tmp_path / "one")
    for n in range(30):
        machine.write(f"mine {n}", b"%d" % n)
        rig.write(f"theirs {n}", b"%d" % n)
    seen = [0]

    def write(path: str, content: bytes, put: object = rig.double.drive.put) -> str:
        seen[0] += 1
        if seen[0] == 10:
            rig.double.login.expire(host)
        return put(path, content[0], content[1])  # type: ignore[operator]

    rig.double.drive.put = lambda parent, name, content: write(parent, (name, content))  # type: ignore[method-assign, arg-type]
    report = machine.run()
    assert all(isinstance(a.outcome, Done) for a in report.actions) and len(report.actions) == 60
    assert seen[0] > 10 and rig.double.login.refreshes == 1 and len(rig.tokens.saved) == 1
    assert machine.at_rest() == 0 and machine.tree() == there(rig)


def edit(machine: Machine) -> None:
    machine.write("d/edited", b"edited here")


def delete(machine: Machine) -> None:
    (machine.local / "d/edited").unlink()


def rename(machine: Machine) -> None:
    (machine.local / "d/edited").rename(machine.local / "e/renamed")


def rename_folder(machine: Machine) -> None:
    (machine.local / "d").rename(machine.local / "e/renommé")


def change_kind(machine: Machine) -> None:
    (machine.local / "d/edited").unlink()
    machine.write("d/edited/below", b"in a directory")


@pytest.mark.parametrize("change", [edit, delete, rename, rename_folder, change_kind])
def test_a_run_that_is_cut_off_at_any_request_loses_nothing_and_the_next_one_heals(
    tmp_path: Path, change: Callable[[Machine], None]
) -> None:
    """From one request on none gets through, nor one that would put things right: as if the process died."""
    number, cut = 0, True
    while cut:
        rig = OrangeRig(tmp_path / f"rig {number}")
        machine = Machine(rig, tmp_path / f"home {number}")
        for path in ("d/edited", "d/other", "e/f"):
            machine.write(path, path.encode())
        machine.at_rest()
        change(machine)
        wanted = machine.tree()
        rig.double.log.clear()
        rig.double.misbehave("*", "", Reset(), skip=number, times=None)
        try:
            machine.run(patient=False)
        except StoreError:
            pass
        cut = len(rig.double.log) > number
        everything = [*rig.double.files().values(), *machine.tree().values()]
        assert b"d/edited" in everything, number
        rig.double.behave()
        machine.at_rest()
        assert machine.tree() == wanted == there(rig), number
        assert b"d/edited" in rig.double.files().values(), number
        rig.store.close()
        number += 3
    assert number > 12


def test_losing_the_cache_costs_time_only(rig: OrangeRig, tmp_path: Path) -> None:
    machine = Machine(rig, tmp_path / "one")
    for n in range(20):
        machine.write(f"d/{n}", b"%d" % n)
    machine.at_rest()
    book = rig.base / "cache-one" / "orange.sqlite3"
    assert book.is_file()
    book.write_bytes(b"no database at all" * 100)
    machine.write("d/3", b"edited")
    machine.at_rest()
    book.unlink()
    rig.write("d/4", b"edited there")
    machine.at_rest()
    assert machine.tree() == there(rig) and machine.tree()["d/4"] == b"edited there"


def test_an_emptied_root_is_no_deletion_of_everything(rig: OrangeRig, tmp_path: Path) -> None:
    machine = Machine(rig, tmp_path / "one")
    for n in range(20):
        machine.write(f"{n}", b"%d" % n)
    machine.at_rest()
    rig.double.remove(rig.root)
    with pytest.raises(Exception, match="root"):
        machine.run()
    assert len(machine.tree()) == 20


def test_a_first_run_makes_the_application_s_own_folder(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path / "rig", Options(restricted=True), root="")
    machine = Machine(rig, tmp_path / "one")
    machine.write("é/f", b"1")
    machine.at_rest()
    assert there(rig) == {"é/f": b"1"}
    machine.run(replace(Policy(host="one"), full=True))
    rig.store.close()
