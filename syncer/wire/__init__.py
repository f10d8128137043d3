"""The formats of Syncer's own extension, spoken by `syncer serve` and by the store that talks to it.

`docs/extension.md` is the description; `versions` the negotiation of its version, `schema` the engine's
values as JSON, `frames` the stream in which content travels. No I/O, no HTTP.
"""

from syncer.wire.versions import FIRST, base

VERSION = FIRST
BASE = base(VERSION)  # below the server's URL
FRAMES = "application/x-syncer-frames"
LINES = "application/x-ndjson"
