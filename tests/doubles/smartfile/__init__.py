"""The hosted SmartFile, which is closed, as a double: its REST API, versions 2, 2.1 and 3, in memory.

    with SmartFileDouble() as double:
        double.write("/docs/a.txt", b"hello")
        double.misbehave("POST", "/path/sync/patch/", Lost(), times=1)
        ...  # a client with double.url, double.key and double.password
        assert double.read("/docs/a.txt") == ...
        assert [r.status for r in double.asked("POST", "/path/sync/")] == ...

| module | what it settles |
| --- | --- |
| `double.py` | what a test holds |
| `app.py`, `site.py` | addresses; the parts of one site |
| `auth.py` | Basic, OAuth 1.0a |
| `tree.py`, `listing.py`, `content.py` | stored files; `path/info`; `path/data` |
| `operations.py`, `tasks.py` | `path/oper`; `task` |
| `sync.py` | `path/sync`, by the program `rdiff` |
| `forms.py`, `refusals.py` | bodies of requests; shapes of errors |
| `options.py`, `misbehaviour.py` | what is unconfirmed; what fails |
"""

from __future__ import annotations

from tests.doubles.smartfile.double import SmartFileDouble
from tests.doubles.smartfile.options import Options
from tests.doubles.smartfile.tasks import Script

__all__ = ["SmartFileDouble", "Options", "Script"]
