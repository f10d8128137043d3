"""Line charts as SVG, without a library.

page([Chart("memory", "MiB", {"server": [(0, 61.5), ...]})])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tests.daemon.campaigns.samples import Series

_COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7d5ba6", "#8d6e63")
_WIDTH, _HEIGHT = 560, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 30, 28
_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class Chart:
    """`lines`: by name, points of seconds and values in `unit`. `bound`: a line that must not be crossed."""

    title: str
    unit: str
    lines: Mapping[str, Series]
    bound: float | None = None


def page(charts: Sequence[Chart]) -> str:
    """All charts in one SVG document, two in a row."""
    rows = -(-len(charts) // _COLUMNS)
    size = f'width="{_WIDTH * _COLUMNS}" height="{_HEIGHT * rows}"'
    parts = [
        f'<g transform="translate({_WIDTH * (at % _COLUMNS)},{_HEIGHT * (at // _COLUMNS)})">{_chart(one)}</g>'
        for at, one in enumerate(charts)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _chart(chart: Chart) -> str:
    points = [point for line in chart.lines.values() for point in line]
    last = max((x for x, _ in points), default=0) or 1
    top = 1.1 * max([y for _, y in points] + [chart.bound or 0]) or 1

    def at(x: float, y: float) -> str:
        across = _LEFT + x / last * (_WIDTH - _LEFT - _RIGHT)
        down = _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(f"{chart.title} ({chart.unit})")}</text>']
    for step in range(5):
        value = top * step / 4
        _, down = at(0, value).split(",")
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down}" y2="{down}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{down}" dy="4" text-anchor="end">{value:.4g}</text>'
        )
    for step in range(5):
        across, _ = at(last * step / 4, 0).split(",")
        parts.append(
            f'<text x="{across}" y="{_HEIGHT - 10}" text-anchor="middle">{last * step / 4:.0f} s</text>'
        )
    if chart.bound is not None:
        begin, end = at(0, chart.bound), at(last, chart.bound)
        parts.append(f'<polyline points="{begin} {end}" fill="none" stroke="#999" stroke-dasharray="5 4"/>')
    for number, (name, line) in enumerate(chart.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        way = " ".join(at(x, y) for x, y in line)
        parts.append(
            f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
            f'<text x="{_WIDTH - _RIGHT - 90 * (len(chart.lines) - number)}" y="16" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return "".join(parts)
