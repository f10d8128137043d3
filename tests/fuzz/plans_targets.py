"""A saved plan from somebody else, as a fuzzer sees it: it is a plan, or a UsageError says why not."""

from __future__ import annotations

import json
import os
from pathlib import Path

from syncer.errors import UsageError
from syncer.jobs import saved_plan


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    fd = os.memfd_create("plan")
    try:
        os.write(fd, data)
        plans = saved_plan.read(Path(f"/proc/self/fd/{fd}"))
    except UsageError:
        return
    finally:
        os.close(fd)
    for plan in plans:
        missed = plan.choice()([]).missed
        assert {problem.path for problem in missed} == {action.path for action in plan.actions}


def seeds() -> tuple[bytes, ...]:
    """Plans to begin with: as saved, and as somebody might have left them."""
    planned = {"pair": "p", "named": True, "local": "/l", "remote": "a:r", "conflict": "keep-both",
               "mode": "two-way", "ignore": ["*.o"], "full": False}  # fmt: skip
    names = [("upload", "a/b", ""), ("move-remote", "c", "d"), ("keep-both", "e", "f")]
    actions = [
        {"action": name, "path": path, "expects": f"{saved_plan._name(name, path, other)}-00",
         **({"from": other} if name.startswith("move") else {"copy": other} if other else {})}
        for name, path, other in names
    ]  # fmt: skip
    job = {"job": "docs", "planned": planned, "actions": actions, "result": "planned"}
    whole = {"schema": 1, "jobs": [job]}
    return (
        json.dumps(whole).encode(),
        json.dumps({**whole, "jobs": [job, job]}, indent=1).encode(),
        b"\xef\xbb\xbf" + json.dumps({"schema": 2, "jobs": []}).encode(),
        json.dumps({**whole, "jobs": [{**job, "result": "error"}]}).encode(),
    )
