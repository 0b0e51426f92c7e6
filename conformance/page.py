"""The results and the cases as tables: for a terminal, as JSON, and docs/conformance-table.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from corpus import LIMITS, ROOT, Case, groups
from verdict import Verdict

PAGE = ROOT / "docs" / "conformance-table.md"
CASES_BEGIN = "## The cases"


@dataclass
class Column:
    """One server's results."""

    name: str
    version: str
    settings: str
    # by the case's name; a case that was not put to this server is missing
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    # why there are none
    missing: str = ""

    def count(self, verdict: Verdict) -> int:
        return sum(found is verdict for found in self.verdicts.values())

    def share(self, cases: list[Case]) -> str:
        """How many of these went as the index says, of how many that were put."""
        found = [self.verdicts[case.name] for case in cases if case.name in self.verdicts]
        return f"{found.count(Verdict.AS_INDEXED)}/{len(found)}" if found else "-"


@dataclass(frozen=True)
class Results:
    """A whole run."""

    date: str
    machine: str
    timeout: float
    cases: list[Case]
    columns: list[Column]


def as_text(results: Results) -> str:
    """For a terminal."""
    return "\n\n".join(_aligned(table) for table in (_by_group(results), _by_verdict(results))) + "\n"


def as_json(results: Results) -> str:
    """Everything, each verdict by the case's name."""
    servers = [
        {
            "name": column.name,
            "version": column.version,
            "settings": column.settings,
            "missing": column.missing,
            "totals": {verdict.name.lower(): column.count(verdict) for verdict in Verdict},
            "verdicts": {name: verdict.name.lower() for name, verdict in column.verdicts.items()},
        }
        for column in results.columns
    ]
    return json.dumps(
        {"date": results.date, "machine": results.machine, "cases": len(results.cases), "servers": servers}, indent=2
    )


def as_page(results: Results) -> str:
    """docs/conformance-table.md."""
    settings = [
        ["server", "version", "settings, all others being defaults"],
        *([column.name, column.version, column.settings] for column in results.columns),
    ]
    limits = sum(case.is_of_limits for case in results.cases)
    return f"""# Conformance: the table

Written by `make conformance` on {results.date}, on {results.machine}; do not edit it. It puts every case of the
[corpus](../crates/whiskyjack-proto/tests/requests) to running servers over loopback, all in one run. Each serves the
same small application, which answers with the method, the target and the body it was given.

{_markdown(settings)}
What follows counts how often a server did what the index of the corpus says. **The index is Whiskyjack's**: where the
RFCs leave a choice, it holds the one that [Whiskyjack has made](conformance.md), and another server's difference from
it need not be a fault. {limits} cases depend on how limits are set. Whiskyjack runs with the limits that they are
written for; the others run with their defaults, so these cases are not put to them.

## By rule

As the index says, of the cases put.

{_markdown(_by_group(results))}
## By what differs

{_markdown(_by_verdict(results))}
Behind each request that must be refused stands another one; an answer to it after the refusal is in the line
"{Verdict.SMUGGLED.value}". So is an answer, where all must be served, to bytes of a body
or to what follows the last request that the connection may carry. The timeout is {results.timeout:g} s without a byte.

{cases_section(results.cases)}"""


def cases_section(cases: list[Case]) -> str:
    """The list of cases, which is the page's end."""
    served = sum(case.accepted for case in cases)
    rows = [["case", "answer", "rule", "why"]]
    for case in sorted(cases, key=lambda case: case.name):
        folder = "accepted" if case.accepted else "refused"
        path = f"../crates/whiskyjack-proto/tests/requests/{folder}/{case.name}.http"
        answer = "served" if case.accepted else case.expected
        rows.append([f"[{case.name}]({path})", answer, case.rule, case.note])
    return f"""{CASES_BEGIN}

{len(cases)} cases: {served} must be served, {len(cases) - served} refused.
`make conformance ARGS=--cases` writes this list alone anew.

{_markdown(rows)}"""


def with_cases(page: str, cases: list[Case]) -> str:
    """The page with its list of cases made anew."""
    before, found, _ = page.partition(f"{CASES_BEGIN}\n")
    if not found:
        raise ValueError(f"{PAGE.name} has no list of cases: `make conformance` writes the whole page")
    return before + cases_section(cases)


def _by_group(results: Results) -> list[list[str]]:
    rows = [["", *(column.name for column in results.columns)]]
    for group in groups(results.cases):
        cases = [case for case in results.cases if case.group == group]
        title = "what limits decide" if group == LIMITS else group
        rows.append([title, *(column.share(cases) for column in results.columns)])
    rows.append(["all", *(column.share(results.cases) for column in results.columns)])
    return rows


def _by_verdict(results: Results) -> list[list[str]]:
    rows = [["", *(column.name for column in results.columns)]]
    for verdict in Verdict:
        counts = [str(column.count(verdict)) if column.verdicts else "-" for column in results.columns]
        rows.append([verdict.value, *counts])
    return rows


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _markdown(rows: list[list[str]]) -> str:
    lines = [" | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in row) for row in rows]
    lines.insert(1, " | ".join("---" for _ in rows[0]))
    return "".join(f"| {line} |\n" for line in lines)
