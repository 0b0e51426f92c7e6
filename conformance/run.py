"""Puts the corpus to Whiskyjack and its peers. `make conformance`, or `python conformance/run.py --help`."""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "bench"))

from client import SILENCE, Heard, ask, play
from corpus import Case, read
from environment import BENCH, Environment, UnavailableError
from page import PAGE, Column, Results, as_json, as_page, as_text, with_cases
from servers import CONTESTANTS, Contestant
from verdict import Verdict, judge

CONNECTIONS = 16
# For all cases of one server, so that a run takes three minutes at most.
PATIENCE = 40.0


def main() -> int:
    """Parses the flags, asks every server, prints, and writes the page. 1 where Whiskyjack deviates."""
    options = _parser().parse_args()
    cases = read()
    if options.cases or options.check:
        return _list_cases(cases, options.check)
    environment = Environment(BENCH / ".venv")
    columns = []
    for contestant in CONTESTANTS:
        if options.alone and not contestant.is_ours:
            continue
        _say(f"preparing {contestant.name}")
        column = Column(contestant.name, "", contestant.settings)
        columns.append(column)
        try:
            if not contestant.is_ours:
                environment.create()
            column.version = contestant.prepare(environment)
            _say(f"asking {contestant.name}")
            put = [case for case in cases if contestant.is_ours or not case.is_of_limits]
            column.verdicts = _ask(contestant, environment, put)
        except UnavailableError as error:
            column.missing = str(error)
            _say(f"{contestant.name} was not asked: {error}")
    results = Results(datetime.date.today().isoformat(), _machine(), SILENCE, cases, columns)
    print(as_json(results) if options.json else as_text(results), end="" if not options.json else "\n")
    if not options.alone:
        # half a table would say less than the one that is there
        if any(column.missing for column in columns):
            _say(f"{PAGE.name} is left as it is, since a server is missing")
        else:
            PAGE.write_text(as_page(results), encoding="utf-8")
            _say(f"wrote {PAGE}")
    return _verdict_on_ours(columns[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="conformance/run.py", description="Puts the corpus to running servers.")
    parser.add_argument("--json", action="store_true", help="print JSON, with every verdict")
    parser.add_argument("--alone", action="store_true", help="ask Whiskyjack alone, and write nothing")
    parser.add_argument("--cases", action="store_true", help=f"ask nobody; write the list of cases in {PAGE.name} anew")
    parser.add_argument("--check", action="store_true", help="ask nobody; 1 if that list is not current")
    return parser


def _list_cases(cases: list[Case], check: bool) -> int:
    """Brings the page's list of cases up to date, or only says whether it is."""
    page = PAGE.read_text(encoding="utf-8")
    current = with_cases(page, cases)
    if check and page != current:
        _say(f"the list of cases in {PAGE.name} is not current: `make conformance ARGS=--cases` writes it anew")
        return 1
    if not check:
        PAGE.write_text(current, encoding="utf-8")
    return 0


def _ask(contestant: Contestant, environment: Environment, cases: list[Case]) -> dict[str, Verdict]:
    """Puts the cases, some at a time. What reached the application behind a refusal shows at the end."""
    with contestant.started(environment) as port, ThreadPoolExecutor(CONNECTIONS) as pool:
        until = time.monotonic() + PATIENCE

        def put(case: Case) -> Heard:
            if time.monotonic() > until:
                raise UnavailableError(f"not all cases were through after {PATIENCE:.0f} s")
            return play(case, port)

        try:
            heard = list(pool.map(put, cases))
            marks = set(ask(port, "/marks"))
        except OSError as error:
            raise UnavailableError(f"it does not take connections: {error}") from error
    return {case.name: judge(case, all_of_it, case.mark in marks) for case, all_of_it in zip(cases, heard, strict=True)}


def _verdict_on_ours(ours: Column) -> int:
    """The exit code, and which cases it is for."""
    deviations = {name: found for name, found in ours.verdicts.items() if found is not Verdict.AS_INDEXED}
    for name, found in deviations.items():
        _say(f"{ours.name} deviates: {name}: {found.value}")
    return 1 if deviations or ours.missing else 0


def _machine() -> str:
    return f"{platform.system()} {platform.release().partition('-')[0]}, CPython {platform.python_version()}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
