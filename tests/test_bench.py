"""What the bench makes of its figures. No server is measured here."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server
from xml.etree import ElementTree

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "bench"))
sys.path.append(str(Path(__file__).resolve().parent.parent / "bench" / "apps"))

import chart
import goals
import instructions
import lineup
import measure
import plain
from answers import read_answer, streams
from environment import UnavailableError, free_threaded
from measure import GAIN, ONE_THREAD, Cores, Result
from peers import PEERS
from report import Report, Row, Table, as_json, as_markdown, as_text, load
from scenarios import SCENARIOS

from tests.support.interpreter import HAS_GIL

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CPU = {"floor: interpreter": 4.0, "whiskyjack": 4.9, "bjoern": 5.8, "granian": 10.0}


def result(cpu: float, faults: int = 0) -> Result:
    return Result(1e6 / cpu, cpu, 0.5, 1.0, 10.0, faults)


def report_of(scenario: str, cpu: dict[str, float]) -> Report:
    rows = [Row(name, "", "", name.startswith("floor"), [result(cost)]) for name, cost in cpu.items()]
    return Report("2026-01-01", "abc", "a machine", "CPython", 0.0, 1, 1.0, [Table(scenario, "a title", rows)])


def verdicts(report: Report) -> list[str]:
    return [outcome.verdict for outcome in goals.judged(report)]


def test_goals_that_are_reached_are_met() -> None:
    assert verdicts(report_of("hello", CPU)) == ["met", "met"]


def test_a_goal_that_is_missed_is_said_to_be() -> None:
    outcomes = goals.judged(report_of("hello", CPU | {"bjoern": 5.7}))
    assert [outcome.verdict for outcome in outcomes] == ["met", "NOT MET"]
    assert "4.90 µs to 5.70 of bjoern: 0.86 ×" in goals.as_text(outcomes)


def test_a_peer_that_answers_with_faults_is_no_measure() -> None:
    report = report_of("hello", CPU | {"fastwsgi": 1.0})
    assert verdicts(report) == ["met", "NOT MET"]
    report.tables[0].rows[-1].rounds = [result(1.0, faults=3)]
    assert verdicts(report) == ["met", "met"]


def test_a_goal_without_figures_is_neither_met_nor_missed() -> None:
    report = report_of("hello", CPU)
    report.tables[0].rows[1].rounds = []
    assert verdicts(report) == ["not measured", "not measured"]


def test_every_scenario_has_a_goal_and_every_goal_a_scenario() -> None:
    report = replace(report_of("", {}), tables=[Table(scenario.name, "", []) for scenario in SCENARIOS])
    assert {outcome.scenario for outcome in goals.judged(report)} == {scenario.name for scenario in SCENARIOS}


class Clock:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_server_rests_once_it_has_woken_nobody_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(measure, "time", clock)
    # It wakes once a second for so long.
    assert measure.rest(lambda: min(int(clock.now), 104)) == pytest.approx(4.0, abs=2 * measure.PAUSE)
    assert clock.now == pytest.approx(104 + measure.RESTED, abs=3 * measure.PAUSE)
    assert measure.rest(lambda: 7) == 0
    assert measure.rest(lambda: int(clock.now)) == measure.RESTS_WITHIN


def idling(wakes: float, cpu: float) -> Report:
    report = report_of("idle", {"whiskyjack": 4.9})
    extra = {"KB/connection": 3.0, "rests after s": 4.0, "idle CPU ms/s": cpu, "wake-ups/s": wakes}
    report.tables[0].rows[0].rounds = [replace(result(4.9), extra=extra)]
    return report


def test_a_server_that_wakes_while_nothing_happens_does_not_rest() -> None:
    assert verdicts(idling(0, 0.0)) == ["met", "met"]
    assert verdicts(idling(0.1, 0.001)) == ["met", "NOT MET"]
    assert "0.0 wake-ups a second, once it rests: after 4.0 s" in goals.as_text(goals.judged(idling(0, 0.0)))


def test_a_report_shows_who_was_not_measured_and_why() -> None:
    report = report_of("hello", CPU)
    report.tables[0].rows.append(Row("uwsgi", "", "2.0", False, missing="wrong: answer 2 of 16 did not come"))
    assert "uwsgi 2.0" in as_text(report)
    for text in (as_text(report), as_markdown(report)):
        assert "wrong: answer 2 of 16 did not come" in text


def test_a_kept_run_is_read_as_it_was(tmp_path: Path) -> None:
    report = report_of("hello", CPU)
    kept = tmp_path / "run.json"
    kept.write_text(as_json(report, goals.as_json(goals.judged(report))))
    assert load(kept) == report


def test_the_chart_is_xml_and_names_every_server() -> None:
    texts = {element.text for element in ElementTree.fromstring(chart.draw(report_of("hello", CPU))).iter()}
    assert set(CPU) <= texts


def test_an_answer_is_read_however_it_is_delimited() -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    assert read_answer(io.BytesIO(head + b"Content-Length: 3\r\n\r\njayHTTP")) == (200, b"jay")
    chunks = b"1\r\nj\r\n2\r\nay\r\n0\r\n\r\n"
    assert read_answer(io.BytesIO(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)) == (200, b"jay")
    assert read_answer(io.BytesIO(head + b"\r\njay")) == (200, b"jay")
    with pytest.raises(ValueError, match="closed"):
        read_answer(io.BytesIO(b""))


class Silent(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def served_once(application: WSGIApplication) -> Iterator[int]:
    """A port where one request is answered by the standard library's server, which sends each piece as it comes."""
    with make_server("127.0.0.1", 0, application, handler_class=Silent) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server.server_port
        thread.join()


def test_a_server_that_sends_the_first_piece_before_the_next_is_made_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "GATE_SECONDS", 60.0)
    with served_once(plain.gated) as port:
        assert streams(port)


def test_a_server_that_waits_for_all_pieces_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    def collected(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return [b"".join(plain.gated(environ, start_response))]

    # Nobody opens the gate before the first piece has come.
    monkeypatch.setattr(plain, "GATE_SECONDS", 0.01)
    with served_once(collected) as port:
        assert not streams(port)


def test_a_peer_that_collects_has_a_remark_and_is_no_measure_of_streaming() -> None:
    report = report_of("stream", {"whiskyjack": 9.0, "fastwsgi": 8.0, "bjoern": 10.0})
    for row in report.tables[0].rows:
        row.rounds = [replace(row.rounds[0], streams=row.peer != "fastwsgi")]
    assert verdicts(report) == ["NOT MET", "met"]
    for text in (as_text(report), as_markdown(report)):
        (line,) = [line for line in text.splitlines() if "the first piece came only with the last" in line]
        assert "fastwsgi" in line
        assert "8.00" in line


def test_whiskyjack_does_not_reach_the_goal_of_streaming_by_collecting() -> None:
    report = report_of("stream", {"whiskyjack": 9.0, "bjoern": 10.0})
    for row in report.tables[0].rows:
        row.rounds = [replace(row.rounds[0], streams=row.peer != "whiskyjack")]
    assert verdicts(report) == ["met", "NOT MET"]


def test_who_streams_is_not_known_of_runs_that_did_not_ask() -> None:
    assert verdicts(report_of("stream", {"whiskyjack": 9.0, "bjoern": 10.0})) == ["met", "not measured"]


def test_a_callee_s_instructions_are_counted_where_they_are_spent(tmp_path: Path) -> None:
    out = tmp_path / "callgrind.out"
    out.write_text(
        "positions: line\nevents: Ir\n\nob=/lib/libc.so.6\nfn=copy\n10 5\n+1 7\n\n"
        "ob=/opt/server\nfn=main\n3 2\ncob=/lib/libc.so.6\ncfn=copy\ncalls=4 10\n3 12\n4 1\n\ntotals: 15\n"
    )
    assert instructions.read(out) == {"libc": 12, "server": 3}


def gained(rates: dict[str, tuple[float, float]]) -> Report:
    report = report_of("threads", dict.fromkeys(rates, 1000.0))
    for row in report.tables[0].rows:
        one, two = rates[row.peer]
        extra = {ONE_THREAD: one, GAIN: two / one}
        row.rounds = [replace(row.rounds[0], requests_per_second=two, extra=extra)]
    return report


def test_what_threads_gain_is_asked_of_whiskyjack_alone() -> None:
    assert verdicts(gained({"whiskyjack": (900.0, 1620.0), "granian": (900.0, 900.0)})) == ["met"]
    report = gained({"whiskyjack": (900.0, 1600.0), "granian": (900.0, 1800.0)})
    assert verdicts(report) == ["NOT MET"]
    assert "1,600/s: 1.78 × one thread" in goals.as_text(goals.judged(report))
    assert "1.78" in as_text(report)


def test_threads_are_not_measured_without_a_free_threaded_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_FREE_THREADED", "/nowhere/python3.14t")
    with pytest.raises(UnavailableError, match="is no free-threaded interpreter"):
        free_threaded()
    monkeypatch.delenv("BENCH_FREE_THREADED")
    monkeypatch.setenv("PATH", "")
    if HAS_GIL:
        with pytest.raises(UnavailableError, match="no free-threaded interpreter; name one by"):
            free_threaded()
    else:
        assert free_threaded() == sys.executable


def test_a_bench_without_that_interpreter_says_so_in_the_table() -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.threads]
    part = [(scenario, Table(scenario.name, scenario.title, [])) for scenario in scenarios]
    assert lineup.install(list(PEERS), None, part, "no free-threaded interpreter", say=print) == set()
    assert part
    for _, table in part:
        assert "whiskyjack" in {row.peer for row in table.rows}
        assert {row.missing for row in table.rows} == {"not measured: no free-threaded interpreter"}


def test_each_thread_has_a_core_as_far_as_there_are_any() -> None:
    (scenario, *_) = (scenario for scenario in SCENARIOS if scenario.threads)
    cores = Cores(server=2, load=0, everything=(0, 1, 2))
    assert cores.of(scenario) == ["taskset", "-c", "2,1"]
    assert cores.of(replace(scenario, threads=1)) == ["taskset", "-c", "2"]
