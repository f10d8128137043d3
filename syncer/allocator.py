"""What is kept of memory that nobody uses: by the C library and by Python's collector of cycles.

glibc gives each thread that meets another one in `malloc` an arena of its own, up to eight for each
processor, and keeps what was freed in them: a server with fifty threads, or a daemon with a few jobs, then
holds several times what it uses after a while. Other C libraries have none of this, and nothing is done there
(mallopt(3), malloc_trim(3)).
"""

from __future__ import annotations

import ctypes
import gc
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


def settle() -> None:
    """To be called once a server has started: garbage in cycles is collected early from now on.

    Python looks for cycles among old objects after 70,000 new ones, since that means a look at everything.
    An error that ended a request is in a cycle, with the pieces of files that its frames had: 20 MB waited.
    What a start leaves is there for good; without it a look costs little, and comes after 14,000.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # counts anew how much there is
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 2)


def trim() -> None:
    """Gives back what is free; some milliseconds at most."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)
