"""The statements of `base`, as expressions over the tables; `statements` holds what comes of them.

Parameters come in the order that is told to `compiled`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, delete, func, insert, literal_column, select, update

from syncer.state.schema import compiled, directories, entries, settings

_d, _e = directories.c, entries.c
_ID = select(_d.id).where(_d.key == bindparam("p_key")).scalar_subquery()
_COLUMNS = [column for column in entries.c if column.name != "directory_id"]

PAGE_FROM: Final = compiled(
    select(_d.path, _d.key, _d.local_fingerprint, _d.remote_fingerprint)
    .where(_d.key > bindparam("p_key"))
    .order_by(_d.key)
    .limit(bindparam("p_limit"))
    .offset(literal_column("0")),
    "p_key",
    "p_limit",
)
ROOT: Final = compiled(
    select(_d.path, _d.key, _d.local_fingerprint, _d.remote_fingerprint).where(_d.key == bindparam("p_key")),
    "p_key",
)
ROWS: Final = compiled(select(*_COLUMNS).where(_e.directory_id == _ID), "p_key")
VERSIONS: Final = compiled(
    select(_e.name, _e.kind, _e.local_version, _e.remote_version).where(_e.directory_id == _ID), "p_key"
)
EXISTS: Final = compiled(select(_d.id).where(_d.key == bindparam("p_key")), "p_key")
COUNT: Final = compiled(select(func.count()).select_from(entries))
ENSURE: Final = compiled(
    insert(directories).prefix_with("OR IGNORE").values(path=bindparam("p_path"), key=bindparam("p_key")),
    "p_path",
    "p_key",
)
_FIELDS = [f"p_{column.name}" for column in _COLUMNS]
REMEMBER: Final = compiled(
    insert(entries)
    .prefix_with("OR REPLACE")
    .values(directory_id=_ID, **{column.name: bindparam(f"p_{column.name}") for column in _COLUMNS}),
    "p_key",
    *_FIELDS,
)
CLEAR: Final = compiled(
    delete(directories).where(_d.key >= bindparam("p_from"), _d.key < bindparam("p_to")), "p_from", "p_to"
)
CLEAR_ALL: Final = compiled(delete(directories))
DROP: Final = compiled(
    delete(entries).where(_e.directory_id == _ID, _e.name == bindparam("p_name")), "p_key", "p_name"
)
HAS: Final = compiled(
    select(_e.kind).where(_e.directory_id == _ID, _e.name == bindparam("p_name")), "p_key", "p_name"
)
VOID: Final = compiled(
    update(directories)
    .where(_d.key == bindparam("p_key"))
    .values(local_fingerprint=None, remote_fingerprint=None),
    "local_fingerprint",
    "remote_fingerprint",
    "p_key",
)
SEAL: Final = compiled(
    update(directories)
    .where(_d.key == bindparam("p_key"))
    .values(local_fingerprint=bindparam("p_local"), remote_fingerprint=bindparam("p_remote")),
    "p_local",
    "p_remote",
    "p_key",
)
SUBTREE: Final = compiled(
    select(_d.id, _d.path).where(_d.key >= bindparam("p_from"), _d.key < bindparam("p_to")), "p_from", "p_to"
)
RENAME: Final = compiled(
    update(directories)
    .where(_d.id == bindparam("p_id"))
    .values(path=bindparam("p_path"), key=bindparam("p_key")),
    "p_path",
    "p_key",
    "p_id",
)
REHANG: Final = compiled(
    update(entries)
    .where(
        _e.directory_id == select(_d.id).where(_d.key == bindparam("p_old_key")).scalar_subquery(),
        _e.name == bindparam("p_old_name"),
    )
    .values(directory_id=_ID, name=bindparam("p_name")),
    "p_key",
    "p_name",
    "p_old_key",
    "p_old_name",
)
SETTING: Final = compiled(select(settings.c.value).where(settings.c.key == bindparam("p_key")), "p_key")
SET: Final = compiled(
    insert(settings).prefix_with("OR REPLACE").values(key=bindparam("p_key"), value=bindparam("p_value")),
    "p_key",
    "p_value",
)
