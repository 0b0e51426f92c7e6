"""The applications of the scenarios: as little Python as each needs, so that the server's share shows."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LINE = b"A line of sixty-four bytes, one hundred and sixty of them here.\n"

HELLO = b"Hello, World!"
PAGE = LINE * 160
BIG_PAGE = LINE * 1600
KILOBYTE = LINE * 16
# How long `gated` waits for a word.
GATE_SECONDS = 1.0
MEGABYTE = Path(__file__).resolve().parent.parent / "build" / "megabyte.txt"


def _start(start_response: StartResponse, length: int) -> None:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(length))])


def hello(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Thirteen bytes."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]


def page(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ten kilobytes (10,240 bytes)."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10240")])
    return [PAGE]


def big_page(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A hundred kilobytes (102,400 bytes)."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "102400")])
    return [BIG_PAGE]


def stream(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ten pieces of a kilobyte, each sent as it comes; the whole length is not said."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(10):
        yield KILOBYTE


def gated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Two pieces, and between them a wait for whoever listens at the port that is the query string to say a word.

    The second tells whether one came. A server's only thread may be in here, and no other request could say it then.
    """
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"before the gate, "
    if not (port := environ.get("QUERY_STRING")):
        yield b"which nobody keeps"
        return
    with socket.create_connection(("127.0.0.1", int(port)), GATE_SECONDS) as gate:
        try:
            is_told = gate.recv(1) == b"!"
        except TimeoutError:
            is_told = False
    yield b"which was opened" if is_told else b"which stayed shut"


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The request's body."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    _start(start_response, len(body))
    return [body]


def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A megabyte from a file, by the server's wrapper where it has one."""
    wrapper = environ.get("wsgi.file_wrapper") or _pieces
    _start(start_response, 1 << 20)
    wrapped: Iterable[bytes] = wrapper(MEGABYTE.open("rb"), 64 << 10)
    return wrapped


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    with file:
        while piece := file.read(size):
            yield piece


def sleep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Waits ten milliseconds, as for a database."""
    time.sleep(0.01)
    return hello(environ, start_response)


def nap(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Waits a millisecond, as for a database that is near."""
    time.sleep(0.001)
    return hello(environ, start_response)


def burn(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Needs a millisecond of a processor in Python, however many threads share it."""
    until = time.thread_time_ns() + 1_000_000
    while time.thread_time_ns() < until:
        for _ in range(200):
            pass
    return hello(environ, start_response)


def mix(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Fast, but at /slow it waits for a tenth of a second."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.1)
    return hello(environ, start_response)
