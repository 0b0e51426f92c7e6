"""What the system knows of a running server: memory, descriptors, system calls. Linux only."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server

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
