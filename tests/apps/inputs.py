"""Reads the body by each method of wsgi.input."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class Readable(Protocol):
    """What wsgi.input and io.BytesIO share."""

    def read(self, size: int | None = ..., /) -> bytes: ...
    def readline(self, size: int = ..., /) -> bytes: ...
    def readlines(self, hint: int = ..., /) -> list[bytes]: ...
    def readinto(self, into: bytearray, /) -> int: ...
    def __iter__(self) -> Any: ...


def until_empty(piece: Callable[[], bytes]) -> list[bytes]:
    return list(iter(piece, b""))


def into_buffers(body: Readable) -> list[bytes]:
    pieces = []
    buffer = bytearray(701)
    while count := body.readinto(buffer):
        pieces.append(bytes(buffer[:count]))
    return pieces


def mixed(body: Readable) -> list[bytes]:
    """One method after the other, each going on where the last one ended."""
    return [
        body.read(2),
        body.readline(),
        body.readline(3),
        body.read(0),
        *body.readlines(1),
        next(iter(body), b""),
        body.read(),
    ]


# Each reads all of a body, and io.BytesIO is the measure of what it should give.
WAYS: dict[str, Callable[[Readable], list[bytes]]] = {
    "read": lambda body: [body.read()],
    "read_all": lambda body: [body.read(-1)],
    "read_none": lambda body: [body.read(None)],
    "read_one": lambda body: until_empty(lambda: body.read(1)),
    "read_some": lambda body: until_empty(lambda: body.read(1000)),
    "read_too_much": lambda body: until_empty(lambda: body.read(1 << 24)),
    "readline": lambda body: until_empty(body.readline),
    "readline_bounded": lambda body: until_empty(lambda: body.readline(4)),
    "readline_unbounded": lambda body: until_empty(lambda: body.readline(-1)),
    "readlines": lambda body: body.readlines(),
    "readlines_hint": lambda body: [line for lines in iter(lambda: body.readlines(5), []) for line in lines],
    "iterate": lambda body: list(body),
    "readinto": into_buffers,
    "mixed": mixed,
}

# wsgiref.validate forbids read() without a size and knows no readinto.
CHECKED_WAYS = [name for name in WAYS if name not in {"read", "readinto", "mixed"}]


def by_way(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The pieces that the method gave, and that the end stays the end."""
    way = parse_qs(environ["QUERY_STRING"])["way"][0]
    body: Any = environ["wsgi.input"]
    pieces = WAYS[way](body)
    ends = [body.read(10), body.readline(), body.read(-1), b"".join(body.readlines()), b"".join(body)]
    told = {
        "pieces": [piece.decode("latin-1") for piece in pieces],
        "ends": [end.decode("latin-1") for end in ends],
        "length": environ.get("CONTENT_LENGTH"),
        "coding": environ.get("HTTP_TRANSFER_ENCODING"),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The body, piece by piece."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(lambda: environ["wsgi.input"].read(65536), b"")


def ignore(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Reads nothing."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ignored"]


_kept: list[Any] = []
# Guards nothing but the count of calls, which other threads read.
_calls_lock = threading.Lock()
_calls = 0


def keep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Keeps the input beyond the request."""
    _kept.append(environ["wsgi.input"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"kept"]


def use_kept(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What each method says of an input that was kept."""
    body = _kept.pop()
    said = {}
    calls: dict[str, Callable[[], Any]] = {
        "read": lambda: body.read(1),
        "readline": lambda: body.readline(),
        "readlines": lambda: body.readlines(),
        "iterate": lambda: next(iter(body)),
        "readinto": lambda: body.readinto(bytearray(1)),
    }
    for name, call in calls.items():
        try:
            said[name] = f"returned {call()!r}"
        except Exception as error:
            said[name] = type(error).__name__
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]


def count(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How often it was called, this time included."""
    global _calls
    with _calls_lock:
        _calls += 1
        calls = _calls
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(calls).encode()]


def told(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Reads, and tells the client and the log how that went."""
    lengths = f"{environ.get('CONTENT_LENGTH')} {environ.get('wsgi.input_terminated')}"
    try:
        note = f"read {len(environ['wsgi.input'].read(-1))} of {lengths}"
    except OSError as error:
        note = f"OSError of {lengths}: {error}"
    print(f"{environ['QUERY_STRING']}: {note}", file=environ["wsgi.errors"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [note.encode()]


APPS = {
    "by_way": by_way,
    "echo": echo,
    "ignore": ignore,
    "keep": keep,
    "use_kept": use_kept,
    "count": count,
    "told": told,
}
