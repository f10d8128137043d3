"""A page of a listing, laid beside what is known of its objects: what is really there.

Listings are late. What one shows as it is known is taken for granted; everything else is asked for itself:
an object that is new or another, one that is listed and gone, one that is known and not listed. The
last is gone only when it was not found twice, a while apart: until then it waits (`Overlay.unsure`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from syncer.engine.model import Entry, Obstacle, Trouble
from syncer.engine.paths import unsafe
from syncer.engine.ports import Clock
from syncer.stores.beneath import is_ours
from syncer.stores.swift.known import Fact, Known
from syncer.stores.swift.learning import Crew, Learned, Learner
from syncer.stores.swift.names import Place
from syncer.stores.swift.objects import Row

GRACE_SECONDS = 3.0  # between the two looks that do not find an object
_SLASHES = "/"  # stands for a name that is empty: "a//b", "/lead"

Shown: TypeAlias = tuple[str, Entry | Obstacle]  # a path below the root, and what stands there


@dataclass(slots=True)
class Overlay:
    """For one look at one root, or a part of it. `unsure`: objects not found once, which are waited for."""

    place: Place
    known: Known
    learner: Learner
    crew: Crew
    clock: Clock
    unsure: list[str] = field(default_factory=list)
    asked: int = 0

    def page(self, rows: Sequence[Row], facts: Iterable[Fact]) -> list[Shown]:
        """What is there of what a part of a listing shows, and of what is known of that part; by name."""
        listed = {row.name: row for row in rows if not is_ours(self._visible(row.name))}
        known = {fact.name: fact for fact in facts}
        found: dict[str, Entry | Obstacle] = {}
        doubtful: list[tuple[str, Row | None]] = []
        for name, row in listed.items():
            fact = known.get(name)
            if why := strange(self._visible(name)):
                found[name] = Obstacle(Trouble.UNSAFE_NAME, why)
            elif name.endswith("/") and row.size:
                found[name] = Obstacle(
                    Trouble.UNSUPPORTED, "an object with content whose name ends in a slash"
                )
            elif fact is not None and not fact.volatile and row.stamp.may_be(fact.ticks, fact.listed):
                found[name] = fact.entry
            else:
                doubtful.append((name, row))
        doubtful += [(name, None) for name in known if name not in listed]
        found |= self._ask(doubtful)
        return [(self.place.path(name), found[name]) for name in sorted(found, key=str.encode)]

    def grace(self) -> float:
        """Seconds until all that was not found once may be looked for again."""
        now = self.clock.now_ns()
        since = max((self.known.missing_since(name, now) for name in self.unsure), default=0)
        return max(0.0, GRACE_SECONDS - (now - since) / 1e9) if since else 0.0

    def _ask(self, doubtful: Sequence[tuple[str, Row | None]]) -> dict[str, Entry | Obstacle]:
        self.asked += len(doubtful)
        answers = self.crew.each(lambda item: self.learner.learn(*item), doubtful)
        self.known.remember(a for a in answers if isinstance(a, Fact))
        found: dict[str, Entry | Obstacle] = {}
        gone: list[str] = []
        for (name, row), answer in zip(doubtful, answers, strict=True):
            seen = self._judged(name, row, answer)
            if seen is None:
                gone.append(name)
            else:
                found[name] = seen
        self.known.forget(gone)
        return found

    def _judged(self, name: str, row: Row | None, answer: Learned) -> Entry | Obstacle | None:
        if isinstance(answer, Fact):
            return answer.entry
        if answer is not None:
            return answer
        if self.known.fact(name) is None:
            return None  # listed only: it was deleted, and nobody here ever relied on it
        now = self.clock.now_ns()
        if now - self.known.missing_since(name, now) >= GRACE_SECONDS * 1e9:
            return None
        self.unsure.append(name)
        return Obstacle(Trouble.BUSY, "it was not found, once: that may be a late answer; looked for again")

    def _visible(self, name: str) -> str:
        return self.place.path(name).removesuffix("/")


def strange(path: str) -> str:
    """Why an object's name is no path; "" if it may be one."""
    for part in path.split("/") if path else ():
        if part in ("", ".", ".."):
            return f"the object's name has the part {part or _SLASHES!r}"
        if "\0" in part:
            return "the object's name contains a NUL"
    return ""


def split_at_strange(path: str) -> tuple[list[str], str]:
    """The good parts that a strange path begins with, and a word for the first bad one."""
    good: list[str] = []
    for part in path.split("/"):
        if unsafe(part, at_root=not good):
            return good, part or _SLASHES
        good.append(part)
    return good[:-1], good[-1]
