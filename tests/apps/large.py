"""Large responses in each shape that PEP 3333 knows, and a body whose place in a row can be checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN = ("Content-Type", "text/plain")
PIECE = b"0123456789abcdef" * 65536
PIECES = 16


def whole(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return [PIECE * PIECES]


def listed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return [PIECE] * PIECES


def generated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Says when it was closed."""
    start_response("200 OK", [PLAIN])
    try:
        for _ in range(PIECES):
            yield PIECE
    finally:
        print(f"closed {environ['QUERY_STRING']}", file=environ["wsgi.errors"], flush=True)


def little(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """A generator of what the server holds for a slow client by default."""
    start_response("200 OK", [PLAIN])
    for _ in range(15):
        yield PIECE[:65536]


_kept: list[IO[bytes]] = []


def keep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Opens the file that FILE names."""
    _kept.append(open(os.environ["FILE"], "rb"))  # noqa: SIM115 - the server closes it
    start_response("200 OK", [PLAIN])
    return [b"kept"]


def kept(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The file that was opened."""
    start_response("200 OK", [PLAIN])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](_kept.pop())
    return wrapped


_taken: list[IO[bytes]] = []


def take(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Leaves the process without a descriptor."""
    start_response("200 OK", [PLAIN])
    try:
        while True:
            _taken.append(open(os.devnull, "rb"))  # noqa: SIM115 - that is the point
    except OSError as error:
        return [str(error.errno).encode()]


def give(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Closes what was taken."""
    for file in _taken:
        file.close()
    _taken.clear()
    start_response("200 OK", [PLAIN])
    return [b"given"]


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return [environ["QUERY_STRING"].encode()]


APPS = {
    "whole": whole,
    "listed": listed,
    "generated": generated,
    "little": little,
    "keep": keep,
    "kept": kept,
    "take": take,
    "give": give,
    "echo": echo,
}
