"""The cases of the simulation, each with the words that replay it.

    python -m tests.simulation.replay death 17 after

`Lab` has a scratch directory and runs cases; `campaign` runs many and gathers what failed.
"""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from tests.simulation import story, workloads
from tests.simulation.disk import Disk
from tests.simulation.faults import Call, Die, Fail, Fault, Listen, Race, Short, Then
from tests.simulation.hands import Hands
from tests.simulation.inodes import Effect
from tests.simulation.machines import End, RealMachine, SimulatedMachine
from tests.simulation.oracle import SIDES, Content, Oracle, Result, visible
from tests.simulation.powercut import PLAIN, Choice, cut, image_at
from tests.simulation.races import EDITS, LATE, UNSEEN, Rival, across, user_path

Words = tuple[str | int, ...]
SHOWN = 5


class Lab:
    """Runs single cases in a scratch directory (in memory, if that is where it is)."""

    def __init__(self, scratch: Path) -> None:
        self._home = scratch / "machine"
        self._state = scratch / "state"
        self._state.mkdir(exist_ok=True)

    def campaign(self, name: str, many: Iterable[Words]) -> int:
        """Run the case with each of the words; AssertionError with the first few that fail."""
        case: Callable[..., None] = getattr(self, name)
        wrong: list[str] = []
        count = 0
        for words in many:
            count += 1
            try:
                case(*words)
            except AssertionError as error:
                wrong.append(f"{error}\n    replay: {command(name, words)}")
            except Exception as error:
                error.add_note(f"replay: {command(name, words)}")
                raise
        assert count, "no case was run"
        assert not wrong, f"{len(wrong)} of {count} cases failed\n" + "\n".join(wrong[:SHOWN])
        return count

    # -- the story on a real disk -----------------------------------------------

    @cached_property
    def calls(self) -> list[str]:
        """What an undisturbed run of the story calls, in order: `where.name`."""
        return self._told().machine.run().calls.log

    @cached_property
    def looks(self) -> int:
        """How many calls there are if looking counts too."""
        return len(self._told().machine.run(looks=True).calls.log)

    @cached_property
    def result(self) -> Result:
        """How the story ends."""
        oracle = self._told()
        oracle.right_after(oracle.machine.run())
        oracle.heals(runs=1)
        return Result.of(oracle.machine.tree())

    def death(self, at: int, when: str) -> None:
        """The process dies at call `at` of the run; two more runs."""
        self._struck("death", Die(at, when))

    def short(self, at: int) -> None:
        """A write takes half."""
        oracle, end = self._struck("short", Short(at))
        assert end.exit_code == 0, f"{oracle.case}: a short write is no failure: {end}"

    def failure(self, at: int, code: str, how: str = "once") -> None:
        """Call `at` fails with an errno, `once` or for `ever`."""
        self._struck("failure", Fail(at, getattr(errno, code), how == "ever"))

    def blindness(self, at: int, code: str, how: str = "once") -> None:
        """The same, counting the calls that only look as well."""
        self._struck("blindness", Fail(at, getattr(errno, code), how == "ever"), looks=True)

    def relapse(self, seed: int) -> None:
        """The process dies in the run, in the recovery, and in the recovery of that."""
        draw = random.Random(seed)
        result = self.result
        oracle = self._told(f"relapse {seed}")
        for most in (len(self.calls), len(self.calls) // 2, 60):
            fault = Die(draw.randint(1, most), draw.choice(("before", "after", "half")))
            oracle.case += f" {fault}"
            oracle.right_after(oracle.machine.run(fault))
            oracle.machine.clock.sleep(10)
        oracle.heals(result=result)

    def first_death(self, at: int, when: str) -> None:
        """The process dies in the very first run of a pair."""
        machine = self._machine()
        hands = Hands(machine)
        hands.mkdir("local/d")
        hands.write("local/d/x", "here first\n")
        hands.write("remote/y", "there first\n")
        oracle = Oracle(machine, hands, f"first_death {at} {when}")
        oracle.begin()
        oracle.right_after(machine.run(Die(at, when)))
        oracle.heals()

    def race(self, at: int, edit: str, path: str, death: int = 0) -> None:
        """Somebody edits `path` right before call `at`; with `death` the process dies so many calls later."""
        oracle = self._told(f"race {at} {edit} {path} {death}")
        rival = Race(at, Rival(oracle, EDITS[edit], path))
        end = oracle.machine.run(Then(rival, Die(at + death)) if death else rival)
        assert end.calls.struck, f"{oracle.case}: there is no such call"
        oracle.right_after(end, alone=False)
        if edit in UNSEEN:
            oracle.machine.run()
            return oracle.nothing_is_lost()
        oracle.heals(runs=3)
        if not death:  # a dead run's temporaries go to the trash, and the late version may be one of them
            self._late_is_visible(oracle, path)

    def _late_is_visible(self, oracle: Oracle, path: str) -> None:
        if LATE.encode() not in oracle.hands.written or path.endswith(story.IGNORED):
            return
        tree = oracle.machine.tree()
        for side in SIDES:
            shown = {node.data for node in visible(tree, side).values()}
            assert LATE.encode() in shown, f"{oracle.case}: the late version is not to be seen on {side}"

    @cached_property
    def named(self) -> list[str]:
        """The user's path that each call of the story is about, else the last one before it."""
        oracle = self._told()
        machine, found = oracle.machine, [f"local/{story.BASE_FILES[0]}"]

        def hear(call: Call) -> None:
            assert isinstance(machine, RealMachine)
            found.append(user_path(machine, call) or found[-1])

        machine.run(Listen(hear))
        return found[1:]

    def rivals(self, step: int, first: int = 0) -> Iterable[Words]:
        """An edit of every kind before every call: at the path it is about, across from it, and anywhere."""
        pool = sorted({f"{side}/{p}" for side in SIDES for p in (*self.result.local, *story.BASE_FILES)})
        for index, name in enumerate(self.named):
            for turn, edit in enumerate(EDITS):
                for kind, path in enumerate((name, across(name), pool[(index * 7 + turn) % len(pool)])):
                    if (index + turn * 5 + kind * 3 + first) % step == 0:
                        yield index + 1, edit, path

    def _struck(self, name: str, fault: Fault, *, looks: bool = False) -> tuple[Oracle, End]:
        result = self.result  # known before: finding it out takes the machine's place
        oracle = self._told(f"{name} {fault}")
        end = oracle.machine.run(fault, looks=looks)
        oracle.case += f" [{end}]"
        oracle.right_after(end)
        oracle.heals(result=result)
        return oracle, end

    def _told(self, case: str = "story") -> Oracle:
        machine = self._machine()
        hands = story.begin(machine)
        story.change(hands)
        oracle = Oracle(machine, hands, case, alone=story.IGNORED)
        oracle.begin()
        return oracle

    def _machine(self) -> RealMachine:
        shutil.rmtree(self._home, ignore_errors=True)
        return RealMachine(self._home)

    # -- power cuts on a simulated disk -------------------------------------------

    @cached_property
    def recorded(self) -> Recording:
        """The story's run, with its log."""
        machine = SimulatedMachine.fresh(self._state)
        hands = story.begin(machine)
        story.change(hands)
        return Recording.make(machine, hands, alone=story.IGNORED)

    @cached_property
    def failed_syncs(self) -> list[int]:
        """The numbers of the story's syncs."""
        return [k for k, call in enumerate(self.calls, 1) if call.endswith(".sync")]

    def power_cut(self, at: int, how: str) -> None:
        """The power goes when the first `at` effects of the story had happened."""
        self._cut(self.recorded, at, how, f"power_cut {at} {how}")

    def bad_sync(self, sync: int, at: int, how: str) -> None:
        """Call `sync` fails with EIO, and the power goes `at` effects before the end of the run."""
        start = self.recorded
        machine = SimulatedMachine(start.disk.copy(), self._state, start.image)
        recording = Recording.make(
            machine, start.hands.on(machine), alone=story.IGNORED, fault=Fail(sync, errno.EIO)
        )
        recording.result = start.result
        self._cut(recording, max(len(recording.log) - at, 0), how, f"bad_sync {sync} {at} {how}")

    def second_cut(self, at: int, seed: int) -> None:
        """A power cut, and another one in the recovery from it."""
        first = self.recorded
        machine = self._after(first, at, str(seed))
        again = Recording.make(machine, first.hands.on(machine), alone=story.IGNORED)
        again.result, again.precious = first.result, first.precious
        place = random.Random(seed).randint(0, len(again.log))
        self._cut(again, place, str(seed + 1), f"second_cut {at} {seed}")

    @cached_property
    def _small_base(self) -> tuple[Disk, bytes, Hands]:
        machine = SimulatedMachine.fresh(self._state)
        hands = workloads.begin(machine)
        return machine.disk.copy(), machine.image(), hands

    def workload(self, steps: Sequence[workloads.Step]) -> Recording | None:
        """The run after these changes; None if they make no sense."""
        disk, image, hands = self._small_base
        machine = SimulatedMachine(disk.copy(), self._state, image)
        mine = hands.on(machine)
        taken = [step.take(mine, f"{step} as number {number}\n") for number, step in enumerate(steps)]
        return Recording.make(machine, mine) if all(taken) else None

    def small_cut(self, steps: str, at: int, how: str) -> None:
        """A power cut in a small workload, `steps` joined by commas."""
        recording = self.workload([workloads.Step.parse(text) for text in steps.split(",")])
        assert recording is not None, f"{steps}: makes no sense"
        self._cut(recording, at, how, f"small_cut {steps} {at} {how}")

    def small_cuts(self, steps: Sequence[workloads.Step], *, each: int, seed: int) -> int:
        """Cut a workload's run after every `each`-th effect, in one of the plain ways and at random."""
        recording = self.workload(steps)
        if recording is None:
            return 0
        text, count = ",".join(map(str, steps)), 0
        for at in range(seed % each, len(recording.log) + 1, each):
            for how in (PLAIN[(at // each + seed) % len(PLAIN)], str(seed * 1000 + at)):
                count += 1
                case = f"replay: {command('small_cut', (text, at, how))}"
                self._cut(recording, at, how, case)
        return count

    def _cut(self, recording: Recording, at: int, how: str, case: str) -> None:
        machine = self._after(recording, at, how)
        oracle = Oracle(
            machine, recording.hands.on(machine), case, alone=recording.alone, precious=recording.precious
        )
        oracle.names_are_whole()
        oracle.nothing_is_lost(passing=True)
        oracle.heals(result=recording.result)

    def _after(self, recording: Recording, at: int, how: str) -> SimulatedMachine:
        choice = Choice.plain(how) if how in PLAIN else Choice.random(int(how))
        disk = cut(recording.disk, recording.log, at, choice)
        return SimulatedMachine(disk, self._state, image_at(recording.log, at, recording.image))


class Recording:
    """What a run did to a simulated disk: the disk and the database before, the log, and how it ends."""

    def __init__(self, disk: Disk, image: bytes, hands: Hands, alone: tuple[str, ...]) -> None:
        self.disk = disk
        self.image = image
        self.hands = hands
        self.alone = alone
        self.log: list[Effect] = []
        self.precious: set[Content] = set()
        self.result: Result | None = None

    @classmethod
    def make(
        cls,
        machine: SimulatedMachine,
        hands: Hands,
        *,
        alone: tuple[str, ...] = (),
        fault: Fault | None = None,
    ) -> Recording:
        found = cls(machine.disk.copy(), machine.image(), hands, alone)
        oracle = Oracle(machine, hands, "recording", alone=alone)
        oracle.begin()
        machine.disk.log.clear()
        oracle.right_after(machine.run(fault))
        found.log = list(machine.disk.log)
        found.precious = oracle.precious
        oracle.heals()
        found.result = Result.of(machine.tree())
        return found


def command(name: str, words: Words) -> str:
    """What replays a case."""
    return " ".join(["python -m tests.simulation.replay", name, *(f"'{w}'" for w in words)])
