"""Keeps a run: its JSON in runs/, and the page and the charts that show the last one. Measures nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chart
import goals
from environment import BENCH
from report import QUIET, Report, as_json, as_markdown, load

PAGE = BENCH / "FIGURES.md"
# The README has room for two: the least that can be served, and what people serve.
SHORT = ("hello", "flask")


def save(report: Report, outcomes: list[goals.Outcome]) -> None:
    """Writes a run, and the page and the charts from it."""
    path = BENCH / "runs" / f"{report.date}-{report.commit}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(as_json(report, goals.as_json(outcomes)))
    print(f"\nwrote {path.relative_to(BENCH.parent)}")
    draw(path)


def draw(path: Path) -> None:
    """Writes the page and the charts from a run that was kept."""
    report = load(path)
    PAGE.write_text(_page(report, path.name))
    (BENCH / "chart.svg").write_text(chart.draw(report))
    shown = [table for table in report.tables if table.scenario in SHORT]
    if shown:
        (BENCH / "chart-short.svg").write_text(chart.draw(replace(report, tables=shown)))
    print("wrote bench/FIGURES.md and bench/chart*.svg")


def _page(report: Report, name: str) -> str:
    busy = f" Other processes were busy (load {report.load:.1f})." if report.load > QUIET else ""
    return (
        "# Figures\n\n"
        f"{report.date}, commit {report.commit}, {report.machine}, {report.python}; {report.rounds} round(s) of"
        f" {report.seconds:g} s, medians; [every round](runs/{name}).{busy} Compare the rows of a table,\n"
        "and not the tables of two runs. [README.md](README.md) says how they are measured; `make bench ARGS=--save`"
        " writes this page.\n\n"
        "![CPU time for a request in each scenario](chart.svg)\n\n"
        f"## Goals\n{goals.as_markdown(goals.judged(report))}\n## Tables\n{as_markdown(report)}"
    )
