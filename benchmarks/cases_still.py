"""Cases in which little or nothing is to be done: what a run costs before it does anything."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from benchmarks.contest import (
    LONG_ROUNDS,
    OWN,
    SHORT_ROUNDS,
    Contest,
    Contestant,
    Row,
    Samples,
    peak,
    ratios,
    seconds,
    show_seconds,
)
from benchmarks.ground import Ground, Pair, empty
from benchmarks.peers import BISYNC_MOST, Peers, contestant, present
from benchmarks.running import BenchError, Sample
from benchmarks.syncers import Syncer, job, rest, settled, total
from benchmarks.trees import LARGEST, SMALLEST, picked, write

_CHANGES = 30
_LARGE = 100_000


def help_text(ground: Ground, files: int | None) -> Contest:
    """`syncer --help`, beside an interpreter that does nothing."""
    own = contestant(OWN, Syncer.of(ground, "help").command("--help"))
    python = contestant("python -c pass", Peers(ground=ground, user="help").python())
    return Contest(
        case="help", files=files, own=own, peers=(python,), rounds=3 * SHORT_ROUNDS, measures=(_wall_time,)
    )


def _wall_time(contest: Contest, samples: Samples) -> Iterable[Row]:
    own = seconds(samples[OWN])
    yield Row(
        case=contest.case, files=contest.files, beside="wall time",
        own=show_seconds(own), other="", value=own, unit="s",
    )  # fmt: skip
    yield from ratios(contest, samples)


def nothing_to_do(ground: Ground, files: int) -> Contest:
    """Both sides as the last runs left them; every peer has seen them, too."""
    syncer, pair = settled(ground, files)
    peers = Peers(ground=ground, user=f"still-{files}")
    one, other = pair.data
    beside = [
        contestant("rsync -a", peers.rsync(one, other)),
        contestant("unison", peers.unison(one, other)),
        contestant("find, both trees", peers.find(one, other)),
    ]
    if files <= BISYNC_MOST:
        beside.append(contestant("rclone bisync", peers.bisync(one, other)))
    chosen = present(beside)
    ground.once(f"peers know {files}", lambda: _acquaint(peers, pair, [one.name for one in chosen]))
    return Contest(
        case="nothing-to-do", files=files, own=contestant(OWN, syncer.sync(pair)), peers=chosen,
        measures=(ratios, peak),
    )  # fmt: skip


def _acquaint(peers: Peers, pair: Pair, names: list[str]) -> None:
    one, other = pair.data
    if "unison" in names:
        peers.ground.told("unison looks at the trees for the first time")
        peers.untimed(peers.unison(one, other))
    if "rclone bisync" in names:
        peers.ground.told("rclone looks at the trees for the first time")
        peers.untimed(peers.bisync_first(one, other))


def after_first(ground: Ground, files: int) -> Contest:
    """The run at once after a first sync, when the new stamps are too young to be believed."""
    known, pair = settled(ground, files)
    fresh = Syncer.of(ground, f"after-first-{files}")
    new = Pair(local=pair.local, remote=pair.local.parent / "after-first")

    def first(_: int) -> None:
        fresh.forget()
        empty(new.remote)
        fresh.untimed(fresh.sync(new))

    own = contestant(OWN, fresh.sync(new), first)
    rsync = contestant("rsync -a", Peers(ground=ground, user="after-first").rsync(*pair.data))
    return Contest(
        case="after-first", files=files, own=own, rounds=LONG_ROUNDS, measures=(ratios, peak),
        peers=(contestant("nothing to do", known.sync(pair)), *present([rsync])),
    )  # fmt: skip


def thirty_changes(ground: Ground, files: int) -> Contest:
    """15 files edited on each side, beside a run of the same Syncer with nothing to do."""
    syncer, pair = settled(ground, files)
    command = syncer.sync(pair, "--json")

    def change(number: int) -> None:
        random = Random(f"{files}/{number}")
        for turn, path in enumerate(picked(pair.local, _CHANGES, random)):
            target = pair.local if turn % 2 else pair.remote
            data = random.randbytes(random.randint(SMALLEST, LARGEST))
            write(target / path.relative_to(pair.local), data, None)

    def settle_again(sample: Sample) -> None:
        done = total(job(sample), "uploaded", "downloaded")
        if done != min(_CHANGES, files):
            raise BenchError(f"{done} files were sent instead of {_CHANGES}")
        rest()
        syncer.untimed(command)

    own = Contestant(name=OWN, command=lambda _: command, prepare=change, check=settle_again)
    return Contest(
        case="30-changes", files=files, own=own, peers=(contestant("nothing to do", command),),
        rounds=LONG_ROUNDS if files >= _LARGE else SHORT_ROUNDS, measures=(ratios, peak),
    )  # fmt: skip
