"""Small workloads: every sequence of one and two changes on the paths `x` and `d/x`.

After ACE (Mohan and others, "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing",
OSDI 2018): most crash bugs show with few operations on few names. The first change happens
on the local side, the second on either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from tests.simulation.hands import Hands
from tests.simulation.machines import Machine
from tests.simulation.races import across

PATHS = ("x", "d/x")


def begin(machine: Machine) -> Hands:
    """A small base on both sides. `quiet` files keep the guards calm."""
    hands = Hands(machine)
    hands.mkdir("local/d")
    hands.mkdir("local/e")
    for path in ("x", "d/x", "d/y", "e/z", "quiet-1", "quiet-2", "quiet-3"):
        hands.write(f"local/{path}", f"base of {path}\n")
    end = machine.run()
    assert end.exit_code == 0, str(end)
    return hands


def new(hands: Hands, path: str, words: str) -> bool:
    """A file beside the path."""
    return _free(hands, f"{path}-new") and _write(hands, f"{path}-new", words)


def modify(hands: Hands, path: str, words: str) -> bool:
    if hands.kind(path) != "file":
        return False
    hands.write_into(path, words)
    return True


def delete(hands: Hands, path: str, words: str) -> bool:
    if hands.kind(path) != "file":
        return False
    hands.delete(path)
    return True


def rename(hands: Hands, path: str, words: str) -> bool:
    """To another directory."""
    target = f"{_side(path)}/e/moved-{path.count('/')}"
    if not hands.kind(path) or not _free(hands, target):
        return False
    hands.rename(path, target)
    return True


def mkdir(hands: Hands, path: str, words: str) -> bool:
    if not _free(hands, f"{path}-directory"):
        return False
    hands.mkdir(f"{path}-directory")
    return True


def rmtree(hands: Hands, path: str, words: str) -> bool:
    place = _directory(hands, path)
    if place:
        hands.rmtree(place)
    return bool(place)


def to_directory(hands: Hands, path: str, words: str) -> bool:
    if hands.kind(path) != "file":
        return False
    hands.delete(path)
    hands.mkdir(path)
    hands.write(f"{path}/inside", words)
    return True


def to_file(hands: Hands, path: str, words: str) -> bool:
    place = _directory(hands, path)
    if not place:
        return False
    hands.rmtree(place)
    hands.write(place, words)
    return True


def conflict(hands: Hands, path: str, words: str) -> bool:
    other = across(path)
    if "directory" in (hands.kind(path), hands.kind(other)):
        return False
    return _write(hands, path, words) and _write(hands, other, f"not {words}")


CHANGES: dict[str, Callable[[Hands, str, str], bool]] = {
    change.__name__: change
    for change in (new, modify, delete, rename, mkdir, rmtree, to_directory, to_file, conflict)
}


@dataclass(frozen=True, slots=True)
class Step:
    """One change on one side of one path. Written `side:change:path`."""

    side: str
    change: str
    path: str

    def __str__(self) -> str:
        return f"{self.side}:{self.change}:{self.path}"

    @classmethod
    def parse(cls, text: str) -> Step:
        return cls(*text.split(":"))

    def take(self, hands: Hands, words: str) -> bool:
        """False if it makes no sense here, and nothing was changed."""
        return CHANGES[self.change](hands, f"{self.side}/{self.path}", words)


def sequences() -> Iterator[tuple[Step, ...]]:
    """All of one and of two changes; some of the latter make no sense."""
    single = [Step("local", change, path) for change in CHANGES for path in PATHS]
    yield from ((step,) for step in single)
    second = [Step(side, s.change, s.path) for side in ("local", "remote") for s in single]
    yield from product(single, second)


def _write(hands: Hands, path: str, words: str) -> bool:
    if hands.kind(path.rpartition("/")[0]) != "directory":
        return False
    hands.write(path, words)
    return True


def _free(hands: Hands, path: str) -> bool:
    return not hands.kind(path) and hands.kind(path.rpartition("/")[0]) == "directory"


def _side(path: str) -> str:
    return path.partition("/")[0]


def _directory(hands: Hands, path: str) -> str:
    """The path if it is a directory, else the one it stands in, unless that is the root."""
    above = path.rpartition("/")[0]
    if hands.kind(path) == "directory":
        return path
    return above if "/" in above and hands.kind(above) == "directory" else ""
