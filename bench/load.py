"""The load generators, on their core: wrk, and for what it can't tell, clients/mix.c and connections of our own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from answers import PATIENCE, read_answer, request
from environment import BENCH, BUILD, UnavailableError
from scenarios import Scenario

# One in so many requests of the mix is a slow one.
EVERY = 20

# For all idle connections together; most servers need one second.
OPENED_WITHIN = 15.0


@dataclass(frozen=True)
class Seen:
    """What a load generator saw."""

    requests: int
    seconds: float
    # milliseconds
    p50: float
    p99: float
    # answers other than 2xx, broken connections, time-outs
    faults: int


def wrk(scenario: Scenario, port: int, core: int, seconds: float, connections: int) -> Seen:
    """Asks as fast as it can."""
    # fmt: off
    command = [
        "taskset", "-c", str(core),
        "wrk", "-t", "1", "-c", str(connections), "-d", "60s",
        "-s", scenario.script, f"http://127.0.0.1:{port}{scenario.path}",
    ]
    # fmt: on
    with subprocess.Popen(
        command,
        cwd=BENCH / "wrk",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "BODY_LENGTH": str(len(scenario.body))},
    ) as process:
        # It knows whole seconds only, but ends at once and prints what it saw when it is interrupted. A signal that
        # comes just before it begins to sleep is lost on it, so that it is sent until it works; one that comes before
        # it has a handler would kill it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        until = time.monotonic() + 30
        while process.poll() is None:
            if _catches(process.pid, signal.SIGINT):
                process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            if time.monotonic() > until:
                process.kill()
                raise UnavailableError("wrk does not end")
        said, _ = process.communicate()
    lines = said.splitlines()
    if process.returncode != 0 or not lines or not lines[-1].startswith("{"):
        raise UnavailableError(f"wrk failed: {said.strip()}")
    seen: dict[str, float] = json.loads(lines[-1])
    return Seen(
        requests=int(seen["requests"]),
        seconds=seen["microseconds"] / 1e6,
        p50=seen["p50"] / 1000,
        p99=seen["p99"] / 1000,
        faults=int(seen["socket_errors"] + seen["bad_status"] + seen["timeouts"]),
    )


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal (proc(5))."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, mask = line.partition(":")
            if name == "SigCgt":
                return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def mix(port: int, core: int, seconds: float, connections: int, with_slow: bool) -> Seen:
    """Asks for fast and slow answers; the percentiles are those of the fast ones."""
    every = EVERY if with_slow else 0
    command = ["taskset", "-c", str(core), str(BUILD / "mix"), str(port), str(connections), str(seconds), str(every)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError("the mix does not end") from error
    if done.returncode != 0:
        raise UnavailableError(f"the mix failed: {done.stderr.strip()}")
    seen: dict[str, float] = json.loads(done.stdout)
    return Seen(
        requests=int(seen["requests"]),
        seconds=seen["seconds"],
        p50=seen["fast_p50"],
        p99=seen["fast_p99"],
        faults=int(seen["faults"]),
    )


@contextlib.contextmanager
def held(scenario: Scenario, port: int) -> Iterator[list[socket.socket]]:
    """Connections that have each been answered once, and say nothing more."""
    connections: list[socket.socket] = []
    asked = request(scenario, port)
    until = time.monotonic() + OPENED_WITHIN
    with contextlib.ExitStack() as stack:
        for number in range(1, scenario.connections + 1):
            if time.monotonic() > until:
                raise UnavailableError(f"it took {OPENED_WITHIN:.0f} s to answer {number:,} connections once")
            try:
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
                connection.sendall(asked)
                with connection.makefile("rb") as stream:
                    read_answer(stream)
            except (OSError, ValueError) as error:
                raise UnavailableError(f"connection {number:,} was not answered: {error}") from error
            connections.append(connection)
        yield connections


def closed(connections: list[socket.socket]) -> int:
    """How many of them the server has closed."""
    found = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            found += connection.recv(1) == b""
        except BlockingIOError:
            continue
        except OSError:
            found += 1
    return found


def allow_descriptors(number: int) -> None:
    """Raises the limit of open files for us and for the servers that we start. Raises UnavailableError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        raise UnavailableError(f"only {hard:,} open files are allowed here, and {number:,} are needed (ulimit -Hn)")
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
