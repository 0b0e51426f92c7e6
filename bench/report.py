"""What a whole bench found out, as a table for people and as JSON for machines. Measures nothing itself."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
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

        streams = [result.streams for result in self.rounds]

        def middle(values: Iterable[float | None]) -> float | None:
            known = [value for value in values if value is not None]
            return statistics.median(known) if known else None

        return Result(
            requests_per_second=middle(result.requests_per_second for result in self.rounds),
            cpu_microseconds=middle(result.cpu_microseconds for result in self.rounds),
            p50=middle(result.p50 for result in self.rounds),
            p99=middle(result.p99 for result in self.rounds),
            megabytes=middle(result.megabytes for result in self.rounds),
            # Faults are no noise: all of them count.
            faults=sum(result.faults for result in self.rounds),
            extra={
                name: statistics.median(result.extra[name] for result in self.rounds) for name in self.rounds[0].extra
            },
            # Who collects once may do so any time.
            streams=None if None in streams else all(streams),
        )


@dataclass
class Table:
    """All servers in one scenario."""

    scenario: str
    title: str
    rows: list[Row]

    def row(self, peer: str) -> Row | None:
        """A server's row, if it has a result."""
        return next((row for row in self.rows if row.peer == peer and row.rounds), None)

    def sorted_rows(self) -> list[Row]:
        """The floors, then the servers from the cheapest on, then those without a result."""

        def place(row: Row) -> tuple[bool, bool, float]:
            median = row.median()
            if median is None:
                return (True, False, 0.0)
            # Where requests are not the point, the first column that its scenario alone has is.
            figure = next(iter(median.extra.values()), 0.0) if median.p50 is None else None
            return (False, not row.is_floor, figure or median.cpu_microseconds or 0.0)

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

OURS = "whiskyjack"

# Of a server that keeps pieces until the application is done.
COLLECTS = "(collects: the first piece came only with the last)"


def as_text(report: Report) -> str:
    """Tables for a terminal."""
    parts = [
        f"{report.machine}, {report.python}, commit {report.commit}\n"
        f"{report.rounds} round(s) of {report.seconds:g} s, medians; CPU µs is user and system time of all\n"
        "of the server's processes for one request; ours ÷ its compares Whiskyjack with the row's server\n"
    ]
    if report.load > QUIET:
        parts.append(f"other processes were busy (load {report.load:.1f}): compare the rows of a table, no more\n")
    for table in report.tables:
        head, lines = _cells(table)
        widths = [
            max(len(line.cells[column]) for line in [head, *lines] if line.cells) for column in range(len(head.cells))
        ]
        name = max(len(line.name) for line in [head, *lines])
        parts.append(f"\n{table.title}\n")
        for line in [head, *lines]:
            cells = "  ".join(f"{cell:>{width}}" for cell, width in zip(line.cells, widths, strict=False))
            parts.append(f"  {line.name:<{name}}  {cells}{'  ' if cells and line.note else ''}{line.note}\n")
    return "".join(parts)


def as_markdown(report: Report) -> str:
    """The same for bench/FIGURES.md."""
    parts = []
    for table in report.tables:
        head, lines = _cells(table)
        columns = [head.name, *head.cells]
        parts.append(f"\n**{table.title}**\n\n| {' | '.join(columns)} |\n|:--|{'--:|' * len(head.cells)}\n")
        for line in lines:
            note = line.note.replace("|", "/")
            cells = line.cells or [note] + [""] * (len(head.cells) - 1)
            name = f"{line.name} {note}" if line.cells and note else line.name
            parts.append(f"| {' | '.join([name, *cells])} |\n")
    return "".join(parts)


@dataclass(frozen=True)
class _Line:
    """A line of a table: a server's cells, or none and the reason."""

    name: str
    cells: list[str]
    note: str = ""


def _cells(table: Table) -> tuple[_Line, list[_Line]]:
    """The head and the lines of a table, without the columns that say nothing in its scenario."""
    ours = table.row(OURS)
    base = ours.median() if ours else None
    rows = [(row, row.median()) for row in table.sorted_rows()]
    extra = list(dict.fromkeys(name for _, median in rows if median for name in median.extra))
    columns: list[tuple[str, Callable[[Result], str]]] = [
        ("requests/s", lambda result: _number(result.requests_per_second, 0)),
        ("CPU µs", lambda result: _number(result.cpu_microseconds, 2)),
        ("p50 ms", lambda result: _number(result.p50, 2)),
        ("p99 ms", lambda result: _number(result.p99, 2)),
        *((name, _figure(name)) for name in extra),
        ("PSS MB", lambda result: _number(result.megabytes, 1)),
        ("CPU ours ÷ its", lambda result: _ratio(base.cpu_microseconds if base else None, result.cpu_microseconds)),
        (
            "req/s ours ÷ its",
            lambda result: _ratio(base.requests_per_second if base else None, result.requests_per_second),
        ),
    ]
    shown = [(name, cell) for name, cell in columns if any(cell(median) for _, median in rows if median)]
    lines = []
    for row, median in rows:
        name = f"{row.peer} {row.version}".strip()
        if median is None:
            lines.append(_Line(name, [], row.missing))
        else:
            notes = [f"({median.faults:,} faults)"] if median.faults else []
            notes += [COLLECTS] if median.streams is False else []
            lines.append(_Line(name, [cell(median) for _, cell in shown], " ".join(notes)))
    return _Line("server", [name for name, _ in shown]), lines


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _figure(name: str) -> Callable[[Result], str]:
    return lambda result: _number(result.extra.get(name), 2)


def _ratio(ours: float | None, its: float | None) -> str:
    return f"{ours / its:.2f}" if ours and its else ""


def as_json(report: Report, goals: list[dict[str, object]]) -> str:
    """Everything, each round included, and what became of the goals."""
    document = asdict(report) | {"goals": goals}
    for table, plain in zip(report.tables, document["tables"], strict=True):
        for row, plain_row in zip(table.rows, plain["rows"], strict=True):
            median = row.median()
            plain_row["median"] = asdict(median) if median else None
    return json.dumps(document, indent=1) + "\n"


def load(path: Path) -> Report:
    """Reads what `as_json` wrote."""
    document = json.loads(path.read_text())
    document.pop("goals", None)
    for table in document["tables"]:
        for row in table["rows"]:
            del row["median"]
            row["rounds"] = [Result(**result) for result in row["rounds"]]
        table["rows"] = [Row(**row) for row in table["rows"]]
    document["tables"] = [Table(**table) for table in document["tables"]]
    return Report(**document)
