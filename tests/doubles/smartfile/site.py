"""All that one hosted site consists of, and how its parts find it from a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from tests.doubles.smartfile.auth import Credentials
from tests.doubles.smartfile.options import Options
from tests.doubles.smartfile.tasks import Tasks
from tests.doubles.smartfile.tree import Tree


@dataclass(slots=True, kw_only=True)
class Site:
    """One account's files, credentials, running tasks and switches."""

    options: Options = field(default_factory=Options)
    credentials: Credentials = field(default_factory=Credentials)
    tree: Tree = field(init=False)
    tasks: Tasks = field(init=False)

    def __post_init__(self) -> None:
        self.tree = Tree(self.options)
        self.tasks = Tasks(self.options)


def site_of(request: Request) -> Site:
    """The site that was asked."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site
