"""What Syncer keeps at a root and is too old: the trash of former runs, staged content of dead ones.

Depth first, file by file; a directory is removed only after it was found empty. Only below `.syncer`, and
only what carries the name of a run of ours. A run began at the later of the moment in its folder's name and
the date that the service shows of the folder; ages are told by the service's own clock.
"""

from __future__ import annotations

from syncer.engine.model import BlockedEntry
from syncer.errors import NotFound
from syncer.stores.smartfile.api import Api
from syncer.stores.smartfile.info import Info
from syncer.stores.smartfile.listing import Lister
from syncer.stores.smartfile.staging import WORK
from syncer.stores.smartfile.trash import TRASH, join_root
from syncer.stores.trash_runs import age_ns

DAY_NS = 86_400 * 10**9
WORK_DAYS = 2  # a put that takes longer is none any more
DEEPEST = 2100


def prune(api: Api, root: str, *, trash_days: int) -> None:
    """Raises StoreError; what is left then is for the next run."""
    lister = Lister(api)
    for folder, days in ((TRASH, trash_days), (WORK, WORK_DAYS)):
        place = join_root(root, folder)
        try:
            children = lister.children(place)
        except NotFound:
            continue
        for name, child in children.items():
            if isinstance(child, Info) and child.directory and _expired(name, child, days):
                _clear(api, lister, f"{place}/{name}")


def _expired(name: str, child: Info, days: int) -> bool:
    if child.asked_ns is None:
        return False
    age = age_ns(name, child.asked_ns)
    if child.span is not None:  # a folder's date may be later than the run, never earlier
        age = min(age, child.asked_ns - child.span.latest_ns)
    return age > days * DAY_NS


def _clear(api: Api, lister: Lister, path: str, depth: int = 0) -> None:
    for name, child in lister.children(path).items():
        if isinstance(child, BlockedEntry) or depth > DEEPEST:
            return
        if child.directory:
            _clear(api, lister, f"{path}/{name}", depth + 1)
        else:
            api.remove(f"{path}/{name}")
    if not lister.children(path):
        api.remove(path)
