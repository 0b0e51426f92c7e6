"""What the system knows of a running server: memory, descriptors, system calls. Linux only."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.server import DEADLINE, Server

MEBIBYTE = 1024 * 1024
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def _number(server: Server, file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+([0-9]+)", Path(f"/proc/{server.worker}/{file}").read_text(), re.MULTILINE)
    assert found is not None, f"/proc/*/{file} has no {name}"
    return int(found[1])


@contextlib.contextmanager
def memory_within(server: Server, most: int) -> Iterator[None]:
    """What is done inside never takes the server more than so many bytes of memory beyond what it had."""
    Path(f"/proc/{server.worker}/clear_refs").write_text("5")  # the peak starts anew
    before = _number(server, "status", "VmRSS")
    yield
    grown = (_number(server, "status", "VmHWM") - before) * 1024
    assert grown < most, f"{grown} bytes more than before, {most} are allowed"


def writes(server: Server) -> int:
    """The calls of write() so far, sockets left out."""
    return _number(server, "io", "syscw")


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.worker}/fd").iterdir()))


def waits(server: Server) -> dict[tuple[int, str], int]:
    """How often each thread of the server's processes has given up its processor to wait, by its number and its name.
    It has been woken as often, or once less."""
    found = {}
    for process in [server.process.pid, *server.loaders(), *server.workers()]:
        for task in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                status = (task / "status").read_text()
                name = re.search(r"^Name:\s+(.*)$", status, re.MULTILINE)
                count = re.search(r"^voluntary_ctxt_switches:\s+([0-9]+)$", status, re.MULTILINE)
                assert name is not None and count is not None, status
                found[int(task.name), name[1]] = int(count[1])
    return found


def woken_within(servers: Sequence[Server], span: float) -> list[dict[tuple[int, str], int]]:
    """How often which threads wake within so many seconds, for each server.

    That nothing happens is no event to wait for.
    """
    before = [waits(server) for server in servers]
    time.sleep(span)
    after = [waits(server) for server in servers]
    return [
        {thread: count - old.get(thread, 0) for thread, count in new.items() if count != old.get(thread, 0)}
        for old, new in zip(before, after, strict=True)
    ]


def wait_for_rest(*servers: Server) -> None:
    """Waits until nothing wakes for two seconds."""
    until = time.monotonic() + DEADLINE
    while any(woken := woken_within(servers, 2)):
        assert time.monotonic() < until, woken
