"""One run: starts a server on its core, loads it from the other, and reads what it cost. Linux only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from peers import APPS, BENCH, Environment, Peer, Start, UnavailableError
from scenarios import Scenario

TICKS = os.sysconf("SC_CLK_TCK")
STARTED_WITHIN = 20.0


@dataclass(frozen=True)
class Cores:
    """Which core the server gets, and which one the load generator."""

    server: int
    load: int

    @staticmethod
    def choose() -> Cores:
        """The last and the first that we may use. The same one if there is but one."""
        allowed = sorted(os.sched_getaffinity(0))
        return Cores(server=allowed[-1], load=allowed[0])


@dataclass(frozen=True)
class Result:
    """What one run measured."""

    requests_per_second: float
    # user and system time of every process of the server
    cpu_microseconds: float
    # milliseconds; None where wrk can't tell (pipelining)
    p50: float | None
    p99: float | None
    # megabytes of the whole process tree, shared pages counted in part (PSS)
    megabytes: float
    # answers other than 2xx, broken connections, time-outs
    faults: int


class Server:
    """A started server and all its processes."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process = process
        self._log = log

    def _tree(self) -> list[int]:
        """The process and its descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    children.setdefault(_stat(int(entry.name)).parent, []).append(int(entry.name))
        found = [self._process.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu_seconds(self) -> float:
        """User and system time so far, of those that have ended too."""
        ticks = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                ticks += _stat(pid).ticks
        return ticks / TICKS

    def megabytes(self) -> float:
        """Proportional set size of the whole tree."""
        kilobytes = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        kilobytes += int(line.split()[1])
        return kilobytes / 1024

    def ended(self) -> str | None:
        """What it said last, if it has ended."""
        if self._process.poll() is None:
            return None
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else "it said nothing"
        return f"it ended with code {self._process.returncode}: {said}"

    def stop(self) -> None:
        """Ends it and every process it has started."""
        for wish in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, wish)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
                # The leader is gone; workers that outlive it are not wanted either.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                return


@dataclass(frozen=True)
class _Stat:
    parent: int
    ticks: int


def _stat(pid: int) -> _Stat:
    """The fields of /proc/PID/stat (proc_pid_stat(5)) that matter here."""
    # The second field is a name in parentheses that may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _Stat(parent=int(fields[1]), ticks=sum(int(field) for field in fields[11:15]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def started(peer: Peer, scenario: Scenario, environment: Environment, cores: Cores) -> Iterator[tuple[Server, int]]:
    """A server that answers the scenario's request as it should, and its port."""
    port = _free_port()
    command = peer.start(Start(environment, scenario, port))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(cores.server), *command],
            cwd=APPS,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=plain_environment(APPS),
        )
        server = Server(process, log)
        try:
            _await_listening(server, port)
            _check_answer(scenario, peer, port)
            yield server, port
        finally:
            server.stop()


def plain_environment(apps: Path) -> dict[str, str]:
    """Ours, without the settings that a server would take from it. What lies in `apps` can be imported."""
    prefixes = ("WHISKYJACK_", "GUNICORN_", "GRANIAN_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    for name in ("PORT", "WEB_CONCURRENCY", "VIRTUAL_ENV"):
        kept.pop(name, None)
    return kept | {"PYTHONPATH": str(apps), "PYTHONDONTWRITEBYTECODE": "1"}


def _await_listening(server: Server, port: int) -> None:
    until = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < until:
        said = server.ended()
        if said is not None:
            raise UnavailableError(said)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise UnavailableError(f"it does not listen after {STARTED_WITHIN:.0f} s")


def _check_answer(scenario: Scenario, peer: Peer, port: int) -> None:
    """A fast wrong answer is worth nothing: every request of the batch has to be answered rightly."""
    request = f"GET {scenario.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(request * scenario.pipelined)
        stream = connection.makefile("rb")
        try:
            for number in range(1, scenario.pipelined + 1):
                status, body = _read_answer(stream)
                # The kernel's floor has no application, and so only the length of its answer.
                right = peer.is_floor or body.startswith(scenario.begins)
                if status != 200 or len(body) != scenario.length or not right:
                    raise UnavailableError(
                        f"wrong answer {number} of {scenario.pipelined}: {status}, {len(body)} bytes"
                    )
        except (OSError, ValueError) as error:
            raise UnavailableError(f"answer {number} of {scenario.pipelined} did not come: {error}") from error


def _read_answer(stream: IO[bytes]) -> tuple[int, bytes]:
    """One response. Its body is delimited by Content-Length or chunked."""
    line = stream.readline()
    if not line:
        raise ValueError("the connection was closed")
    status = int(line.split()[1])
    fields: dict[bytes, bytes] = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    if fields.get(b"transfer-encoding", b"").lower() != b"chunked":
        return status, stream.read(int(fields[b"content-length"]))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return status, body


def run(peer: Peer, scenario: Scenario, environment: Environment, cores: Cores, seconds: float) -> Result:
    """Starts, warms, measures and stops one server in one scenario."""
    with started(peer, scenario, environment, cores) as (server, port):
        _load(scenario, port, cores, 1)
        before = server.cpu_seconds()
        seen = _load(scenario, port, cores, seconds)
        spent = server.cpu_seconds() - before
        said = server.ended()
        if said is not None:
            raise UnavailableError(said)
        requests = int(seen["requests"])
        if requests == 0:
            raise UnavailableError("not one request was answered")
        with_latency = scenario.pipelined == 1
        return Result(
            requests_per_second=requests / (seen["microseconds"] / 1e6),
            cpu_microseconds=spent / requests * 1e6,
            p50=seen["p50"] / 1000 if with_latency else None,
            p99=seen["p99"] / 1000 if with_latency else None,
            megabytes=server.megabytes(),
            faults=int(seen["socket_errors"] + seen["bad_status"] + seen["timeouts"]),
        )


def _load(scenario: Scenario, port: int, cores: Cores, seconds: float) -> dict[str, float]:
    """Runs wrk, and gives what report.lua prints."""
    # fmt: off
    command = [
        "taskset", "-c", str(cores.load),
        "wrk", "-t", "1", "-c", str(scenario.connections), "-d", f"{max(1, round(seconds))}s",
        "-s", scenario.script, f"http://127.0.0.1:{port}{scenario.path}",
    ]
    # fmt: on
    done = subprocess.run(
        command,
        cwd=BENCH / "wrk",
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines or not lines[-1].startswith("{"):
        raise UnavailableError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    seen: dict[str, float] = json.loads(lines[-1])
    return seen
