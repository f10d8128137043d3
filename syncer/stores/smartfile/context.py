"""The root of a SmartFile store: items by path, moves whose reply may get lost, directories of our own."""

from __future__ import annotations

from syncer.engine.interfaces import Capabilities
from syncer.engine.model import Entry, Kind, RelPath
from syncer.engine.paths import split
from syncer.errors import NotFound, PreconditionFailed
from syncer.stores.remote.effects import move_once
from syncer.stores.remote.root import RemoteRoot
from syncer.stores.smartfile import attributes
from syncer.stores.smartfile.api import SmartFileApi
from syncer.stores.smartfile.info import DIRECTORY, Info

WINDOW = (
    "the service has no conditional writes: a file that another program makes in the instant between the "
    "last look and the rename may be replaced, if the service lets a rename replace; a replaced name is "
    "absent for an instant, and after a kill in it until the next run; old versions are in .syncer/trash"
)
CAPABILITIES = Capabilities(any_bytes=False, window=WINDOW)


class SmartFileRoot(RemoteRoot[Info]):
    """One root. `root` is its path at the service, without a slash at the end ("" for the account's)."""

    def __init__(self, api: SmartFileApi, root: str) -> None:
        self.api = api
        self.root = root
        self.capabilities = CAPABILITIES
        self.repaired = 0  # times that a patched content was wrong, and was transferred whole

    def at(self, path: RelPath) -> str:
        """The service's path."""
        return join_root(self.root, path)

    def stat(self, path: RelPath) -> Info | None:
        return look(self.api, self.at(path))

    def entry_of(self, item: Info) -> Entry:
        return DIRECTORY if item.directory else item.entry()

    def refuses(self, kind: Kind, target: str | None) -> str:
        """A symlink is a file that holds its target's text, and an attribute that repeats it."""
        if kind is Kind.SYMLINK and not target:
            return "a symlink without a target"
        if target and len(attributes.target_bytes(target)) > attributes.LONGEST_TARGET:
            return "the symlink's target is too long"
        return ""


def join_root(root: str, path: RelPath) -> str:
    """The service's path for one of the root's."""
    return f"{root}/{path}" if path else root or "/"


def look(api: SmartFileApi, path: str) -> Info | None:
    """What stands at a path of the service; None if nothing does."""
    try:
        return api.info(path)
    except NotFound:
        return None


def move(api: SmartFileApi, origin: str, path: str) -> None:
    """Rename, with paths of the service; see `effects.move_once`. Raises what `Api.rename` raises."""
    move_once(
        lambda: api.rename(origin, path),
        origin=lambda: look(api, origin),
        target=lambda: look(api, path),
    )


def make_all(api: SmartFileApi, root: str, directory: str) -> None:
    """Make a directory of ours, and those above it below a root that stands, whether or not `mkdir` does."""
    try:
        api.mkdir(directory)
    except (NotFound, PreconditionFailed):
        above = split(directory)[0]
        if len(above) <= len(root):
            raise
        make_all(api, root, above)
        api.mkdir(directory)
