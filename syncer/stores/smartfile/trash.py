"""The trash of a SmartFile root: renames on this API, the service's clock, expiry.

The API has no trash and no conditional rename; see `stores.remote.trash` for the protocol.
"""

from __future__ import annotations

from syncer.engine.model import BlockedEntry, RelPath
from syncer.errors import NotFound
from syncer.stores.http.bodies import Body
from syncer.stores.remote.trash import DAY_NS, TRASH, RemoteTrash, age_ns
from syncer.stores.smartfile import attributes
from syncer.stores.smartfile.api import SmartFileApi
from syncer.stores.smartfile.context import SmartFileRoot, make_all, move
from syncer.stores.smartfile.info import MARGIN_NS, Info
from syncer.stores.smartfile.listing import SmartFileLister
from syncer.stores.smartfile.staging import WORK, SmartFileStaging

WORK_DAYS = 2  # an upload that takes longer is not running any more
MAX_DEPTH = 2100


class SmartFileTrash(RemoteTrash[Info]):
    """The trash of one root, for one run."""

    attempts = 3

    def __init__(self, root: SmartFileRoot, staging: SmartFileStaging, tag: str) -> None:
        super().__init__(root, tag)
        self._smartfile = root
        self._staging = staging
        # What a rename does to a file is not documented: tried once, when it matters. None: not tried.
        self._keeps_time: bool | None = None
        self._keeps_attributes = True

    def _move(self, item: Info, origin: RelPath, target: RelPath) -> Info | None:
        root = self._smartfile
        move(root.api, root.at(origin), root.at(target))
        return root.stat(target)

    def _make_directories(self, path: RelPath) -> None:
        make_all(self._smartfile.api, self._smartfile.root, self._smartfile.at(path))

    def _service_now_ns(self) -> int:
        found = self._smartfile.stat("")
        if found is None or found.asked_ns is None:
            return self._smartfile.api.session.clock.now_ns()
        return found.asked_ns

    def is_same(self, before: Info, after: Info) -> bool:
        """Whether a rename took the file that was seen: by size, time and attributes, as far as renames keep
        them. A directory's time moves with its children, so only the kind counts.
        """
        if before.directory or after.directory:
            return before.directory is after.directory
        if before.size != after.size:
            return False
        if before.version == after.version:
            return True
        if self._keeps_time is None:
            self._try_rename()
        time = before.time == after.time or not self._keeps_time
        return time and (_noted(before) == _noted(after) or not self._keeps_attributes)

    def _try_rename(self) -> None:
        """Rename a file of our own, in a later second than it was written in."""
        api = self._smartfile.api
        directory, name = self._staging.place()
        path, other = f"{directory}/{name}", f"{directory}/{name}-renamed"
        api.upload(directory, name, Body(open=lambda: (b"?",), length=1))
        before = self._staging.annotate(path, {attributes.ATTRIBUTE: "?"})
        api.session.clock.sleep(MARGIN_NS / 1e9)
        move(api, path, other)
        after = api.info(other)
        self._staging.discard(other)
        self._keeps_attributes = _noted(before) == _noted(after)
        self._keeps_time = before.time == after.time

    def prune(self, days: int) -> None:
        """Remove what expired: runs in the trash after `days`, staged content of dead runs after `WORK_DAYS`.

        Depth first, file by file: a directory is removed only after it was listed empty, since the API
        removes what is in it along. Only folders with the name of a run are touched. Raises StoreError; what
        is left then is for the next run.
        """
        api, lister = self._smartfile.api, SmartFileLister(self._smartfile.api)
        for folder, most in ((TRASH, days), (WORK, WORK_DAYS)):
            place = self._smartfile.at(folder)
            try:
                children = lister.children(place)
            except NotFound:
                continue
            for name, child in children.items():
                if isinstance(child, Info) and child.directory and _expired(name, child, most):
                    _clear(api, lister, f"{place}/{name}")


def _noted(info: Info) -> tuple[str | None, str | None]:
    return info.attributes.get(attributes.ATTRIBUTE), info.attributes.get(attributes.MODIFIED)


def _expired(name: str, child: Info, days: int) -> bool:
    """By the service's clock; a run began at the later of the time in its name and the folder's date."""
    if child.asked_ns is None:
        return False
    age = age_ns(name, child.asked_ns)
    if child.span is not None:  # a folder's date may be later than the run, never earlier
        age = min(age, child.asked_ns - child.span.latest_ns)
    return age > days * DAY_NS


def _clear(api: SmartFileApi, lister: SmartFileLister, path: str, depth: int = 0) -> None:
    for name, child in lister.children(path).items():
        if isinstance(child, BlockedEntry) or depth > MAX_DEPTH:
            return
        if child.directory:
            _clear(api, lister, f"{path}/{name}", depth + 1)
        else:
            api.remove(f"{path}/{name}")
    if not lister.children(path):
        api.remove(path)
