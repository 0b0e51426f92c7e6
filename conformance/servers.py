"""Which servers are asked, with which settings, and how each is started. Bench says which versions the peers have."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from client import ask
from environment import Environment, UnavailableError
from peers import PEERS
from process import free_port, launched

APPS = Path(__file__).resolve().parent / "apps"
APPLICATION = "saw:application"

# A body that never comes holds a thread of some servers: there are twice as many as connections at once.
THREADS = 32

# The limits that the corpus is written for; tests/test_corpus.py has the same.
LIMITS = [
    *("--limit-request-line", "8190", "--limit-request-fields", "100", "--limit-request-field-size", "8190"),
    *("--limit-request-head", "32k", "--limit-request-body", "1M"),
    *("--limit-chunk-extensions", "4k", "--limit-request-trailers", "4k"),
]


@dataclass(frozen=True)
class Contestant:
    """A server and how it is started."""

    name: str
    # the command for a port, from the environment that holds the peers
    command: Callable[[Environment, int], list[str]]
    # what the tables say of its settings
    settings: str
    # its name in bench, or none for what is installed beside this program
    peer: str = ""

    @property
    def is_ours(self) -> bool:
        return not self.peer

    def prepare(self, environment: Environment) -> str:
        """Installs it where that is to be done, and says its version. Raises UnavailableError."""
        if self.is_ours:
            return version("whiskyjack")
        requirements = next(peer.requirements for peer in PEERS if peer.name == self.peer)
        environment.install(*requirements)
        package = requirements[0].partition("==")[0]
        return environment.run(f"from importlib.metadata import version; print(version({package!r}))")

    @contextlib.contextmanager
    def started(self, environment: Environment) -> Iterator[int]:
        """The port on which it answers."""
        port = free_port()
        with launched(self.command(environment, port), APPS) as server:
            server.await_start(lambda: ask(port, "/marks"))
            yield port
            said = server.ended()
            if said is not None:
                raise UnavailableError(said)


def _whiskyjack(_environment: Environment, port: int) -> list[str]:
    bind = ["-b", f"127.0.0.1:{port}", "--threads", str(THREADS)]
    return [sys.executable, "-m", "whiskyjack", *bind, *LIMITS, APPLICATION]


def _gunicorn(environment: Environment, port: int) -> list[str]:
    flags = ["-k", "gthread", "--threads", str(THREADS), "--no-control-socket"]
    return [environment.command("gunicorn"), "-b", f"127.0.0.1:{port}", *flags, APPLICATION]


def _granian(environment: Environment, port: int) -> list[str]:
    bind = ["--host", "127.0.0.1", "--port", str(port)]
    flags = ["--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "1", "--blocking-threads", str(THREADS)]
    return [environment.command("granian"), *flags, *bind, APPLICATION]


def _waitress(environment: Environment, port: int) -> list[str]:
    bind = ["--host=127.0.0.1", f"--port={port}", f"--threads={THREADS}"]
    return [environment.command("waitress-serve"), *bind, APPLICATION]


CONTESTANTS = (
    Contestant("whiskyjack", _whiskyjack, f"`--threads {THREADS}` and the limits that the corpus is written for"),
    Contestant("gunicorn", _gunicorn, f"`-k gthread --threads {THREADS}`", "gunicorn gthread"),
    Contestant(
        "Granian",
        _granian,
        f"`--interface wsgi --http 1 --no-ws --workers 1 --blocking-threads {THREADS}`",
        "granian",
    ),
    Contestant("waitress", _waitress, f"`--threads={THREADS}`", "waitress"),
)
