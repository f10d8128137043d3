"""Another Syncer's folder as a store: the client of the extension that `syncer serve` speaks.

`docs/extension.md` describes it, `syncer.wire` holds its formats, `store.PeerStore` is the store. Each
write is conditional on the server, so nothing here looks before it writes.
"""

from __future__ import annotations

from syncer.wire import BASE, VERSION


def is_announced(told: object) -> bool:
    """Whether this, the `syncer` in the answer of ping, says that the server speaks our version."""
    return isinstance(told, dict) and told.get("extension") == VERSION and told.get("base") == BASE
