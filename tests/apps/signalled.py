"""An application with a handler of its own for signals that the server leaves alone."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_count = 0


def _handle(number: int, frame: object) -> None:
    global _count
    _count += 1


for _number in (signal.SIGWINCH, signal.SIGCHLD, signal.SIGALRM):
    signal.signal(_number, _handle)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The length of the body and how many signals have been handled; /generated answers at length."""
    length = len(environ["wsgi.input"].read(-1))
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/generated":
        return (b"x" * 65536 for _ in range(64))
    return [f"{length} {_count}".encode()]
