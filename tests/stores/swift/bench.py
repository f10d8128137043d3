"""One container of the real Swift, machines that work on it, and a user with another tool."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random

from syncer.stores.swift.slo.layout import LayoutLimits
from syncer.stores.swift.slo.upload import OURS
from tests.contract.swift_rig import Hands, tempauth_door
from tests.stores.swift.large import SMALL, Machine
from tests.swift.server import Swift

MIB = 1 << 20


class Bench:
    """`hands` work in the container, `segments` in that of its segments."""

    def __init__(self, swift: Swift, base: Path) -> None:
        self.swift, self.base, self.container = swift, base, swift.fresh_name()
        url, token = swift.log_in()
        self.hands = Hands(url, token, self.container)
        self.segments = Hands(url, token, f"{self.container}_segments")
        self.machines: list[Machine] = []

    def machine(self, name: str = "a", thresholds: LayoutLimits | None = SMALL) -> Machine:
        """Another one; one of the same name has the same cache."""
        made = Machine(tempauth_door(self.swift), self.container, self.base / name, thresholds=thresholds)
        self.machines.append(made)
        return made

    def read(self, name: str) -> bytes:
        return self.hands.ask("GET", name).content

    def uploads(self) -> list[int]:
        """Bytes of the segments that were put since the last `clear`."""
        put = self.swift.requests(method="PUT", kind="object", status=201)
        ours = f"{self.container}_segments/{OURS}"
        return [asked.received for asked in put if asked.path.startswith(ours)]

    def slo(self, name: str, pieces: list[bytes]) -> None:
        """A large object as swiftclient makes it."""
        self.segments.ask("PUT", fine=False)
        rows = []
        for index, piece in enumerate(pieces):
            inner = f"{name}/slo/1700000000.0/{len(pieces)}/{index:08}"
            self.segments.put(inner, piece)
            etag = hashlib.md5(piece).hexdigest()
            path = f"/{self.container}_segments/{inner}"
            rows.append({"path": path, "etag": etag, "size_bytes": len(piece)})
        self.hands.ask("PUT", name, query="multipart-manifest=put", data=json.dumps(rows))

    def close(self) -> None:
        for machine in self.machines:
            machine.close()


def edit(data: bytes, seed: int, edits: int = 5, size: int = 40) -> bytes:
    """So many places of so many bytes made others."""
    random, new = Random(seed), bytearray(data)
    for _ in range(edits):
        at = random.randrange(len(new) - size)
        new[at : at + size] = random.randbytes(size)
    return bytes(new)
