"""Explains why one path is treated as it is: three observations, the rule that applies, the next step.

Reads only; the plan it quotes is the one that the next run would make.
"""

from __future__ import annotations

from syncer.engine import paths
from syncer.engine.ignore import (
    FILE,
    MACHINE_FILE,
    NEVER_SYNCED,
    OWN,
    IgnoreFileError,
    Rules,
)
from syncer.engine.model import Action, BaseEntry, Entry, IgnoreRule, Kind, Move, Reason, RelPath, Seen
from syncer.engine.report import Explanation, Plan
from syncer.engine.scan import SnapshotReader
from syncer.engine.sync import SyncContext, plan
from syncer.errors import GuardTripped

WHY = {
    Reason.LOCAL_CHANGED: "only the local side differs from the base: the remote follows",
    Reason.REMOTE_CHANGED: "only the remote side differs from the base: the local side follows",
    Reason.LOCAL_NEW: "only the local side has it and nothing is remembered of it: it is new",
    Reason.REMOTE_NEW: "only the remote side has it and nothing is remembered of it: it is new",
    Reason.LOCAL_DELETED: "the local side deleted it and the remote did not change it: to the trash",
    Reason.REMOTE_DELETED: "the remote side deleted it and the local did not change it: to the trash",
    Reason.BOTH_DELETED: "both sides deleted it: forgotten",
    Reason.EQUAL: "both sides hold the same content: adopted",
    Reason.EDIT_BEATS_DELETE: "one side changed what the other deleted: the change wins and comes back",
    Reason.BOTH_CHANGED: "both sides changed it, differently: a conflict",
    Reason.BOTH_NEW: "both sides have it, with different content and no common past: a conflict",
    Reason.KIND_CLASH: "a file here, a directory there: the directory keeps the name",
    Reason.METADATA: "same bytes, other date or executable bit: no content is sent",
    Reason.RENAMED: "the other side renamed it: renamed here too, no content is sent",
    Reason.IGNORED: "an ignore rule names it now: forgotten, never deleted",
    Reason.ECHO: "old content came back by another job: what took its place is followed",
    Reason.SECOND_COPY: "another conflict copy keeps the same content: one is enough",
    Reason.MIRROR: "one-way job: the side that follows was changed and is put back",
}


def explain(job: SyncContext, path: RelPath) -> Explanation:
    """Base, local and remote as seen now, the rule that applies, and what the next run would do."""
    refusal = ""
    try:
        todo = plan(job)
    except GuardTripped as error:  # what is known of the path is asked for all the more
        todo = Plan()
        refusal = f"the whole job is refused by the guard {error.guard}: {error.message}"
    directory, name = paths.split(path)
    base = job.memory.rows(directory).get(name)
    local, remote = job.local.stat(path), job.remote.stat(path)
    ignored, above = _ignore_rule(job, path)
    rule = _rule(todo, path, base, local, remote)
    if ignored is not None and not ignored.negated:
        rule = _with_ignored(rule, ignored, above, known=base is not None)
    return Explanation(
        path=path,
        base=base,
        local=local,
        remote=remote,
        rule=refusal or rule,
        actions=tuple(a for a in todo.actions if _concerns(a, path)),
        ignore_rule=ignored,
        ignored_above=above,
    )


def _ignore_rule(job: SyncContext, path: RelPath) -> tuple[IgnoreRule | None, RelPath]:
    """The rule that has the last word on a path, and the directory above that it ignores, if it does.

    As a run finds it: from the root down, and no further than to what is ignored.
    """
    rules = Rules(
        job.policy.ignore, job.compiler, SnapshotReader(job.stores, job.memory, job.reporter).read_rules
    )
    directory, rule = "", None
    seen: tuple[Seen, Seen] = (None, None)
    for name in paths.parts(path):
        here = paths.join(directory, name)
        rows, file = job.memory.rows(directory), paths.join(directory, FILE)
        machine = job.local.stat(paths.join(directory, MACHINE_FILE))
        alone = bool(directory) and None in seen
        try:
            rules.visit(
                directory,
                rows.get(FILE),
                job.local.stat(file),
                job.remote.stat(file),
                machine=machine,
                alone=alone,
            )
            seen = job.local.stat(here), job.remote.stat(here)
            kinds = {x.kind for x in (rows.get(name), *seen) if isinstance(x, Entry | BaseEntry)}
            rule = rules.deciding(here, is_directory=here != path or Kind.DIRECTORY in kinds)
        except IgnoreFileError:
            return None, ""
        if rule is not None and not rule.negated:
            return rule, here if here != path else ""
        directory = here
    return rule, ""


def _with_ignored(rule: str, ignored: IgnoreRule, above: RelPath, *, known: bool) -> str:
    """The explanation of an ignored path with the rule's file, line and pattern."""
    if ignored is NEVER_SYNCED:
        return f"never synced: {MACHINE_FILE} holds the ignore rules of this machine alone"
    what = f"its directory {above} is ignored" if above else "ignored"
    by = f"{what} by {ignored}"
    if ignored.file == OWN:
        by += " (the job's own rules)"
    if ignored.remote:
        by += " (as it stands on the remote side)"
    if known or rule.startswith(("blocked", "unknown")):
        return f"{rule}; {by}"
    return f"{by}; left alone on both sides"


def _concerns(action: Action, path: RelPath) -> bool:
    return action.path == path or (isinstance(action, Move) and action.origin == path)


def _rule(todo: Plan, path: RelPath, base: BaseEntry | None, local: Seen, remote: Seen) -> str:
    problem = next((p for p in todo.problems if p.path in (path, paths.split(path)[0])), None)
    if problem is not None:
        return f"blocked: {problem.message} ({problem.code}); it waits, and nothing is decided"
    hold = next((h for h in todo.holds if path in h.paths), None)
    if hold is not None:
        return f"held by the guard {hold.guard}: {hold.message}"
    action = next((a for a in todo.actions if _concerns(a, path)), None)
    if action is not None:
        return WHY[action.reason]
    if any(c.path == path for c in todo.conflicts):
        return "both sides changed and the policy is to ask: resolve it with `syncer conflicts resolve`"
    return _quiet(base, local, remote)


def _quiet(base: BaseEntry | None, local: Seen, remote: Seen) -> str:
    if base is None and local is None and remote is None:
        return "unknown: neither side has it and nothing is remembered of it"
    if base is None:
        return "left alone: ignored, or outside what this job may change"
    return "in sync: both sides still show what they agreed on last"
