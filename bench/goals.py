"""What Whiskyjack is meant to reach beside its peers, and whether a report shows that it does. Ratios within one run.

Says as plainly that a goal was missed as that it was met, with the figures. Measures nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from measure import GAIN, Result
from peers import INTERPRETER, PEERS
from report import OURS, Report

# An ideal queue gives each of 64 clients of an application that needs 1 ms its turn after the 63 others.
IDEAL_QUEUE = 64.0


class Verdict(enum.Enum):
    """What became of a goal."""

    MET = "met"
    NOT_MET = "NOT MET"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Outcome:
    """A goal, what became of it, and the figures that say so."""

    scenario: str
    goal: str
    verdict: str
    figures: str


class _MissingError(Exception):
    """A figure that a goal needs was not measured."""


@dataclass(frozen=True)
class _Figures:
    """The medians of a report, by scenario and server."""

    report: Report

    def medians(self, scenario: str) -> Iterator[tuple[str, Result]]:
        """The servers that answered a scenario rightly all the time."""
        for table in self.report.tables:
            if table.scenario == scenario:
                for row in table.rows:
                    median = row.median()
                    if median is not None and (median.faults == 0 or row.peer == OURS):
                        yield row.peer, median

    def of(self, scenario: str, peer: str = OURS) -> Result:
        for name, median in self.medians(scenario):
            if name == peer:
                return median
        raise _MissingError(f"{peer} was not measured in {scenario}")

    def cpu(self, scenario: str, peer: str = OURS) -> float:
        return _known(self.of(scenario, peer).cpu_microseconds)

    def rate(self, scenario: str, peer: str = OURS) -> float:
        return _known(self.of(scenario, peer).requests_per_second)

    def extra(self, scenario: str, name: str) -> float:
        return self.of(scenario).extra[name]

    def rivals(self, scenario: str) -> list[tuple[str, Result]]:
        """The peers that have a result, floors and ourselves left out."""
        servers = {peer.name for peer in PEERS if not peer.is_floor} - {OURS}
        found = [(name, median) for name, median in self.medians(scenario) if name in servers]
        if not found:
            raise _MissingError(f"no peer was measured in {scenario}")
        return found

    def cheapest(self, scenario: str, among: Callable[[str], bool] = lambda _: True) -> tuple[str, float]:
        """The peer that needs least CPU time for a request."""
        costs = [(_known(median.cpu_microseconds), name) for name, median in self.rivals(scenario) if among(name)]
        if not costs:
            raise _MissingError(f"no such peer was measured in {scenario}")
        cost, name = min(costs)
        return name, cost

    def streamers(self, scenario: str) -> set[str]:
        """The peers that were seen to send a piece before the application made the next one."""
        return {name for name, median in self.rivals(scenario) if median.streams}

    def fastest(self, scenario: str) -> tuple[str, float]:
        """The peer that answers most requests a second."""
        rate, name = max((_known(median.requests_per_second), name) for name, median in self.rivals(scenario))
        return name, rate


_Judgement = tuple[bool, str]


@dataclass(frozen=True)
class _Goal:
    scenario: str
    text: str
    judge: Callable[[_Figures], _Judgement]


def judged(report: Report) -> list[Outcome]:
    """The goals of the scenarios that were run. One whose figures are missing is listed as not measured."""
    figures = _Figures(report)
    run = {table.scenario for table in report.tables}
    outcomes = []
    for goal in _GOALS:
        if goal.scenario not in run:
            continue
        try:
            met, shown = goal.judge(figures)
            verdict = Verdict.MET if met else Verdict.NOT_MET
        except _MissingError as error:
            verdict, shown = Verdict.UNKNOWN, str(error)
        outcomes.append(Outcome(goal.scenario, goal.text, verdict.value, shown))
    return outcomes


def as_text(outcomes: list[Outcome]) -> str:
    """The goals for a terminal."""
    if not outcomes:
        return ""
    width = max(len(outcome.goal) for outcome in outcomes)
    name = max(len(outcome.scenario) for outcome in outcomes)
    lines = [
        f"  {outcome.verdict:<12}  {outcome.scenario:<{name}}  {outcome.goal:<{width}}  {outcome.figures}\n"
        for outcome in outcomes
    ]
    return f"\ngoals\n{''.join(lines)}"


def as_markdown(outcomes: list[Outcome]) -> str:
    """The same for bench/FIGURES.md."""
    lines = [
        f"| {outcome.scenario} | {outcome.goal} | {outcome.verdict} | {outcome.figures} |\n" for outcome in outcomes
    ]
    return f"\n| scenario | goal | verdict | figures |\n|:--|:--|:--|:--|\n{''.join(lines)}"


def as_json(outcomes: list[Outcome]) -> list[dict[str, object]]:
    """The same for machines."""
    return [asdict(outcome) for outcome in outcomes]


def _known(value: float | None) -> float:
    if value is None:
        raise _MissingError("a figure is missing")
    return value


def _at_most(ours: float, factor: float, name: str, its: float, unit: str = "µs") -> _Judgement:
    return ours <= factor * its, f"{ours:,.2f} {unit} to {its:,.2f} of {name}: {ours / its:.2f} ×"


def _at_least(ours: float, factor: float, name: str, its: float) -> _Judgement:
    return ours >= factor * its, f"{ours:,.0f}/s to {its:,.0f} of {name}: {ours / its:.2f} ×"


def _cpu_of(scenario: str, factor: float, peer: str) -> _Goal:
    text = f"CPU ≤ {factor:g} × {peer}"
    return _Goal(scenario, text, lambda f: _at_most(f.cpu(scenario), factor, peer, f.cpu(scenario, peer)))


def _cheapest(scenario: str, factor: float = 1) -> _Goal:
    text = f"CPU ≤ {factor:g} × the cheapest peer"
    return _Goal(scenario, text, lambda f: _at_most(f.cpu(scenario), factor, *f.cheapest(scenario)))


def _cheapest_that_streams(scenario: str) -> _Goal:
    def judge(f: _Figures) -> _Judgement:
        met, shown = _at_most(f.cpu(scenario), 1, *f.cheapest(scenario, lambda name: name in f.streamers(scenario)))
        if f.of(scenario).streams is False:
            return False, f"{shown}; {OURS} itself collects"
        return met, shown

    return _Goal(scenario, "CPU ≤ 1 × the cheapest peer that streams", judge)


def _rate_of(scenario: str, factor: float, peer: str) -> _Goal:
    text = f"requests/s ≥ {factor:g} × {peer}"
    return _Goal(scenario, text, lambda f: _at_least(f.rate(scenario), factor, peer, f.rate(scenario, peer)))


def _file(sends: bool, factor: float) -> _Goal:
    senders = {peer.name for peer in PEERS if peer.sends_files}
    text = f"CPU ≤ {factor:g} × the cheapest peer {'with' if sends else 'without'} sendfile"
    return _Goal(
        "file",
        text,
        lambda f: _at_most(f.cpu("file"), factor, *f.cheapest("file", lambda name: (name in senders) is sends)),
    )


def _sleep(f: _Figures) -> _Judgement:
    rate = f.rate("sleep")
    return rate >= 0.95 * 6400, f"{rate:,.0f}/s: {rate / 64:.1f} %"


def _sleep_cpu(f: _Figures) -> _Judgement:
    met, shown = _at_most(f.cpu("sleep"), 0.5, "granian", f.cpu("sleep", "granian"))
    try:
        floor = f.cpu("sleep", INTERPRETER)
    except _MissingError:
        return met, shown
    return met, f"{shown}; {INTERPRETER} {floor:.2f}"


def _queue(f: _Figures) -> _Judgement:
    p99 = _known(f.of("burn").p99)
    return p99 <= 1.5 * IDEAL_QUEUE, f"{p99:,.1f} ms to {IDEAL_QUEUE:.0f}: {p99 / IDEAL_QUEUE:.2f} ×"


def _mixed(f: _Figures) -> _Judgement:
    p50, alone = _known(f.of("mix").p50), f.extra("mix", "p50 alone ms")
    return p50 <= 2 * alone, f"{p50:.2f} ms to {alone:.2f} alone: {p50 / alone:.2f} ×"


def _share(scenario: str) -> _Goal:
    def judge(f: _Figures) -> _Judgement:
        met, shown = _at_most(f.cpu(scenario), 1, *f.cheapest(scenario))
        try:
            ours, alone = f.cpu(scenario), f.cpu(scenario, "application alone")
            shown += f"; the server's share is {ours - alone:.2f} µs ({(1 - alone / ours) * 100:.0f} %)"
        except _MissingError:
            shown += "; the server's share is unknown without the application alone"
        return met, shown

    return _Goal(scenario, "CPU ≤ the cheapest peer", judge)


def _resting(f: _Figures) -> _Judgement:
    cpu, wakes = f.extra("idle", "idle CPU ms/s"), f.extra("idle", "wake-ups/s")
    shown = f"{cpu:.3f} ms of CPU and {wakes:.1f} wake-ups a second"
    # Kept runs of the time before this was waited for don't say it.
    if "rests after s" in f.of("idle").extra:
        shown += f", once it rests: after {f.extra('idle', 'rests after s'):.1f} s"
    return wakes == 0 and cpu < 0.01, shown


def _light(f: _Figures) -> _Judgement:
    each = f.extra("idle", "KB/connection")
    return each <= 4, f"{each:.2f} KB each"


def _start(f: _Figures) -> _Judgement:
    over = f.extra("start", "over import")
    return over <= 50, f"{over:.1f} ms"


def _gain(scenario: str, factor: float) -> _Goal:
    def judge(f: _Figures) -> _Judgement:
        gain = f.extra(scenario, GAIN)
        return gain >= factor, f"{f.rate(scenario):,.0f}/s: {gain:.2f} × one thread"

    return _Goal(scenario, f"requests/s ≥ {factor:g} × one thread on one core", judge)


_GOALS = (
    _cpu_of("hello", 1.25, INTERPRETER),
    _cheapest("hello", 0.85),
    _rate_of("pipelined", 4, "granian"),
    _rate_of("pipelined", 2, "fastwsgi"),
    _cheapest("chrome", 0.85),
    _cheapest("page"),
    _cheapest("big-page"),
    _cheapest("stream"),
    _cheapest_that_streams("stream"),
    _cheapest("echo"),
    _cheapest("big-echo"),
    _file(sends=False, factor=0.5),
    _file(sends=True, factor=1),
    _Goal("sleep", "≥ 95 % of the possible 6,400 requests/s", _sleep),
    _Goal("sleep", "CPU ≤ 0.5 × granian", _sleep_cpu),
    _Goal("nap", "requests/s ≥ the best peer's", lambda f: _at_least(f.rate("nap"), 1, *f.fastest("nap"))),
    _cheapest("nap"),
    _Goal("burn", "requests/s ≥ the best peer's", lambda f: _at_least(f.rate("burn"), 1, *f.fastest("burn"))),
    _Goal("burn", "p99 ≤ 1.5 × the ideal queue's", _queue),
    _Goal("mix", "p50 of the fast ones ≤ 2 × their p50 alone", _mixed),
    _share("flask"),
    _share("django"),
    _Goal("idle", "memory ≤ 4 KB a connection", _light),
    _Goal("idle", "no CPU while nothing happens", _resting),
    _Goal("start", "≤ 50 ms over `python -c 'import app'`", _start),
    _Goal(
        "workers",
        "requests/s ≥ 1.8 × one worker on one core",
        lambda f: _at_least(f.rate("workers"), 1.8, "one", f.rate("burn")),
    ),
    _gain("threads", 1.8),
    _gain("hello-threads", 1),
)
