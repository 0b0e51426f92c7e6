"""A real HAProxy in front of a server, at a socket that the test made."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.programs import program
from tests.support.proxies import changed, documented

CONFIGURATION = """
defaults
    mode {mode}
    timeout connect 30s
    timeout client 30s
    timeout server 30s

listen front
    bind fd@{fd}
    {options}
    server back {target} {sends}
"""


@contextlib.contextmanager
def in_front(
    made: socket.socket, target: str, sends: str, directory: Path, *, mode: str = "tcp", options: str = ""
) -> Iterator[None]:
    """HAProxy serves the socket, and connects to `target` with what `sends` says.

    The socket listens already: who connects is served as soon as HAProxy has begun.
    """
    configuration = CONFIGURATION.format(mode=mode, fd=made.fileno(), target=target, sends=sends, options=options)
    with _running(configuration, made, directory):
        yield


BALANCING = """
global
    stats socket {directory}/haproxy.sock level admin

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s

frontend web
    bind fd@{fd}
    default_backend shop

{backend}
"""


class Balancer:
    """A HAProxy that spreads requests, as its own control socket shows it."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._path = path
        self._process = process

    def up(self) -> set[str]:
        """The names of the servers that it holds healthy; none before it has begun."""
        assert self._process.poll() is None, "HAProxy has ended"
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                return set()
            connection.sendall(b"show servers state shop\n")
            connection.shutdown(socket.SHUT_WR)
            lines = connection.makefile().read().splitlines()
        rows = [line.split() for line in lines[2:] if line]
        # After the numbers and names of backend and server, and its address, comes its state: 2 is running.
        return {row[3] for row in rows if row[5] == "2"}


@contextlib.contextmanager
def balancing(
    made: socket.socket, one: str, two: str, directory: Path, within: Sequence[str] = ()
) -> Iterator[Balancer]:
    """HAProxy serves the socket, and spreads requests over two servers as docs/behind-a-proxy.md recommends.

    The words of `within` stand before its command.
    """
    changes = {"one 10.0.0.1:8000": f"one {one}", "two 10.0.0.2:8000": f"two {two}", "inter 1s": "inter 100ms"}
    backend = changed(documented("Several servers", "haproxy"), changes)
    configuration = BALANCING.format(fd=made.fileno(), directory=directory, backend=backend)
    with _running(configuration, made, directory, within) as process:
        yield Balancer(directory / "haproxy.sock", process)


@contextlib.contextmanager
def _running(
    text: str, made: socket.socket, directory: Path, within: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    haproxy = program("haproxy", package="haproxy")
    configuration = directory / "haproxy.cfg"
    configuration.write_text(text)
    process = subprocess.Popen(
        [*within, haproxy, "-db", "-q", "-f", str(configuration)],
        pass_fds=[made.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
        assert process.poll() is None, "HAProxy has ended"
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            print(process.stderr.read().decode())
            process.stderr.close()
