"""Keeps what a request was given, and tells later requests of its connection what became of it."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

kept: list[Any] = []

KEEPS: dict[str, Callable[[WSGIEnvironment, StartResponse, Callable[[bytes], object]], object]] = {
    "/environ": lambda environ, start_response, write: environ,
    "/start_response": lambda environ, start_response, write: start_response,
    "/weakly": lambda environ, start_response, write: weakref.ref(start_response),
    "/write": lambda environ, start_response, write: write,
    "/input": lambda environ, start_response, write: environ["wsgi.input"],
    "/read": lambda environ, start_response, write: environ["wsgi.input"].read,
    "/early_hints": lambda environ, start_response, write: environ["wsgi.early_hints"],
    "/client_disconnected": lambda environ, start_response, write: environ["whiskyjack.client_disconnected"],
}


def use_weakly(known: weakref.ref[StartResponse]) -> object:
    start_response = known()
    if start_response is None:
        raise ValueError
    return start_response("204 Not Mine", [])


USES: dict[str, Callable[[Any], object]] = {
    "/environ": lambda environ: environ["wsgi.input"].read(),
    "/start_response": lambda start_response: start_response("204 Not Mine", []),
    "/weakly": use_weakly,
    "/write": lambda write: write(b"not mine"),
    "/input": lambda stream: stream.read(),
    "/read": lambda read: read(),
    "/early_hints": lambda hint: hint([("Link", "</not-mine>")]),
    "/client_disconnected": lambda ask: ask(),
}


def keep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Keeps what the path names. With `?use`, uses that instead, and reads its own body."""
    path = environ["PATH_INFO"]
    if environ["QUERY_STRING"] == "use":
        found = kept.pop()
        try:
            outcome = repr(USES[path](found))
        except ValueError:
            outcome = "ValueError"
        same = [key for key in ("wsgi.input", "wsgi.early_hints") if environ[key] is found]
        body = json.dumps({"outcome": outcome, "own": environ["wsgi.input"].read().decode(), "same": same}).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    write = start_response("200 OK", [("Content-Length", "4")])
    kept.append(KEEPS[path](environ, start_response, write))
    return [b"kept"]
