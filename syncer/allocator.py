"""What the C library keeps of freed memory: few arenas, and what is free goes back now and then.

glibc gives each thread that meets another one in `malloc` an arena of its own, up to eight for each
processor, and keeps what was freed in them: a server with fifty threads, or a daemon with a few jobs, then
holds several times what it uses after a while. Other C libraries have none of this, and nothing is done there
(mallopt(3), malloc_trim(3)).
"""

from __future__ import annotations

import ctypes
from functools import cache

_M_ARENA_MAX = -8
_ARENAS = 2


@cache
def _library() -> ctypes.CDLL | None:
    try:
        found = ctypes.CDLL(None)
        return found if hasattr(found, "malloc_trim") and hasattr(found, "mallopt") else None
    except (OSError, TypeError):
        return None


def spare() -> None:
    """To be called before there are many threads."""
    library = _library()
    if library is not None:
        library.mallopt(_M_ARENA_MAX, _ARENAS)


def trim() -> None:
    """Gives back what is free; some milliseconds at most."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)
