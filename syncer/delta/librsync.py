"""Binding of the system's librsync: what signatures and deltas need of it.

python-librsync finds and loads the library; the prototypes are declared here, on a handle
of our own, because its published release (0.1.post5) calls `rs_sig_begin` with two
of three arguments. librsync's header (librsync.h, 2.x) is the source of every prototype.
ctypes lets go of the interpreter's lock during each call, so jobs of several threads run
at once. What signatures and deltas mean is not known here, nor are they checked: what comes
from outside is checked before it gets here.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from functools import cache
from types import TracebackType

from syncer.errors import BadDelta, LocalError

BUFFER = 1 << 20  # bytes of output taken from librsync at once

_DONE, _BLOCKED = 0, 1  # rs_result


class _Buffers(ctypes.Structure):
    """`rs_buffers_t`, with pointers that ctypes does not take for strings."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_size_t),
        ("eof_in", ctypes.c_int),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_size_t),
    )


# Result and arguments, from librsync.h.
_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_PROTOTYPES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "rs_strerror": (ctypes.c_char_p, (_INT,)),
    "rs_trace_to": (None, (_POINTER,)),
    "rs_sig_args": (
        _INT,
        (ctypes.c_longlong, ctypes.POINTER(_INT), ctypes.POINTER(_SIZE), ctypes.POINTER(_SIZE)),
    ),
    "rs_sig_begin": (_POINTER, (_SIZE, _SIZE, _INT)),
    "rs_loadsig_begin": (_POINTER, (ctypes.POINTER(_POINTER),)),
    "rs_build_hash_table": (_INT, (_POINTER,)),
    "rs_delta_begin": (_POINTER, (_POINTER,)),
    "rs_job_iter": (_INT, (_POINTER, ctypes.POINTER(_Buffers))),
    "rs_job_free": (_INT, (_POINTER,)),
    "rs_free_sumset": (None, (_POINTER,)),
}


@cache
def library() -> ctypes.CDLL:
    """librsync with right prototypes, silent. Raises LocalError where it is not installed."""
    try:
        import librsync
    except ImportError as error:
        raise LocalError(
            f"librsync could not be loaded: {error}",
            hint="install librsync (apt install librsync2, dnf install librsync, brew install librsync)",
        ) from error
    # A handle of our own: prototypes set on it leave those of python-librsync as they are.
    handle = ctypes.CDLL(librsync._librsync._name)
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(handle, name)
        function.restype, function.argtypes = result, arguments
    handle.rs_trace_to(None)  # it would write its warnings to stderr
    return handle


class _Scratch(threading.local):
    """One output buffer for each thread: what a call wrote is copied out before the next call."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(BUFFER)


_scratch = _Scratch()


class Job:
    """One `rs_job_t`: bytes in, bytes out. Used by one thread at a time; freed when it is let go."""

    def __init__(self, pointer: int | None, *, keep: object = None) -> None:
        if not pointer:
            raise MemoryError("librsync could not begin a job")
        self._pointer = pointer
        self._keep = keep  # what the job points to must live as long as the job
        self._buffers = _Buffers()
        self._free = weakref.finalize(self, library().rs_job_free, pointer)

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free()
        self._keep = None

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        """Everything that librsync can say after `data`; with `last`, to its end. Raises BadDelta."""
        buffers, iterate = self._buffers, library().rs_job_iter
        scratch = ctypes.addressof(_scratch.buffer)
        # `data` lives until this call returns, and librsync keeps no pointer to it.
        buffers.next_in = ctypes.cast(ctypes.c_char_p(data), _POINTER).value
        buffers.avail_in, buffers.eof_in = len(data), last
        made: list[bytes] = []
        while True:
            waiting = buffers.avail_in
            buffers.next_out, buffers.avail_out = scratch, BUFFER
            result = iterate(self._pointer, ctypes.byref(buffers))
            count = BUFFER - buffers.avail_out
            made.append(ctypes.string_at(scratch, count))
            if result == _DONE or (
                result == _BLOCKED and not last and not buffers.avail_in and count < BUFFER
            ):
                return b"".join(made)
            _check(result if result != _BLOCKED or count or buffers.avail_in < waiting else -1)


class Sums:
    """A loaded signature with its hash table, read by any number of delta jobs at once.

    A delta job only reads it (librsync 2.3.2, sumset.c and hashtable.h): the table is complete
    when `rs_build_hash_table` returns, and what a search writes are counters of statistics
    that nothing depends on. Freed when the last job that holds it is.
    """

    def __init__(self, data: bytes) -> None:
        """`data` is a whole signature, found sound before. Raises BadDelta, MemoryError."""
        pointer = ctypes.c_void_p()
        with Job(library().rs_loadsig_begin(ctypes.byref(pointer))) as job:
            self.pointer = pointer.value
            weakref.finalize(self, library().rs_free_sumset, pointer.value)
            job.feed(data, last=True)
        _check(library().rs_build_hash_table(self.pointer))

    def search(self) -> Job:
        """A delta job against these sums."""
        return Job(library().rs_delta_begin(self.pointer), keep=self)


def summing(magic: int, block_len: int, strong_len: int) -> Job:
    """A signature job. Raises BadDelta for values that this librsync does not take."""
    args = _INT(magic), _SIZE(block_len), _SIZE(strong_len)
    _check(library().rs_sig_args(-1, *map(ctypes.byref, args)))
    return Job(library().rs_sig_begin(block_len, strong_len, magic))


def _check(result: int) -> None:
    if result in (_DONE, _BLOCKED):
        return
    why = library().rs_strerror(result).decode() if result > 0 else "it makes no progress"
    raise BadDelta(f"librsync refused: {why}")
