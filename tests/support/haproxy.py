"""A real HAProxy in front of a server, at a socket that the test made."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import program

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
    haproxy = program("haproxy", package="haproxy")
    configuration = directory / "haproxy.cfg"
    configuration.write_text(
        CONFIGURATION.format(mode=mode, fd=made.fileno(), target=target, sends=sends, options=options)
    )
    process = subprocess.Popen(
        [haproxy, "-db", "-q", "-f", str(configuration)],
        pass_fds=[made.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield
        assert process.poll() is None, "HAProxy has ended"
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            print(process.stderr.read().decode())
            process.stderr.close()
