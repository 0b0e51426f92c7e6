"""The fixtures: servers that run for one test, or for all tests of a module that ask for the same."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.server import APPS, Server

# A shell has what it starts in the background ignore it, and servers would inherit that: none would hear Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Serve(Protocol):
    def __call__(
        self,
        application: str | None,
        *flags: str,
        bind: str | None = "127.0.0.1:0",
        cwd: Path = APPS,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        command: Sequence[str] = (),
    ) -> Server: ...


Served = Callable[..., Server]


def start(
    application: str | None,
    *flags: str,
    bind: str | None = "127.0.0.1:0",
    cwd: Path = APPS,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    command: Sequence[str] = (),
) -> Server:
    where = ["-b", bind] if bind is not None else []
    what = [application] if application is not None else []
    return Server(*where, *what, *flags, cwd=cwd, env=env, pass_fds=pass_fds, command=command)


def stop_all(servers: list[Server]) -> None:
    """Stops every one, then tells of the first that did not end well."""
    faults = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as fault:
            faults.append(fault)
    if faults:
        raise faults[0]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server for this test alone; it is stopped, and checked to have ended well, after it."""
    servers: list[Server] = []

    def started(
        application: str | None,
        *flags: str,
        bind: str | None = "127.0.0.1:0",
        cwd: Path = APPS,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        command: Sequence[str] = (),
    ) -> Server:
        server = start(application, *flags, bind=bind, cwd=cwd, env=env, pass_fds=pass_fds, command=command)
        servers.append(server)
        return server

    yield started
    stop_all(servers)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server that the tests of a module share, one for each application and set of flags."""
    servers: dict[tuple[str, ...], Server] = {}

    def shared(application: str, *flags: str) -> Server:
        asked = (application, *flags)
        if asked not in servers:
            servers[asked] = start(application, *flags)
        return servers[asked]

    yield shared
    stop_all(list(servers.values()))
