"""An application that waits, one that answers at length, and one that says which requests it has seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN = ("Content-Type", "text/plain")
LARGE = 32 * 1024 * 1024
_seen: list[str] = []
_released = threading.Event()


def nap(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.05)
    start_response("200 OK", [PLAIN])
    return [environ["QUERY_STRING"].encode()]


def hold(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Says that it was entered, and waits until it is released."""
    print(f"holding {environ['QUERY_STRING']}", file=environ["wsgi.errors"], flush=True)
    _released.wait(60)
    start_response("200 OK", [PLAIN])
    return [b"held"]


def release(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _released.set()
    start_response("200 OK", [PLAIN])
    return [b"released"]


def hang(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Never answers by itself."""
    print("hanging", file=environ["wsgi.errors"], flush=True)
    while True:
        time.sleep(3600)


def linger(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers a moment after it said that it was entered."""
    print("lingering", file=environ["wsgi.errors"], flush=True)
    time.sleep(0.5)
    start_response("200 OK", [PLAIN])
    return [b"finished what was under way"]


def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return [b"x" * LARGE]


def pieces(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As long as `large`, made piece by piece: by `write` where the query says so, else by a generator."""
    write = start_response("200 OK", [PLAIN])
    made = (b"%08d" % number * 1024 for number in range(LARGE // 8192))
    if environ["QUERY_STRING"] != "write":
        return made
    for piece in made:
        write(piece)
    return []


def endless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ends only with its client."""
    start_response("200 OK", [PLAIN])
    try:
        while True:
            yield b"x" * 65536
    finally:
        print("the endless one is closed", file=environ["wsgi.errors"], flush=True)


def length(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How long the body was."""
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", [PLAIN])
    return [str(len(body)).encode()]


def note(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Remembers the target."""
    _seen.append(environ["RAW_URI"])
    start_response("200 OK", [PLAIN])
    return [environ["RAW_URI"].encode("latin-1")]


def seen(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The targets that `note` remembers, one a line."""
    start_response("200 OK", [PLAIN])
    return ["\n".join(_seen).encode("latin-1")]


APPS = {
    "nap": nap,
    "pieces": pieces,
    "endless": endless,
    "hold": hold,
    "release": release,
    "hang": hang,
    "linger": linger,
    "large": large,
    "length": length,
    "note": note,
    "seen": seen,
}
