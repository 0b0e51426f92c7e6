"""A started server and all its processes: what they cost, and how they are ended. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from environment import UnavailableError

TICKS = os.sysconf("SC_CLK_TCK")
STARTED_WITHIN = 20.0


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
        seconds = 0.0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                seconds += time.clock_gettime(_processor_clock(pid)) + _stat(pid).ticks_of_ended / TICKS
        return seconds

    def waits(self) -> int:
        """How often a thread has given up the processor because it had to wait: each ends with a wake-up."""
        waits = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                for status in Path(f"/proc/{pid}/task").glob("*/status"):
                    for line in status.read_text().splitlines():
                        if line.startswith("voluntary_ctxt_switches:"):
                            waits += int(line.split()[1])
        return waits

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
        # Servers that refuse an argument explain it first and how to get help last.
        said = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it said nothing")
        return f"it ended with code {self._process.returncode}: {said}"

    def await_start(self, answers: Callable[[], object], pause: float = 0.02) -> None:
        """Waits until `answers` raises no OSError. Raises UnavailableError where it ends or is too late."""
        until = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < until:
            said = self.ended()
            if said is not None:
                raise UnavailableError(said)
            with contextlib.suppress(OSError):
                answers()
                return
            time.sleep(pause)
        raise UnavailableError(f"it does not answer after {STARTED_WITHIN:.0f} s")

    def stop(self) -> None:
        """Ends it and every process it has started."""
        for wish in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, wish)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(3)
                # The leader is gone; workers that outlive it are not wanted either.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                return


@contextlib.contextmanager
def launched(command: list[str], directory: Path) -> Iterator[Server]:
    """Starts a command in a session of its own, and ends all of it."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=plain_environment(directory),
        )
        server = Server(process, log)
        try:
            yield server
        finally:
            server.stop()


def plain_environment(apps: Path) -> dict[str, str]:
    """Ours, without the settings that a server would take from it. What lies in `apps` can be imported."""
    prefixes = ("WHISKYJACK_", "GUNICORN_", "GRANIAN_", "UWSGI_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    for name in ("PORT", "WEB_CONCURRENCY", "VIRTUAL_ENV"):
        kept.pop(name, None)
    return kept | {"PYTHONPATH": str(apps), "PYTHONDONTWRITEBYTECODE": "1"}


def free_port() -> int:
    """A port that nobody has. Most servers can't be asked for theirs."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class _Stat:
    parent: int
    ticks_of_ended: int


def _processor_clock(pid: int) -> int:
    """The clock of clock_getcpuclockid(3), which Python lacks: user and system time to the nanosecond, of all threads
    that a process has had. The fields of /proc/PID/stat are rounded to a hundredth of a second."""
    return ~pid << 3 | 2


def _stat(pid: int) -> _Stat:
    # The name in parentheses may hold spaces: the fields are counted behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _Stat(parent=int(fields[1]), ticks_of_ended=int(fields[13]) + int(fields[14]))
