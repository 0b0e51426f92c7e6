"""Gives what a request was given to threads of its own, which use it during the request and after it, beside others."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

KEEPERS = 4
USES = 20

given: queue.SimpleQueue[Kept] = queue.SimpleQueue()

# Guards what the keepers have found.
lock = threading.Lock()
faults: list[str] = []
outcomes = {"during": 0, "after": 0}


class Kept:
    """What one request was given."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse, write: Callable[[bytes], object]):
        self.environ = environ
        self.token = environ["HTTP_X_TOKEN"]
        # Once the connection has its next request, which could be given the same objects.
        self.is_over = False
        self.uses: dict[str, Callable[[], object]] = {
            "read": environ["wsgi.input"].read,
            "readline": environ["wsgi.input"].readline,
            "start_response": lambda: start_response("500 Not Mine", []),
        }
        # What would be seen by the client of a request that is under way.
        self.later: dict[str, Callable[[], object]] = {
            "write": lambda: write(b"not mine"),
            "early_hints": lambda: hint([("Link", "</not-mine>")]),
        }
        hint = environ["wsgi.early_hints"]
        self.write = write
        self.is_gone: Callable[[], bool] = environ["whiskyjack.client_disconnected"]

    def use(self, number: int) -> str:
        """Uses everything once; what each does is known, whenever it is."""
        is_over = self.is_over
        self.environ[f"keeper.{number}"] = number
        assert dict(self.environ)["HTTP_X_TOKEN"] == self.token, "the environ is another request's"
        self.environ.pop(f"keeper.{number}")
        try:
            self.is_gone()
        except ValueError:
            when = "after"
        else:
            when = "during"
            assert not is_over, "client_disconnected() came to a request"
        for name, use in self.uses.items():
            try:
                outcome = use()
            except ValueError:
                when = "after"
            except AssertionError:
                assert when == "during" and name == "start_response", f"{name}() came to a request"
            else:
                # It has read all of its body before.
                assert when == "during" and outcome == b"", f"{name}() gave {outcome!r} {when} the request"
        for name, use in self.later.items() if when == "after" else ():
            try:
                use()
            except ValueError:
                continue
            raise AssertionError(f"{name}() came to a request")
        return when


def keep() -> None:
    number = threading.get_ident()
    while True:
        kept = given.get()
        for _ in range(USES):
            try:
                when = kept.use(number)
            except BaseException as fault:
                with lock:
                    faults.append(f"{type(fault).__name__}: {fault}")
                break
            with lock:
                outcomes[when] += 1


started = threading.Lock()
# The last request of each connection that has kept something; one thread at a time answers a connection's requests.
latest: dict[str, Kept] = {}


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with the request's body, in the way that the path names."""
    if started.acquire(blocking=False):
        for _ in range(KEEPERS):
            threading.Thread(target=keep, daemon=True).start()
    if environ["PATH_INFO"] == "/found":
        with lock:
            body = json.dumps({"faults": faults, **outcomes}).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    if before := latest.pop(environ["REMOTE_PORT"], None):
        before.is_over = True
    body = environ["wsgi.input"].read()
    assert body == environ["HTTP_X_TOKEN"].encode(), (body, environ["HTTP_X_TOKEN"])
    write = start_response("200 OK", [("Content-Length", str(len(body)))])
    kept = Kept(environ, start_response, write)
    if environ["PATH_INFO"] != "/forgotten":
        latest[environ["REMOTE_PORT"]] = kept
    return WAYS[environ["PATH_INFO"]](kept, body)


def whole(kept: Kept, body: bytes) -> Iterable[bytes]:
    given.put(kept)
    return [body]


def pieces(kept: Kept, body: bytes) -> Iterable[bytes]:
    yield body[:3]
    given.put(kept)
    yield body[3:]


def written(kept: Kept, body: bytes) -> Iterable[bytes]:
    given.put(kept)
    kept.write(body)
    return []


def forgotten(kept: Kept, body: bytes) -> Iterable[bytes]:
    """Nobody keeps anything, so that the next request may be given the same objects."""
    return [body]


WAYS: dict[str, Callable[[Kept, bytes], Any]] = {
    "/whole": whole,
    "/pieces": pieces,
    "/written": written,
    "/forgotten": forgotten,
}
