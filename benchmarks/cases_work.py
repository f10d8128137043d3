"""Cases in which content is copied, compared or moved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.contest import (
    LONG_ROUNDS,
    OWN,
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
from benchmarks.running import Command
from benchmarks.syncers import Syncer, job, settled, total
from benchmarks.trees import DATA, Spec, big_file, clone, grow

_RENAMED, _LARGE_FILE = 5_000, 200 << 20  # files in the directory; bytes of the one beside it
_PIECES, _PIECE = 16, 1 << 20
_LIMIT = 4 << 20  # bytes per second


def first_sync(ground: Ground, files: int) -> Contest:
    """Into an empty folder. Syncer makes what it wrote durable; so does `rsync -a + sync`."""
    source = ground.pair(files)
    syncer = Syncer.of(ground, f"first-{files}")
    peers = Peers(ground=ground, user=f"first-{files}")
    pair = Pair(local=source.local, remote=source.local.parent / "first-syncer")

    def peer(name: str, build: Callable[[Path, Path], Command], *, forgets: bool = False) -> Contestant:
        target = source.local.parent / f"first-{name.replace(' ', '-')}"

        def prepare(_: int) -> None:
            if forgets:
                peers.forget()
            _fresh(target)

        return contestant(name, build(source.data[0], target), prepare)

    beside = [
        peer("rsync -a", peers.rsync),
        peer("rsync -a + sync", peers.rsync_and_sync),
        peer("unison", peers.unison, forgets=True),
    ]
    if files <= BISYNC_MOST:
        beside.append(peer("rclone bisync", peers.bisync_first, forgets=True))

    def prepare(_: int) -> None:
        syncer.forget()
        empty(pair.remote)
        os.sync()

    return Contest(
        case="first-sync", files=files, own=contestant(OWN, syncer.sync(pair), prepare),
        peers=present(beside), rounds=LONG_ROUNDS, measures=(ratios, peak),
    )  # fmt: skip


def _fresh(folder: Path) -> None:
    empty(folder)
    folder.mkdir()
    os.sync()  # nobody pays for what was written before


def adopt(ground: Ground, files: int) -> Contest:
    """Two equal trees, and no database: everything is read once."""
    _, pair = settled(ground, files)
    syncer = Syncer.of(ground, f"adopt-{files}")
    peers = Peers(ground=ground, user=f"adopt-{files}")
    unison = contestant("unison", peers.unison(*pair.data), lambda _: peers.forget())
    return Contest(
        case="adopt", files=files, rounds=LONG_ROUNDS, measures=(ratios, peak), peers=present([unison]),
        own=contestant(OWN, syncer.sync(pair), lambda _: syncer.forget()),
    )  # fmt: skip


def rename(ground: Ground, files: int | None) -> Contest:
    """A directory of 5k files and a file of 200 MiB get new names; rsync sends them again."""
    syncer = Syncer.of(ground, "rename")
    own, other = (
        Pair(
            local=ground.folder / f"rename-{user}" / "local",
            remote=ground.folder / f"rename-{user}" / "remote",
        )
        for user in ("syncer", "rsync")
    )
    ground.once("rename", lambda: _build_rename(ground, syncer, own, other))
    command = syncer.sync(own, "--json")
    rsync = contestant(
        "rsync -a --delete",
        Peers(ground=ground, user="rename").rsync_delete(*other.data),
        lambda _: _rename_all(other.local),
    )
    return Contest(
        case="rename", files=files, peers=present([rsync]), measures=(_content_sent, ratios),
        own=contestant(OWN, command, lambda _: _rename_all(own.local)),
    )  # fmt: skip


def _build_rename(ground: Ground, syncer: Syncer, own: Pair, other: Pair) -> None:
    ground.told("building the trees to be renamed")
    grow(own.local, Spec(files=_RENAMED, per_directory=_RENAMED))
    big_file(own.local / DATA / "large.bin", _LARGE_FILE)
    for copy in (own.remote, other.local, other.remote):
        clone(own.local, copy)
    syncer.settle(own)


def _rename_all(root: Path) -> None:
    for path in sorted((root / DATA).iterdir()):
        stem, _, turn = path.stem.partition("~")
        path.rename(path.with_name(f"{stem}~{int(turn or 0) + 1}{path.suffix}"))


def _content_sent(contest: Contest, samples: Samples) -> Iterable[Row]:
    sent = max(total(job(sample), "bytes_sent", "bytes_received") for sample in samples[OWN])
    yield Row(
        case=contest.case, files=contest.files, beside="content sent",
        own=f"{sent:,} B", other="", value=sent, unit="B",
    )  # fmt: skip


def upload_limit(ground: Ground, files: int | None) -> Contest:
    """16 MiB under `upload_limit = "4M"`, beside the same without a limit."""
    local = ground.folder / "limit" / "local"
    ground.once("limit", lambda: _build_limit(local))
    contestants = [
        _limited(ground, Pair(local=local, remote=ground.folder / "limit" / user), user, line)
        for user, line in ((OWN, f"upload_limit = {_LIMIT}\n"), ("no limit", ""))
    ]
    return Contest(
        case="upload-limit", files=files, own=contestants[0], peers=contestants[1:], rounds=LONG_ROUNDS,
        measures=(_rate_over_limit, ratios),
    )  # fmt: skip


def _build_limit(local: Path) -> None:
    (local / DATA).mkdir(parents=True)
    for number in range(_PIECES):
        big_file(local / DATA / f"piece-{number:02d}.bin", _PIECE, seed=number)


def _limited(ground: Ground, pair: Pair, user: str, line: str) -> Contestant:
    syncer = Syncer.of(ground, f"limit-{user.replace(' ', '-')}")
    config = syncer.home / "limit.toml"
    remote = json.dumps(f"local:{pair.remote}")  # a basic string of TOML is quoted like one of JSON
    config.write_text(
        f"[jobs.limited]\nlocal = {json.dumps(str(pair.local))}\nremote = {remote}\nsettle = 0\n{line}"
    )

    def prepare(_: int) -> None:
        syncer.forget()
        empty(pair.remote)

    return contestant(user, syncer.command("--config", str(config), "sync", "limited", "--quiet"), prepare)


def _rate_over_limit(contest: Contest, samples: Samples) -> Iterable[Row]:
    # A second's worth may go at once, before the pace holds.
    own = min(sample.seconds for sample in samples[OWN])
    rate = (_PIECES * _PIECE - _LIMIT) / own
    yield Row(
        case=contest.case, files=contest.files, beside="rate over limit",
        own=show_seconds(seconds(samples[OWN])), other=f"{_LIMIT >> 20} MiB/s", value=rate / _LIMIT,
    )  # fmt: skip
