"""Store for a folder of `syncer serve`: the client of Syncer's own protocol.

`docs/extension.md` describes the protocol, `syncer.wire` has its formats, `store.PeerStore` is the store.
The server checks the condition of each write, so nothing here looks before it writes.
"""

from syncer.wire.versions import agreed

__all__ = ["agreed"]
