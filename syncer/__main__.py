"""`python -m syncer` is `syncer`."""

from __future__ import annotations

import sys

from syncer.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
