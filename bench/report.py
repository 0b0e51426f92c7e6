"""What a whole bench found out, as a table for people and as JSON for machines. Measures nothing itself."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from measure import Result


@dataclass
class Row:
    """One server in one scenario."""

    peer: str
    kind: str
    version: str
    is_floor: bool
    rounds: list[Result] = field(default_factory=list)
    # why there is no result
    missing: str = ""

    def median(self) -> Result | None:
        """The median of each figure over the rounds."""
        if not self.rounds:
            return None

        def middle(values: Iterable[float]) -> float:
            return statistics.median(values)

        p50 = [result.p50 for result in self.rounds if result.p50 is not None]
        p99 = [result.p99 for result in self.rounds if result.p99 is not None]
        return Result(
            requests_per_second=middle(result.requests_per_second for result in self.rounds),
            cpu_microseconds=middle(result.cpu_microseconds for result in self.rounds),
            p50=middle(p50) if p50 else None,
            p99=middle(p99) if p99 else None,
            megabytes=middle(result.megabytes for result in self.rounds),
            # Faults are no noise: all of them count.
            faults=sum(result.faults for result in self.rounds),
        )


@dataclass
class Table:
    """All servers in one scenario."""

    scenario: str
    title: str
    rows: list[Row]

    def sorted_rows(self) -> list[Row]:
        """The floors, then the servers from the cheapest on, then those without a result."""

        def place(row: Row) -> tuple[bool, bool, float]:
            median = row.median()
            return (median is None, not row.is_floor, median.cpu_microseconds if median else 0.0)

        return sorted(self.rows, key=place)


@dataclass
class Report:
    """A whole bench: where and how it ran, and what came out."""

    date: str
    commit: str
    machine: str
    python: str
    # processes that wanted a core before we began (the one-minute load average)
    load: float
    rounds: int
    seconds: float
    tables: list[Table]


# Over this load, others take the cores from server and load generator.
QUIET = 0.5

_HEAD = ("server", "requests/s", "CPU µs", "p50 ms", "p99 ms", "PSS MB")


def as_text(report: Report) -> str:
    """Tables for a terminal."""
    parts = [
        f"{report.machine}, {report.python}, commit {report.commit}\n"
        f"{report.rounds} round(s) of {report.seconds:g} s, medians; CPU µs is user and system time of all\n"
        "of the server's processes for one request\n"
    ]
    if report.load > QUIET:
        parts.append(f"other processes were busy (load {report.load:.1f}): compare the rows of a table, no more\n")
    for table in report.tables:
        lines = [_HEAD, *(_cells(row) for row in table.sorted_rows())]
        widths = [max(len(line[column]) for line in lines if len(line) > 2) for column in range(6)]
        widths[0] = max(len(line[0]) for line in lines)
        parts.append(f"\n{table.title}\n")
        for line in lines:
            if len(line) == 2:
                parts.append(f"  {line[0]:<{widths[0]}}  {line[1]}\n")
                continue
            numbers = "  ".join(f"{cell:>{width}}" for cell, width in zip(line[1:6], widths[1:], strict=True))
            parts.append(f"  {line[0]:<{widths[0]}}  {numbers}{''.join(line[6:])}\n")
    return "".join(parts)


def as_markdown(report: Report) -> str:
    """The same for bench/README.md."""
    parts = []
    for table in report.tables:
        parts.append(f"\n**{table.title}**\n\n| {' | '.join(_HEAD)} |\n|:--|--:|--:|--:|--:|--:|\n")
        for row in table.sorted_rows():
            cells = _cells(row)
            if len(cells) == 2:
                cells = (cells[0], cells[1].replace("|", "/"), "", "", "", "")
            elif len(cells) > 6:
                cells = (cells[0] + cells[6], *cells[1:6])
            parts.append(f"| {' | '.join(cells)} |\n")
    return "".join(parts)


def _cells(row: Row) -> tuple[str, ...]:
    name = f"{row.peer} {row.version}".strip()
    median = row.median()
    if median is None:
        return (name, row.missing)
    cells = (
        name,
        f"{median.requests_per_second:,.0f}",
        f"{median.cpu_microseconds:.2f}",
        "" if median.p50 is None else f"{median.p50:.2f}",
        "" if median.p99 is None else f"{median.p99:.2f}",
        f"{median.megabytes:.1f}",
    )
    if median.faults:
        return (*cells, f"  ({median.faults:,} faults)")
    return cells


def as_json(report: Report) -> str:
    """Everything, each round included."""
    document = asdict(report)
    for table, plain in zip(report.tables, document["tables"], strict=True):
        for row, plain_row in zip(table.rows, plain["rows"], strict=True):
            median = row.median()
            plain_row["median"] = asdict(median) if median else None
    return json.dumps(document, indent=1) + "\n"


def load(path: Path) -> Report:
    """Reads what `as_json` wrote."""
    document = json.loads(path.read_text())
    for table in document["tables"]:
        for row in table["rows"]:
            del row["median"]
            row["rounds"] = [Result(**result) for result in row["rounds"]]
        table["rows"] = [Row(**row) for row in table["rows"]]
    document["tables"] = [Table(**table) for table in document["tables"]]
    return Report(**document)
