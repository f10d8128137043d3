"""Object names: the container and prefix of a root, and the object for each path. Pure.

An object's name is the root's prefix followed by the path; both are UTF-8, and compare by bytes. Nothing is
escaped: the object has the name that every other tool would give it.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE
from syncer.stores.remote import object_names
from syncer.stores.remote.object_names import quoted

LAST = "\U0010ffff"  # sorts behind every other character


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPath:
    """One root: a container, and the prefix (empty, or ending in a slash) of all its objects' names."""

    container: str
    prefix: str = ""

    @classmethod
    def of(cls, path: str, *, default: str = "") -> ContainerPath:
        """The part of a location after the colon: `container/some/folder`; `default` where it names none."""
        container, _, rest = path.strip("/").partition("/")
        rest = rest.strip("/")
        return cls(container=container or default, prefix=f"{rest}/" if rest else "")

    def name(self, path: RelPath) -> str:
        """The object that stands for a path."""
        return self.prefix + path

    def path(self, name: str) -> RelPath:
        """The path that an object below the prefix stands for."""
        return name[len(self.prefix) :]

    @property
    def private(self) -> str:
        """What the names of all our own objects begin with: the marker, the trash."""
        return f"{self.prefix}{PRIVATE}/"

    @property
    def behind_private(self) -> str:
        """A listing that goes on behind this name leaves our own objects out."""
        return self.private + LAST

    def url(self, name: str = "") -> str:
        """Below the storage URL, percent-encoded: an object, or the container."""
        return quoted(f"{self.container}/{name}" if name else self.container)


def checked(path: RelPath, *, prefix: str = "", longest: int = 1024) -> RelPath:
    """The path, if an object may be called so. Raises Unholdable. `longest`: bytes of an object's name."""
    return object_names.checked(path, prefix=prefix, longest=longest, what="an object's name")


def reachable(path: RelPath) -> bool:
    """Whether HTTP clients ask for the object as it is called: they resolve "." and ".." themselves."""
    return all(part not in ("", ".", "..") for part in path.split("/"))
