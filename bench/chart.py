"""Draws a report as SVG: CPU time for a request, a panel for each scenario.

A dot plot on a logarithmic scale: between the floor and the dearest server lies a factor of fifty, which bars
could show only by hiding the differences at the cheap end.
"""

from __future__ import annotations

import math
from html import escape

from report import Report, Row, Table

WIDTH = 860
NAMES = 190
RIGHT = 150
LINE = 24
HEAD = 46
GAP = 20
TOP = 74
BOTTOM = 40

_STYLE = """
text { font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.title { font-size: 18px; font-weight: 600; }
.panel { font-size: 14px; font-weight: 600; }
.soft { fill: var(--soft); font-size: 12px; }
.ours { fill: var(--accent); font-weight: 600; }
.grid { stroke: var(--edge); }
.lead { stroke: var(--soft); stroke-dasharray: 1 4; }
.dot { fill: var(--soft); }
.dot.ours { fill: var(--accent); }
.dot.floor { fill: var(--back); stroke: var(--soft); stroke-width: 2; }
.back { fill: var(--back); }
svg { --back: #ffffff; --ink: #22282e; --soft: #66727d; --edge: #e2e6e6; --accent: #b4560e; }
@media (prefers-color-scheme: dark) {
  svg { --back: #14181b; --ink: #e4e8ea; --soft: #9aa6af; --edge: #2c3439; --accent: #f0a050; }
}
"""


def draw(report: Report) -> str:
    """The chart of a report."""
    tables = [table for table in report.tables if any(_cost(row) for row in table.rows)]
    parts: list[str] = []
    y = TOP
    for table in tables:
        # Each has a scale of its own: between the cheapest and the dearest scenario lie four powers of ten.
        scale = Scale([cost for row in table.rows if (cost := _cost(row)) is not None])
        drawn, y = _panel(table, scale, y)
        parts.append(drawn)
    height = y + BOTTOM - GAP
    note = (
        f"{report.machine}, {report.python}, {report.date}. The server on one core, wrk on another;"
        f" medians of {report.rounds} round(s)."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="CPU time for a request, server by server">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="8"/>\n'
        f'<text class="title" x="20" y="34">CPU time for a request</text>\n'
        f'<text class="soft" x="20" y="54">microseconds of user and system time, each on a logarithmic scale of its'
        f" own; further left is better; hollow: no server</text>\n"
        f"{''.join(parts)}"
        f'<text class="soft" x="20" y="{height - 16}">{escape(note)}</text>\n'
        "</svg>\n"
    )


class Scale:
    """From microseconds to a place on the x axis."""

    def __init__(self, costs: list[float]) -> None:
        self._low = math.log10(min(costs)) - 0.05
        self._high = math.log10(max(costs)) + 0.05

    def x(self, cost: float) -> float:
        """Where a cost stands."""
        part = (math.log10(cost) - self._low) / (self._high - self._low)
        return NAMES + part * (WIDTH - NAMES - RIGHT)

    def ticks(self) -> list[float]:
        """The round costs in between: 1, 2 and 5 times the powers of ten."""
        found = [
            factor * 10.0**power
            for power in range(math.floor(self._low), math.ceil(self._high) + 1)
            for factor in (1, 2, 5)
        ]
        return [tick for tick in found if self._low <= math.log10(tick) <= self._high]


def _panel(table: Table, scale: Scale, y: int) -> tuple[str, int]:
    """One scenario's panel, and where the next one begins."""
    rows = [row for row in table.sorted_rows() if _cost(row)]
    end = y + HEAD + len(rows) * LINE
    parts = [f'<text class="panel" x="20" y="{y + 16}">{escape(table.title)}</text>\n']
    for tick in scale.ticks():
        x = scale.x(tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 34}" y2="{end}"/>\n'
            f'<text class="soft" x="{x:.1f}" y="{y + 29}" text-anchor="middle">{tick:g}</text>\n'
        )
    for number, row in enumerate(rows):
        parts.append(_row(row, scale, y + HEAD + number * LINE + LINE // 2))
    return "".join(parts), end + GAP


def _row(row: Row, scale: Scale, y: int) -> str:
    median = row.median()
    cost = _cost(row)
    if median is None or cost is None:
        return ""
    x = scale.x(cost)
    kind = "floor" if row.is_floor else "ours" if row.peer == "whiskyjack" else ""
    label = f"{cost:.1f} µs · {_short(median.requests_per_second)}/s"
    return (
        f'<text class="{kind}" x="{NAMES - 12}" y="{y + 4}" text-anchor="end">{escape(row.peer)}</text>\n'
        f'<line class="lead" x1="{NAMES}" x2="{x - 8:.1f}" y1="{y}" y2="{y}"/>\n'
        f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y}" r="5.5"/>\n'
        f'<text class="{"ours" if kind == "ours" else "soft"}" x="{x + 13:.1f}" y="{y + 4}">{label}</text>\n'
    )


def _cost(row: Row) -> float | None:
    median = row.median()
    if median is None or median.cpu_microseconds is None:
        return None
    # A floor can cost less than one tick of the clock in a short run; a logarithm has no zero.
    return max(median.cpu_microseconds, 0.05)


def _short(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number / 1000:.0f} k" if number >= 10_000 else f"{number:,.0f}"
