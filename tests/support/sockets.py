"""Sockets that stand in a server's way, or that a server is given. The only other place where tests make sockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def listening(at: Path | None = None) -> Iterator[socket.socket]:
    """A socket that listens: at a path, or at a free port of 127.0.0.1."""
    family = socket.AF_INET if at is None else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.bind(("127.0.0.1", 0) if at is None else str(at))
        made.listen(16)
        yield made


def port_of(made: socket.socket) -> int:
    port = made.getsockname()[1]
    assert isinstance(port, int)
    return port


def leave_stale(at: Path) -> None:
    """A socket file whose server is gone."""
    with listening(at):
        pass
    assert at.is_socket()
