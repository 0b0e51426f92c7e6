"""One run: starts a server on its core, loads it from the other, and reads what it cost. Linux only."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import load
from answers import OPEN, check, streams
from environment import APPS, BUILD, Environment, UnavailableError, compile_c
from load import Seen
from peers import ALONE, Peer, Start
from process import Server, free_port, launched, plain_environment
from scenarios import LINE, Kind, Scenario

# Connections of one that is busy while the others rest.
BUSY = 1
STARTS = 3

# The figures of a scenario that is about threads.
ONE_THREAD = "one thread's requests/s"
GAIN = "gain"

# When a server that uses less than a fiftieth of a processor for so long is taken to rest, and how long we wait for it.
PAUSE = 0.05
SETTLED_WITHIN = 10.0

# A server that has woken nobody for so long rests, be it that something it has put off is still to come. One that does
# not within the second has a clock that goes on; for as long as the third its wake-ups are counted either way.
RESTED = 2.0
RESTS_WITHIN = 15.0
WATCHED = 10.0


@dataclass(frozen=True)
class Cores:
    """Which core the server gets, and which one the load generator."""

    server: int
    load: int
    everything: tuple[int, ...]

    @staticmethod
    def choose() -> Cores:
        """The last and the first that we may use. The same one if there is but one."""
        allowed = sorted(os.sched_getaffinity(0))
        return Cores(server=allowed[-1], load=allowed[0], everything=tuple(allowed))

    def of(self, scenario: Scenario) -> list[str]:
        """The command that puts a server where it belongs: on one core, or one for each worker or thread."""
        # The load's own comes last.
        cores = [self.server, *(core for core in reversed(self.everything) if core != self.server)]
        return ["taskset", "-c", ",".join(str(core) for core in cores[: max(scenario.workers, scenario.threads)])]


@dataclass(frozen=True)
class Result:
    """What one run measured. A figure that its scenario does not have is None."""

    requests_per_second: float | None
    # user and system time of every process of the server
    cpu_microseconds: float | None
    # milliseconds; None where wrk can't tell (pipelining)
    p50: float | None
    p99: float | None
    # megabytes of the whole process tree, shared pages counted in part (PSS)
    megabytes: float | None
    # answers other than 2xx, broken connections, time-outs
    faults: int
    # what only this kind of scenario has, by the name of its column
    extra: dict[str, float] = field(default_factory=dict)
    # whether a first piece left while the application waited before its second; None where that was not asked
    streams: bool | None = None


@dataclass(frozen=True)
class Bench:
    """Where and for how long is measured."""

    environment: Environment
    # the one without a GIL, if any scenario is about threads and there is one
    free_threaded: Environment | None
    cores: Cores
    # of load, and of warming up before
    seconds: float
    warm_up: float

    def run(self, peer: Peer, scenario: Scenario) -> Result:
        """Starts, warms, measures and stops one server in one scenario. Raises UnavailableError."""
        if peer is ALONE:
            return self._alone(scenario)
        if why := peer.cannot(scenario):
            raise UnavailableError(why)
        if scenario.kind is Kind.START:
            return self._starts(peer, scenario)
        if scenario.kind is Kind.THREADS:
            return self._threads(peer, scenario)
        with self._started(peer, scenario) as (server, port):
            if scenario.kind is Kind.MIX:
                return self._mix(server, port, scenario)
            if scenario.kind is Kind.IDLE:
                return self._idle(server, port, scenario)
            result = self._load(server, port, scenario, peer.is_floor)
        if scenario.gated:
            result = replace(result, streams=self._streams(peer, scenario))
        return result

    def _streams(self, peer: Peer, scenario: Scenario) -> bool:
        """Whether it sends a piece before the application makes the next one (PEP 3333, Buffering and Streaming)."""
        gated = replace(scenario, application=scenario.gated, answer=OPEN)
        with self._started(peer, gated) as (_, port):
            return streams(port)

    @contextlib.contextmanager
    def _started(self, peer: Peer, scenario: Scenario) -> Iterator[tuple[Server, int]]:
        """A server that answers the scenario's request as it should, and its port."""
        port = free_port()
        command = peer.start(Start(self._environment(scenario), scenario, port))
        with launched([*self.cores.of(scenario), *command], APPS) as server:
            server.await_start(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
            check(scenario, port, length_only=peer.is_floor)
            yield server, port
            said = server.ended()
            if said is not None:
                raise UnavailableError(said)
            # After the load as well as before it.
            check(scenario, port, length_only=peer.is_floor, patience=SETTLED_WITHIN)

    def _environment(self, scenario: Scenario) -> Environment:
        if not scenario.threads:
            return self.environment
        if self.free_threaded is None:
            raise UnavailableError("there is no free-threaded interpreter")
        return self.free_threaded

    def _threads(self, peer: Peer, scenario: Scenario) -> Result:
        """What several threads of one process do, beside what one does."""
        rates, result = [], None
        for threads in (1, scenario.threads):
            part = replace(scenario, threads=threads)
            with self._started(peer, part) as (server, port):
                result = self._load(server, port, part, peer.is_floor)
            rates.append(result.requests_per_second or 0.0)
        assert result is not None
        return replace(result, extra={ONE_THREAD: rates[0], GAIN: rates[1] / rates[0]})

    def _load(self, server: Server, port: int, scenario: Scenario, is_floor: bool) -> Result:
        def ask(seconds: float) -> Seen:
            return load.wrk(scenario, port, self.cores.load, seconds, scenario.connections)

        ask(self.warm_up)
        _settle(server, scenario, port, length_only=is_floor)
        seen, spent = _spent(server, lambda: ask(self.seconds * scenario.times))
        return _result(server, seen, spent, with_latency=scenario.pipelined == 1)

    def _mix(self, server: Server, port: int, scenario: Scenario) -> Result:
        def ask(seconds: float, with_slow: bool) -> Seen:
            return load.mix(port, self.cores.load, seconds, scenario.connections, with_slow)

        ask(self.warm_up, with_slow=True)
        _settle(server, scenario, port)
        alone = ask(self.seconds, with_slow=False)
        _settle(server, scenario, port)
        seen, spent = _spent(server, lambda: ask(self.seconds, with_slow=True))
        return _result(server, seen, spent, extra={"p50 alone ms": alone.p50})

    def _idle(self, server: Server, port: int, scenario: Scenario) -> Result:
        # What the first requests make a server allocate is not the connections'.
        load.wrk(scenario, port, self.cores.load, self.warm_up, 64)
        _settle(server, scenario, port)
        before = server.megabytes()
        with load.held(scenario, port) as connections:
            kilobytes = (server.megabytes() - before) * 1024 / len(connections)
            rests_after = rest(server.waits)
            waits, began = server.waits(), server.cpu_seconds()
            time.sleep(WATCHED)
            waits, rested = server.waits() - waits, server.cpu_seconds() - began
            gone = load.closed(connections)
            if gone:
                raise UnavailableError(f"it closed {gone:,} of {len(connections):,} idle connections")
            seen, spent = _spent(server, lambda: load.wrk(scenario, port, self.cores.load, self.seconds, BUSY))
            extra = {
                "KB/connection": kilobytes,
                "rests after s": rests_after,
                "idle CPU ms/s": rested * 1000 / WATCHED,
                "wake-ups/s": waits / WATCHED,
            }
            return _result(server, seen, spent, extra=extra)

    def _starts(self, peer: Peer, scenario: Scenario) -> Result:
        answered, imported, cpu, megabytes = [], [], [], []
        for _ in range(STARTS):
            imported.append(self._import(scenario))
            port = free_port()
            command = [*self.cores.of(scenario), *peer.start(Start(self.environment, scenario, port))]
            began = time.perf_counter()
            with launched(command, APPS) as server:
                server.await_start(lambda port=port: check(scenario, port), pause=0.0005)  # type: ignore[misc]
                answered.append((time.perf_counter() - began) * 1000)
                cpu.append(server.cpu_seconds() * 1000)
                megabytes.append(server.megabytes())
        start, plain = statistics.median(answered), statistics.median(imported)
        extra = {"ms to answer": start, "over import": start - plain, "CPU ms": statistics.median(cpu)}
        return Result(None, None, None, None, statistics.median(megabytes), 0, extra)

    def _import(self, scenario: Scenario) -> float:
        """Milliseconds that Python needs to start, import the application and end."""
        module = scenario.application.partition(":")[0]
        command = [*self.cores.of(scenario), str(self.environment.python), "-c", f"import {module}"]
        began = time.perf_counter()
        subprocess.run(command, cwd=APPS, env=plain_environment(APPS), check=True)
        return (time.perf_counter() - began) * 1000

    def _alone(self, scenario: Scenario) -> Result:
        command = [*self.cores.of(scenario), *ALONE.start(Start(self.environment, scenario, 0))]
        command += [scenario.path, str(self.seconds)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=APPS, env=plain_environment(APPS), check=False
        )
        if done.returncode != 0:
            raise UnavailableError(f"the application failed: {done.stderr.strip().splitlines()[-1]}")
        said: dict[str, float] = json.loads(done.stdout)
        if said["length"] != len(scenario.answer):
            raise UnavailableError(f"the application gave {said['length']} bytes")
        return Result(said["calls"] / said["seconds"], said["seconds"] / said["calls"] * 1e6, None, None, None, 0)


def prepare() -> None:
    """What the load generators and the applications need. Raises UnavailableError."""
    BUILD.mkdir(exist_ok=True)
    (BUILD / "megabyte.txt").write_bytes(LINE * 16384)
    compile_c("mix", ["clients/mix.c"])
    load.allow_descriptors(12_000)


def _settle(server: Server, scenario: Scenario, port: int, length_only: bool = False) -> None:
    """Waits until what the last load has left behind is done: its clients are gone, but not all their requests."""
    check(scenario, port, length_only, SETTLED_WITHIN)
    until = time.monotonic() + SETTLED_WITHIN
    before = server.cpu_seconds()
    while time.monotonic() < until:
        time.sleep(PAUSE)
        now = server.cpu_seconds()
        if now - before < PAUSE / 50:
            return
        before = now


def rest(waits: Callable[[], int]) -> float:
    """Waits until the server rests, and says after how many seconds it has; the whole time where it does not."""
    began = last = time.monotonic()
    before = waits()
    while (now := time.monotonic()) - last < RESTED:
        if now - began >= RESTS_WITHIN:
            return RESTS_WITHIN
        time.sleep(PAUSE)
        if (after := waits()) != before:
            before, last = after, time.monotonic()
    return last - began


def _spent(server: Server, ask: Callable[[], Seen]) -> tuple[Seen, float]:
    """What the load saw, and the seconds of processor time that it cost the server."""
    before = server.cpu_seconds()
    seen = ask()
    return seen, server.cpu_seconds() - before


def _result(
    server: Server, seen: Seen, spent: float, *, with_latency: bool = True, extra: dict[str, float] | None = None
) -> Result:
    if seen.requests == 0:
        raise UnavailableError(f"not one request was answered in {seen.seconds:.1f} s")
    return Result(
        requests_per_second=seen.requests / seen.seconds,
        cpu_microseconds=spent / seen.requests * 1e6,
        p50=seen.p50 if with_latency else None,
        p99=seen.p99 if with_latency else None,
        megabytes=server.megabytes(),
        faults=seen.faults,
        extra=extra or {},
    )
