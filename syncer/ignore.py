"""Compiles gitignore lines into a matcher, with pathspec's reading of the gitignore manual.

Which rules hold where (nested `.syncignore`, the job's own) is `engine.rules`' business.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncer.engine.rules import Matcher


def compile_rules(lines: Sequence[str]) -> Matcher:
    """A matcher for paths relative to the directory of the rules, directories ending in "/".

    It answers True (ignored), False (explicitly not ignored: `!pattern`) or None (no rule speaks).
    A line that is not a pattern is passed over, as git does.
    """
    from pathspec import GitIgnoreSpec  # most jobs have no rules and do without

    spec = GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])

    def match(path: str) -> bool | None:
        return spec.check_file(path).include

    return match


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
