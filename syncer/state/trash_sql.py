"""The statements of `trash_index`, as expressions over the tables; `statements` holds what comes of them.

Parameters come in the order that is told to `compiled`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BindParameter, bindparam, delete, func, insert, select, update

from syncer.state.schema import compiled, trash_batches, trash_versions

_b, _v = trash_batches.c, trash_versions.c
_BATCH = ("side", "batch", "size", "seen_ns", "seen_run")
_VERSION = ("side", "batch", "path", "size", "replaced", "taken_ns")
_SIDE: BindParameter[str] = bindparam("p_side")

ADD_BATCH: Final = compiled(
    insert(trash_batches).prefix_with("OR IGNORE").values({name: bindparam(f"p_{name}") for name in _BATCH}),
    *(f"p_{name}" for name in _BATCH),
)
GROW_BATCH: Final = compiled(
    update(trash_batches)
    .where(_b.side == _SIDE, _b.batch == bindparam("p_batch"))
    .values(size=_b.size + bindparam("p_size")),
    "p_size",
    "p_side",
    "p_batch",
)
BATCHES: Final = compiled(
    select(_b.batch, _b.size, _b.seen_ns, _b.seen_run).where(_b.side == _SIDE).order_by(_b.seen_ns, _b.batch),
    "p_side",
)
TRASH_SIZE: Final = compiled(select(func.sum(_b.size)).where(_b.side == _SIDE), "p_side")
FORGET_BATCH: Final = compiled(
    delete(trash_batches).where(_b.side == _SIDE, _b.batch == bindparam("p_batch")), "p_side", "p_batch"
)
FORGET_BATCH_VERSIONS: Final = compiled(
    delete(trash_versions).where(_v.side == _SIDE, _v.batch == bindparam("p_batch")), "p_side", "p_batch"
)
ADD_VERSION: Final = compiled(
    insert(trash_versions).values({name: bindparam(f"p_{name}") for name in _VERSION}),
    *(f"p_{name}" for name in _VERSION),
)
REPLACED_VERSIONS: Final = compiled(
    select(_v.id, _v.batch, _v.path, _v.size, _v.taken_ns)
    .where(_v.side == _SIDE, _v.replaced == bindparam("p_replaced"), _v.taken_ns < bindparam("p_before"))
    .order_by(_v.path, _v.taken_ns, _v.id),
    "p_side",
    "p_replaced",
    "p_before",
)
RESIZE_VERSION: Final = compiled(
    update(trash_versions)
    .where(_v.side == _SIDE, _v.batch == bindparam("p_batch"), _v.path == bindparam("p_path"))
    .values(size=_v.size + bindparam("p_size")),
    "p_size",
    "p_side",
    "p_batch",
    "p_path",
)
FORGET_VERSION: Final = compiled(delete(trash_versions).where(_v.id == bindparam("p_id")), "p_id")
