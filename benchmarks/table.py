"""Verdicts as a table for a terminal, as Markdown for README.md, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.budgets import Verdict, shown
from benchmarks.machine import Machine

HEAD = ("case", "files", "beside", "syncer", "the other", "ratio or value", "target", "")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_RIGHT = {1, 3, 4, 5, 6}  # columns of numbers


def cells(verdict: Verdict) -> tuple[str, ...]:
    """The texts of one line."""
    row, budget = verdict.row, verdict.budget
    return (
        row.case,
        f"{row.files:,}" if row.files else "",
        row.beside,
        row.own,
        row.other,
        shown(row.value, row.unit),
        f"≤ {shown(budget.limit, row.unit)}" if budget else "",
        verdict.word,
    )


def plain(verdicts: Iterable[Verdict]) -> str:
    """Columns under each other."""
    lines = [HEAD, *map(cells, verdicts)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in _RIGHT else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(verdicts: Sequence[Verdict], machine: Machine, *, rounds: str) -> str:
    """A table with a caption; a missed budget stands out."""
    rule = ["---:" if column in _RIGHT else "---" for column in range(len(HEAD))]
    told = [cells(verdict) for verdict in verdicts]
    bold = [(*line[:-1], f"**{line[-1]}**") if line[-1] == "MISSED" else line for line in told]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (HEAD, rule, *bold))
    return f"{table}\n\nMedians of {rounds}, contestants in turns. {machine.line()}."


def in_document(document: str, block: str) -> str:
    """The document with what stands between the markers replaced. Raises ValueError."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"there is no place between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def write_json(path: Path, verdicts: Iterable[Verdict], machine: Machine, failures: Sequence[str]) -> None:
    """Everything, for other programs. Raises OSError."""
    rows = [
        {
            **asdict(verdict.row),
            "target": verdict.budget.limit if verdict.budget else None,
            "verdict": verdict.word.lower() or None,
        }
        for verdict in verdicts
    ]
    document = {"schema": 1, "machine": asdict(machine), "rows": rows, "failures": list(failures)}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
