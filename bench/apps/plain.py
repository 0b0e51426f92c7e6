"""The applications of the scenarios: as little Python as each needs, so that the server's share shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HELLO = b"Hello, World!"
PAGE = b"A line of sixty-four bytes, one hundred and sixty of them here.\n" * 160


def hello(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Thirteen bytes."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]


def page(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ten kilobytes (10,240 bytes)."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10240")])
    return [PAGE]
