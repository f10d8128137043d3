"""Measure the size and shape of a Python package: `python -m scripts.metrics [DIRECTORY ...]`.

The directories default to `syncer`; that of another project (httpx, borg) is measured in the same way.

    files, lines            of *.py
    functions               including methods and nested functions
    called once             private functions (`_name`) that their module uses in one place
    comments                comment tokens for 100 statements (docstrings are counted as neither)
    same class name         names of top-level classes that stand in more than one package directory

With `--frames` it also traces two runs and prints the call stack where the first byte of one edited file is
written (`sync` into a folder) or read for the upload (to a `syncer serve`).
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import tokenize
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one package measures."""

    files: int
    lines: int
    file_lengths: list[int]
    function_lengths: list[int]
    called_once: list[str]  # `path::function`
    comments: int
    statements: int
    same_classes: dict[str, list[str]]


def _mentions(tree: ast.Module) -> Counter[str]:
    """How often each name is used in a module, as a name or as an attribute."""
    names: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names[node.id] += 1
        elif isinstance(node, ast.Attribute):
            names[node.attr] += 1
    return names


def measure(directory: Path) -> Figures:
    """The figures of all *.py files below `directory`. Raises SyntaxError."""
    files = sorted(directory.rglob("*.py"))
    file_lengths, function_lengths, called_once = [], [], []
    comments = statements = 0
    classes: dict[str, set[str]] = defaultdict(set)
    for file in files:
        text = file.read_text("utf-8")
        tree = ast.parse(text)
        mentions = _mentions(tree)
        file_lengths.append(text.count("\n"))
        comments += sum(
            token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(text).readline)
        )
        for node in ast.walk(tree):
            statements += isinstance(node, ast.stmt)
            if isinstance(node, Function):
                function_lengths.append((node.end_lineno or node.lineno) - node.lineno + 1)
                private = node.name.startswith("_") and not node.name.endswith("__")
                if private and mentions[node.name] == 1:
                    called_once.append(f"{file.relative_to(directory)}::{node.name}")
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                classes[node.name].add(str(file.parent.relative_to(directory)))
    return Figures(
        files=len(files),
        lines=sum(file_lengths),
        file_lengths=file_lengths,
        function_lengths=function_lengths,
        called_once=called_once,
        comments=comments,
        statements=statements,
        same_classes={name: sorted(places) for name, places in classes.items() if len(places) > 1},
    )


def _spread(lengths: list[int]) -> str:
    ordered = sorted(lengths)
    return f"{statistics.median(ordered):.0f} / {ordered[len(ordered) * 9 // 10]} / {ordered[-1]}"


def show(directory: Path, figures: Figures, *, names: bool) -> None:
    """Print the figures, with the single names where `names` asks for them."""
    functions = len(figures.function_lengths)
    once = len(figures.called_once)
    print(f"{directory}")
    print(f"  files                             {figures.files}")
    print(f"  lines                             {figures.lines}")
    print(f"  file, median / p90 / longest      {_spread(figures.file_lengths)}")
    print(f"  function, median / p90 / longest  {_spread(figures.function_lengths)}")
    print(f"  private functions called once     {once} of {functions} ({100 * once / functions:.1f} %)")
    print(f"  comments per 100 statements       {100 * figures.comments / figures.statements:.1f}")
    print(f"  class names in several packages   {len(figures.same_classes)}")
    if names:
        for name, places in sorted(figures.same_classes.items()):
            print(f"    {name}: {', '.join(places)}")
        for name in figures.called_once:
            print(f"    once: {name}")


def main() -> None:
    """Parse the arguments and print."""
    parser = argparse.ArgumentParser(prog="python -m scripts.metrics")
    parser.add_argument("directories", nargs="*", type=Path, default=[Path("syncer")])
    parser.add_argument("--names", action="store_true", help="list each function and class that counts")
    parser.add_argument("--frames", action="store_true", help="trace two runs and show the stacks")
    arguments = parser.parse_args()
    for directory in arguments.directories:
        show(directory, measure(directory), names=arguments.names)
    if arguments.frames:
        from scripts.frames import show_frames

        show_frames()


if __name__ == "__main__":
    main()
