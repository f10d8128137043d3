"""The calls about the server and its folder as a whole: `hello`, `quota`, `sweep`."""

from __future__ import annotations

from dataclasses import replace

from syncer.server.extension.request import BODY, ITEMS, Answer, Call, one
from syncer.wire import schema


def hello(call: Call) -> Answer:
    """`hello`: who answers, what the disk can hold, how large calls may be."""
    with call.store() as store:
        able = replace(store.capabilities, local=False, digests=True)
    return one(
        {
            "server": call.served.tag,
            "capabilities": schema.capabilities_out(able),
            "limits": {"items": ITEMS, "body": BODY},
        }
    )


def quota(call: Call) -> Answer:
    """`quota`: the free space of the disk; how much is used no folder knows without counting."""
    with call.store() as store:
        return one({"used": None, "free": store.free_space()})


def sweep(call: Call) -> Answer:
    """`sweep`: nothing to do. The server sweeps by itself, since only it knows which calls are in flight."""
    call.json()
    return one({})
