"""An application that gets stuck in every way there is, until it is let go.

It gives itself little time where it gets stuck, and not before, so that no slow machine is taken for a stuck thread.
"""

from __future__ import annotations

import ctypes
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN = ("Content-Type", "text/plain")
_released = threading.Event()
_lock = threading.Lock()
# what exceptions the calls have seen, by their paths
_seen: list[str] = []


def waits() -> None:
    _released.wait()


def spins() -> None:
    """Keeps a processor busy in Python."""
    while not _released.is_set():
        pass


def locks() -> None:
    with _lock:
        pass


def naps() -> None:
    """Sleeps in C, with the interpreter free: an exception comes out once it has woken up."""
    while not _released.is_set():
        time.sleep(0.01)


def holds() -> None:
    """Waits in C code that keeps the interpreter, and that a signal does not end, until a process has slept."""
    with subprocess.Popen(["sleep", "3"], stdout=subprocess.PIPE) as sleeper:
        assert sleeper.stdout is not None
        ctypes.PyDLL(None).read(sleeper.stdout.fileno(), ctypes.create_string_buffer(1), 1)


WAYS: dict[str, Callable[[], None]] = {"wait": waits, "spin": spins, "lock": locks, "nap": naps, "hold": holds}


class Body:
    """Gives one piece, then gets stuck."""

    def __init__(self, way: Callable[[], None], timeout: Callable[[float], None]) -> None:
        self._way = way
        self._timeout = timeout

    def __iter__(self) -> Iterator[bytes]:
        yield b"begun"
        self._timeout(0.2)
        self._way()
        yield b"never"

    def close(self) -> None:
        _seen.append("closed")


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    way, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    environ["wsgi.input"].read()
    if way == "release":
        _released.set()
        if _lock.locked():
            _lock.release()
    elif way == "acquire":
        _lock.acquire()
    elif way == "gone":
        print(f"asks {rest}", file=environ["wsgi.errors"], flush=True)
        while not environ["whiskyjack.client_disconnected"]():
            time.sleep(0.01)
        print("knows that the client has gone", file=environ["wsgi.errors"], flush=True)
    elif way == "begun":
        start_response("200 OK", [PLAIN])
        return Body(WAYS[rest], environ["whiskyjack.timeout"])
    elif way in WAYS:
        if rest != "patiently":
            environ["whiskyjack.timeout"](0.2)
        try:
            WAYS[way]()
        except BaseException as error:
            _seen.append(f"{way} {type(error).__module__}.{type(error).__name__} {isinstance(error, Exception)}")
            raise
    elif way == "note":
        _seen.append(f"note {rest}")
    elif way == "seen":
        start_response("200 OK", [PLAIN])
        return ["\n".join(_seen).encode()]
    start_response("200 OK", [PLAIN])
    return [f"{way} {environ['whiskyjack.queue_time'] >= 0}".encode()]


def elsewhere(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Calls whiskyjack.timeout on another thread, or with a number that is none of seconds."""
    said: list[str] = []

    def call(seconds: float) -> None:
        try:
            environ["whiskyjack.timeout"](seconds)
        except (RuntimeError, ValueError) as error:
            said.append(str(error))

    if path := environ["PATH_INFO"].removeprefix("/"):
        call(float(path))
    else:
        thread = threading.Thread(target=call, args=(1.0,))
        thread.start()
        thread.join()
    start_response("200 OK", [PLAIN])
    return ["\n".join(said).encode()]
