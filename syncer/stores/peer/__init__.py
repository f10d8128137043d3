"""Another Syncer's folder as a store: the client of the extension that `syncer serve` speaks.

`docs/extension.md` describes it, `syncer.wire` holds its formats, `store.PeerStore` is the store. Each
write is conditional on the server, so nothing here looks before it writes.
"""

from syncer.wire.versions import agreed

__all__ = ["agreed"]
