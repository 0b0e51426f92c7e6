"""Runs Whiskyjack and its peers side by side. `make bench`, or `python bench/run.py --help`."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import chart
from measure import Cores, run
from peers import BENCH, PEERS, Environment, Peer, UnavailableError, prepare
from report import Report, Row, Table, as_json, as_markdown, as_text
from scenarios import SCENARIOS, Scenario


def main() -> int:
    """Parses the flags, prepares, measures, prints."""
    options = _parser().parse_args()
    scenarios = _choose(SCENARIOS, options.scenarios)
    peers = _choose(PEERS, options.peers)
    missing = _missing_tools()
    if missing:
        print(missing, file=sys.stderr)
        return 2
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (1 if options.quick else 3)

    # Before we load the machine ourselves, by building.
    load = os.getloadavg()[0]
    environment = Environment(BENCH / ".venv")
    environment.create()
    tables = [Table(scenario.name, scenario.title, []) for scenario in scenarios]
    prepared: list[Peer] = []
    for peer in peers:
        _say(f"preparing {peer.name}")
        version, reason = "", ""
        try:
            version = prepare(peer, environment)
            prepared.append(peer)
        except UnavailableError as error:
            reason = f"not measured: {error}"
        for scenario, table in zip(scenarios, tables, strict=True):
            if peer.is_floor and not scenario.floor_strings:
                continue
            table.rows.append(Row(peer.name, peer.kind, version, peer.is_floor, missing=reason))
    for scenario in scenarios:
        if scenario.packages:
            environment.install(*scenario.packages)

    cores = Cores.choose()
    if cores.server == cores.load:
        _say("there is only one core: server and load share it, and the figures say little")
    # Each server once in each round, so that a change of the machine's mood hits all of them.
    for number in range(1, rounds + 1):
        for scenario, table in zip(scenarios, tables, strict=True):
            for peer in prepared:
                for row in table.rows:
                    if row.peer == peer.name:
                        _say(f"round {number} of {rounds}, {scenario.title}: {peer.name}")
                        _measure(peer, scenario, environment, cores, seconds, row)
    _say("")

    report = Report(
        date=datetime.date.today().isoformat(),
        commit=_commit(),
        machine=_machine(),
        python=f"CPython {platform.python_version()}",
        load=load,
        rounds=rounds,
        seconds=seconds,
        tables=tables,
    )
    print(as_markdown(report) if options.markdown else as_text(report), end="")
    if options.save:
        name = datetime.datetime.now().strftime("%Y-%m-%d-%H%M")
        path = BENCH / "runs" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(as_json(report))
        (BENCH / "chart.svg").write_text(chart.draw(report))
        # The README has room for two: the least that can be served, and what people serve.
        shown = [table for table in report.tables if table.scenario in ("hello", "flask")]
        (BENCH / "chart-short.svg").write_text(chart.draw(dataclasses.replace(report, tables=shown)))
        print(f"\nsaved {path} and bench/chart*.svg")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Runs the servers side by side.")
    parser.add_argument("--quick", action="store_true", help="one round of one second: a look")
    parser.add_argument("--rounds", type=int, help="rounds (3)")
    parser.add_argument("--seconds", type=int, help="seconds of load for each run (3)")
    parser.add_argument("--scenarios", metavar="A,B", help=", ".join(scenario.name for scenario in SCENARIOS))
    parser.add_argument("--peers", metavar="A,B", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--save", action="store_true", help="keep the run in bench/runs and draw the chart")
    parser.add_argument("--markdown", action="store_true", help="print tables for bench/README.md")
    return parser


Choice = TypeVar("Choice", Scenario, Peer)


def _choose(all_of_them: tuple[Choice, ...], names: str | None) -> list[Choice]:
    """Those that a flag names, in our order."""
    if names is None:
        return list(all_of_them)
    wanted = {name.strip() for name in names.split(",")}
    known = {choice.name for choice in all_of_them}
    if not wanted <= known:
        sys.exit(f"unknown: {', '.join(sorted(wanted - known))}; there are: {', '.join(sorted(known))}")
    return [choice for choice in all_of_them if choice.name in wanted]


def _missing_tools() -> str:
    if not sys.platform.startswith("linux"):
        return "bench: the figures are read from /proc, so it runs on Linux only"
    if shutil.which("wrk") is None:
        return "bench: wrk is missing: apt-get install wrk, dnf install wrk, or https://github.com/wg/wrk"
    if shutil.which("taskset") is None:
        return "bench: taskset is missing: apt-get install util-linux"
    return ""


def _measure(peer: Peer, scenario: Scenario, environment: Environment, cores: Cores, seconds: float, row: Row) -> None:
    try:
        row.rounds.append(run(peer, scenario, environment, cores, seconds))
    except UnavailableError as error:
        # What fails in one round does not count as measured in another.
        row.missing = f"not measured: {error}"


def _say(text: str) -> None:
    """Progress, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _commit() -> str:
    command = ["git", "-C", str(BENCH), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, Linux {platform.release().partition('-')[0]}"


if __name__ == "__main__":
    sys.exit(main())
