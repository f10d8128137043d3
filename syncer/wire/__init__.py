"""Wire formats of Syncer's own protocol, shared by `syncer serve` and `stores.peer`.

`docs/extension.md` describes the protocol. `versions` negotiates its version, `schema` has the engine's
values as JSON, `frames` and `contents` the streams of file contents, `compression` zstd, `validation` and
`bounded_json` the checks of what another machine sends. No I/O, no HTTP.
"""

from syncer.wire.versions import FIRST, base

VERSION = FIRST
BASE = base(VERSION)  # below the server's URL
FRAMES = "application/x-syncer-frames"
LINES = "application/x-ndjson"
