"""Ends a server that a program leaves behind on a daemon thread, as the program ends. Knows no protocol."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from whiskyjack._whiskyjack import Server

# Seconds that a program's end may take longer for it: for requests under way, and for threads that were cut off.
_FOR_REQUESTS = 0.5
_FOR_THREADS = 2.0


@contextmanager
def ended_with_the_program(server: Server) -> Iterator[None]:
    """Around `server.serve()`: threads that came back to an interpreter which is gone would take the process down."""
    over = threading.Event()

    def end() -> None:
        server.drain()
        if not over.wait(_FOR_REQUESTS):
            server.stop()
            over.wait(_FOR_THREADS)

    atexit.register(end)
    try:
        yield
    finally:
        over.set()
        atexit.unregister(end)
