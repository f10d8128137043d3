"""librsync's own patch job, to compare ours with; declared from librsync.h."""

from __future__ import annotations

import ctypes

import librsync

from syncer.delta.librsync import Job, library

_COPY = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_longlong,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_void_p),
)


def patched(old: bytes, delta: bytes) -> bytes:
    """What librsync makes of a delta. Raises BadDelta where librsync refuses it."""
    library()
    handle = ctypes.CDLL(librsync._librsync._name)
    handle.rs_patch_begin.restype = ctypes.c_void_p
    handle.rs_patch_begin.argtypes = (_COPY, ctypes.c_void_p)
    content = ctypes.create_string_buffer(old, len(old) + 1)

    @_COPY
    def copy(_: int, offset: int, size: object, buffer: object) -> int:
        size[0] = min(size[0], max(0, len(old) - offset))
        buffer[0] = ctypes.addressof(content) + offset
        return 0 if size[0] else 103  # RS_INPUT_ENDED

    with Job(handle.rs_patch_begin(copy, None), keep=(copy, content)) as job:
        return job.feed(delta, last=True)
