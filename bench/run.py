"""Runs Whiskyjack and its peers side by side. `make bench`, or `python bench/run.py --help`."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeVar

import figures
import goals
import lineup
from environment import BENCH, Environment, UnavailableError, WrongAnswerError
from measure import Bench, Cores
from measure import prepare as prepare_measuring
from peers import PEERS, QUICK, Peer
from report import Report, Row, Table, as_text
from scenarios import SCENARIOS, Scenario

# Runs whose time tells little of the others'.
FEW = 10


def main() -> int:
    """Parses the flags, prepares, measures, prints."""
    options = _parser().parse_args()
    if options.redraw:
        figures.draw(options.redraw)
        return 0
    scenarios = _choose(SCENARIOS, options.only)
    peers = _choose(PEERS, options.peers or (",".join(QUICK) if options.quick else None))
    missing = _missing_tools()
    if missing:
        print(missing, file=sys.stderr)
        return 2
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (0.4 if options.quick else 1.5)

    # Before we load the machine ourselves, by building.
    load = os.getloadavg()[0]
    environment = Environment(BENCH / ".venv")
    environment.create()
    try:
        prepare_measuring()
    except UnavailableError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    tables = [Table(scenario.name, scenario.title, []) for scenario in scenarios]
    with_gil = [pair for pair in zip(scenarios, tables, strict=True) if not pair[0].threads]
    without_gil = [pair for pair in zip(scenarios, tables, strict=True) if pair[0].threads]
    prepared = lineup.install(peers, environment, with_gil, say=_say)
    threaded, reason = lineup.free_threaded_environment(without_gil)
    prepared |= lineup.install(peers, threaded, without_gil, reason, say=_say)
    for package in sorted({package for scenario in scenarios for package in scenario.packages}):
        environment.install(package)

    cores = Cores.choose()
    if cores.server == cores.load:
        _say("there is only one core: server and load share it, and the figures say little")
    # What we do ourselves while a server runs is a part of the load.
    os.sched_setaffinity(0, {cores.load})
    bench = Bench(environment, threaded, cores, seconds, warm_up=min(0.6, seconds / 2))
    # Each server once in each round, so that a change of the machine's mood hits all of them.
    runs = [
        (number, scenario, peer, row)
        for number in range(1, rounds + 1)
        for scenario, table in zip(scenarios, tables, strict=True)
        for peer in peers
        if peer in prepared
        for row in table.rows
        if row.peer == peer.name
    ]
    began = time.monotonic()
    for done, (number, scenario, peer, row) in enumerate(runs):
        left = _minutes_left(time.monotonic() - began, done, len(runs))
        _say(f"{done + 1}/{len(runs)}{left}, round {number} of {rounds}, {scenario.title}: {peer.name}")
        _measure(bench, peer, scenario, row)
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
    outcomes = goals.judged(report)
    print(as_text(report) + goals.as_text(outcomes), end="")
    if options.save:
        figures.save(report, outcomes)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Runs the servers side by side.")
    parser.add_argument(
        "--quick", action="store_true", help=f"one round of 0.4 s, {', '.join(QUICK)}: a look, in two minutes"
    )
    parser.add_argument("--rounds", type=int, help="rounds (3)")
    parser.add_argument("--seconds", type=float, help="seconds of load for each run (1.5)")
    parser.add_argument("--only", metavar="A,B", help=", ".join(scenario.name for scenario in SCENARIOS))
    parser.add_argument("--peers", metavar="A,B", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument(
        "--save", action="store_true", help="keep the run in bench/runs, and write FIGURES.md and the charts"
    )
    parser.add_argument("--redraw", metavar="RUN", type=Path, help="measure nothing; write those from a kept run")
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


def _measure(bench: Bench, peer: Peer, scenario: Scenario, row: Row) -> None:
    """Adds one run to a row, or the reason why there is none; a server that failed once is not asked again."""
    if row.missing:
        return
    try:
        row.rounds.append(bench.run(peer, scenario))
    except WrongAnswerError as error:
        row.missing, row.rounds = f"wrong: {error}", []
    except UnavailableError as error:
        row.missing, row.rounds = f"not measured: {error}", []


def _minutes_left(passed: float, done: int, runs: int) -> str:
    """How long the rest takes if it goes on like this, once enough has been done to tell."""
    if done < FEW:
        return ""
    return f", {passed / done * (runs - done) / 60:.0f} min left"


def _say(text: str) -> None:
    """Progress, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _commit() -> str:
    command = ["git", "-C", str(BENCH), "describe", "--always", "--dirty", "--exclude=*"]
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
