"""Tells what the garbage collector knows of what was there when this was imported, and of what a call leaves behind."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class Thing:
    """Part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


kept = Thing()
Thing()  # garbage from here on, which only the collector can free
loops = [Thing() for _ in range(2)]
environs: list[WSGIEnvironment] = []


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environs.append(environ)
    seen = gc.get_objects()
    known = sum(isinstance(thing, Thing) for thing in seen)
    ours = sorted({type(thing).__qualname__ for thing in seen if type(thing).__module__ == "whiskyjack"})
    answer = {"frozen": gc.get_freeze_count(), "things": known, "ours": ours}
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
