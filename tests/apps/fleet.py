"""What the tests of workers ask: who answered, and requests that wait for a file."""

from __future__ import annotations

import ctypes
import os
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
RELEASE = os.environ.get("FLEET_RELEASE", "")
READY = os.environ.get("FLEET_READY", "")


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    status = "200 OK"
    if path == "/hang":
        print("hanging", flush=True)
        while not pathlib.Path(RELEASE).exists():
            time.sleep(0.01)
    if path == "/healthz" and not pathlib.Path(READY).exists():
        status = "503 Service Unavailable"
    if path == "/grow":
        grown.append(b"x" * (64 << 20))
    if path == "/hold":
        ctypes.PyDLL(None).usleep(20_000_000)
    body = f"{os.getpid()} {environ['QUERY_STRING']}".encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


grown: list[bytes] = []
