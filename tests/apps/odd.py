"""Lawful applications of an unusual kind."""

from __future__ import annotations

import gzip
import os
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN = ("Content-Type", "text/plain")


class IteratesOtherwise(list[bytes]):
    """A list that gives other items than those it holds."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"from its iterator"])


def list_subclass(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return IteratesOtherwise([b"from the list"])


class Text(str):
    """A string of another type."""


class Bytes(bytes):
    """Bytes of another type."""


def subclasses(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response(Text("200 OK"), [(Text("Content-Type"), Text("text/plain"))])
    return [Bytes(b"subclassed")]


class Indexed:
    """Iterable only by the old protocol of indices."""

    def __getitem__(self, index: int) -> bytes:
        if index > 2:
            raise IndexError
        return b"%d" % index


def indexed(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
    start_response("200 OK", [PLAIN])
    return Indexed()


def keywords(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """PEP 3333 makes them positional, but what works everywhere else should work here."""
    start_response("200 OK", [PLAIN], exc_info=None)
    return [b"by keyword"]


def other_thread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Another thread does the work while the request lasts."""
    body: list[bytes] = []

    def work() -> None:
        start_response("200 OK", [PLAIN])
        body.append(environ["wsgi.input"].read(-1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return body


def both_ways(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Reads on while it writes already."""
    start_response("200 OK", [PLAIN])
    yield b"began "
    while piece := environ["wsgi.input"].read(3):
        yield piece


def changes_fields(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Changes the list of fields after it was given."""
    fields = [PLAIN]
    start_response("200 OK", fields)
    fields.append(("X-Late", "1"))
    return [b"changed"]


def asks_itself(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Asks the server that it runs on."""
    url = f"http://127.0.0.1:{environ['SERVER_PORT']}/responses/one"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        body = answer.read()
    start_response("200 OK", [PLAIN])
    return [b"it said: ", body]


def fails_after_the_last_byte(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    yield b"whole"
    raise RuntimeError("after the last byte")


def piped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A file with a descriptor that has neither length nor position."""
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    start_response("200 OK", [PLAIN])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](os.fdopen(reading, "rb"))
    return wrapped


def zipped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A file whose descriptor is of other bytes than those that it reads."""
    reading, writing = os.pipe()
    os.write(writing, gzip.compress(b"unzipped" * 1000))
    os.close(writing)
    start_response("200 OK", [PLAIN])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](gzip.GzipFile(fileobj=os.fdopen(reading, "rb")))
    return wrapped


def _ended(child: int) -> bytes:
    return b"the child ended with %d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Forks a child, which ends as the query says; what it does wrong is to come back."""
    child = os.fork()
    start_response("200 OK", [PLAIN])
    if child:
        return [_ended(child)]
    match environ["QUERY_STRING"]:
        case "ends":
            os._exit(0)
        case "exits":
            sys.exit()
        case "exits_with_3":
            sys.exit(3)
        case "raises":
            raise RuntimeError("in the child")
    return [b"the child's answer"]


def forks_between(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Forks in the middle of its body."""
    write = start_response("200 OK", [PLAIN])
    yield b"before, "
    child = os.fork()
    if not child and environ["QUERY_STRING"] == "writes":
        write(b"the child's piece")
    yield _ended(child) if child else b"the child's piece"


# Two requests at once are on two threads, of which one at most is the main one.
_both = threading.Barrier(2)


def recurses(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Goes as deep as the interpreter lets it, with a C function for every step."""

    def deeper(_: int) -> list[int]:
        return sorted([1], key=deeper)

    _both.wait(60)
    try:
        deeper(1)
    except RecursionError as error:
        start_response("200 OK", [PLAIN])
        return [type(error).__name__.encode()]
    raise AssertionError("it ended")


_kept: list[Any] = []


def keep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Keeps all that it was given beyond the request."""
    _kept[:] = [start_response, start_response("200 OK", [PLAIN]), environ]
    return [b"kept"]


def use_kept(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What becomes of it afterwards."""
    earlier_start, earlier_write, earlier_environ = _kept
    said = []
    for use in (
        lambda: earlier_start("200 OK", [("X-Mixed-Up", "1")]),
        lambda: earlier_write(b"mixed up"),
        lambda: earlier_environ["wsgi.early_hints"]([("X-Mixed-Up", "1")]),
    ):
        try:
            use()
            said.append("nothing")
        except Exception as error:
            said.append(type(error).__name__)
    start_response("200 OK", [PLAIN])
    return [" ".join(said).encode()]


APPS = {
    "list_subclass": list_subclass,
    "subclasses": subclasses,
    "indexed": indexed,
    "keywords": keywords,
    "other_thread": other_thread,
    "both_ways": both_ways,
    "changes_fields": changes_fields,
    "asks_itself": asks_itself,
    "fails_after_the_last_byte": fails_after_the_last_byte,
    "piped": piped,
    "zipped": zipped,
    "forks": forks,
    "forks_between": forks_between,
    "recurses": recurses,
    "keep": keep,
    "use_kept": use_kept,
}
