"""Ways of answering that PEP 3333 allows."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN = ("Content-Type", "text/plain")


def one(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A single bytes object: its length is known."""
    start_response("200 OK", [PLAIN])
    return [b"one piece"]


def nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """No piece at all."""
    start_response("200 OK", [PLAIN])
    return []


def as_tuple(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return (b"a tuple", b" of ", b"pieces")


def subclassed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Status, names and pieces of the very types; a list of pieces with empty ones between."""
    start_response("200 OK", [PLAIN])
    return [b"", b"first", b"", b"second", b""]


def generator(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """start_response is called when the first piece is asked for."""
    start_response("200 OK", [PLAIN])
    yield b"first "
    yield b"second "
    yield b"third"


_gates: dict[str, threading.Event] = {}
# Guards the gates: a request may open one before the other request waits at it.
_gates_lock = threading.Lock()


def _gate(environ: WSGIEnvironment) -> threading.Event:
    with _gates_lock:
        return _gates.setdefault(environ["QUERY_STRING"], threading.Event())


def gated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """The second piece is made only after another request opened the gate of the same name."""
    start_response("200 OK", [PLAIN])
    yield b"before the gate"
    passed = _gate(environ).wait(60)
    yield b"after the gate" if passed else b"the gate stayed shut"


def burst_gated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """As `gated`, with several pieces right behind each other before the gate."""
    start_response("200 OK", [PLAIN])
    yield from (b"one", b"two", b"three", b"before the gate")
    passed = _gate(environ).wait(60)
    yield b"after the gate" if passed else b"the gate stayed shut"


def _await_word(environ: WSGIEnvironment) -> None:
    with socket.create_connection(("127.0.0.1", int(environ["QUERY_STRING"])), 60) as teller:
        teller.recv(1)


def told(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """The second piece is made only after whoever listens at the port that is the query string has let it."""
    start_response("200 OK", [PLAIN])
    yield b"before the word"
    _await_word(environ)
    yield b"after the word"


def told_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As `told`, by write()."""
    write = start_response("200 OK", [PLAIN])
    write(b"before the word")
    _await_word(environ)
    write(b"after the word")
    return []


def open_gate(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _gate(environ).set()
    start_response("200 OK", [PLAIN])
    return [b"opened"]


def gated_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As `gated`, by write()."""
    write = start_response("200 OK", [PLAIN])
    write(b"before the gate")
    passed = _gate(environ).wait(60)
    write(b"after the gate" if passed else b"the gate stayed shut")
    return []


def burst_gated_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As `burst_gated`, by write()."""
    write = start_response("200 OK", [PLAIN])
    for piece in (b"one", b"two", b"three", b"before the gate"):
        write(piece)
    passed = _gate(environ).wait(60)
    write(b"after the gate" if passed else b"the gate stayed shut")
    return []


def written(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """write() first, then what is returned."""
    write = start_response("200 OK", [PLAIN])
    write(b"written, ")
    write(b"")
    write(b"written again, ")
    return [b"returned"]


def replaced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An error before the first byte: the second start_response, with exc_info, replaces the first."""
    start_response("200 OK", [PLAIN, ("X-First", "yes")])
    try:
        raise LookupError("seen by the application")
    except LookupError:
        start_response("503 Come Back Later", [PLAIN, ("X-Second", "yes")], sys.exc_info())
    return [b"replaced"]


def replaced_after_empty(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Empty pieces don't send the head, so it can still be replaced."""
    start_response("200 OK", [PLAIN])
    yield b""
    yield b""
    try:
        raise LookupError("seen by the application")
    except LookupError:
        start_response("503 Come Back Later", [PLAIN], sys.exc_info())
    yield b"replaced"


def too_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """start_response with exc_info after the first byte raises what exc_info holds."""
    start_response("200 OK", [PLAIN])
    yield b"sent already"
    try:
        raise LookupError("too late to replace the head")
    except LookupError:
        start_response("500 Too Late", [PLAIN], sys.exc_info())
    yield b"must not be sent"


def asked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The status, fields and body that the query asks for: ?status=204+No+Content&X-A=1&body=text&body=more"""
    status, fields, body = "200 OK", [], []
    for name, value in parse_qsl(environ["QUERY_STRING"], keep_blank_values=True, encoding="latin-1"):
        if name == "status":
            status = value
        elif name == "body":
            body.append(value.encode("latin-1"))
        else:
            fields.append((name, value))
    start_response(status, fields)
    return body


def sized(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """A generator with a Content-Length: ?announced,given"""
    announced, given = environ["QUERY_STRING"].split(",")
    start_response("200 OK", [PLAIN, ("Content-Length", announced)])
    for start in range(0, int(given), 10):
        yield b"0123456789"[: int(given) - start]


def breaks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """An error after the first piece: ?length announces one."""
    length = environ["QUERY_STRING"]
    start_response("200 OK", [PLAIN, ("Content-Length", length)] if length else [PLAIN])
    yield b"the first piece"
    raise RuntimeError("a secret in the middle of the body")


def hints(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Early hints, where the server offers them."""
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
    start_response("200 OK", [PLAIN])
    return [b"hinted"]


APPS = {
    "one": one,
    "nothing": nothing,
    "as_tuple": as_tuple,
    "subclassed": subclassed,
    "generator": generator,
    "gated": gated,
    "open_gate": open_gate,
    "gated_write": gated_write,
    "burst_gated": burst_gated,
    "burst_gated_write": burst_gated_write,
    "told": told,
    "told_write": told_write,
    "written": written,
    "replaced": replaced,
    "replaced_after_empty": replaced_after_empty,
    "too_late": too_late,
    "asked": asked,
    "sized": sized,
    "breaks": breaks,
    "hints": hints,
}
