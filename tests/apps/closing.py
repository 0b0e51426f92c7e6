"""Iterables that count how often they are closed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN = ("Content-Type", "text/plain")
_closed: Counter[str] = Counter()
# Guards the counts; whoever closes wakes those who wait.
_changed = threading.Condition()


class Counted:
    """Pieces under a name; closing counts under that name."""

    def __init__(self, name: str, pieces: Iterable[bytes]) -> None:
        self.name = name
        self.pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self.pieces)

    def close(self) -> None:
        with _changed:
            _closed[self.name] += 1
            _changed.notify_all()


def several(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return Counted(environ["QUERY_STRING"], [b"one", b"two"])


def failing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Fails in the middle of the iteration."""

    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise RuntimeError("in the iteration")

    start_response("200 OK", [PLAIN])
    return Counted(environ["QUERY_STRING"], pieces())


def failing_first(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Fails before the first piece."""

    def pieces() -> Iterator[bytes]:
        raise RuntimeError("before the iteration")
        yield b"never"

    start_response("200 OK", [PLAIN])
    return Counted(environ["QUERY_STRING"], pieces())


def excess(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Gives more than it announced."""
    start_response("200 OK", [PLAIN, ("Content-Length", "4")])
    return Counted(environ["QUERY_STRING"], [b"four", b"five"])


def short(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Gives less than it announced."""
    start_response("200 OK", [PLAIN, ("Content-Length", "400")])
    return Counted(environ["QUERY_STRING"], [b"four"])


def bad_item(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return Counted(environ["QUERY_STRING"], ["a string"])  # type: ignore[list-item]


def never_starts(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return Counted(environ["QUERY_STRING"], [b"no head"])


def endless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Goes on for as long as somebody takes it."""

    def pieces() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    start_response("200 OK", [PLAIN])
    return Counted(environ["QUERY_STRING"], pieces())


def no_body(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return Counted(environ["QUERY_STRING"], [])


def close_fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A body that is whole, and a close() that raises after it."""

    class Failing(Counted):
        def close(self) -> None:
            super().close()
            raise RuntimeError("close() failed")

    start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    return Failing(environ["QUERY_STRING"], [b"whole"])


def count(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How often the iterable of this name was closed, once it was closed at all."""
    name = environ["QUERY_STRING"]
    with _changed:
        _changed.wait_for(lambda: _closed[name] > 0, 20)
        closed = _closed[name]
    start_response("200 OK", [PLAIN])
    return [str(closed).encode()]


APPS = {
    "several": several,
    "failing": failing,
    "failing_first": failing_first,
    "excess": excess,
    "short": short,
    "bad_item": bad_item,
    "never_starts": never_starts,
    "endless": endless,
    "no_body": no_body,
    "close_fails": close_fails,
    "count": count,
}
