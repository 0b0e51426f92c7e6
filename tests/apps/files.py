"""Files through wsgi.file_wrapper. The file is the one that FILE names."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

BINARY = ("Content-Type", "application/octet-stream")
_opened: list[IO[bytes]] = []


def _open() -> IO[bytes]:
    file = open(os.environ["FILE"], "rb")  # noqa: SIM115 - the server closes it
    _opened.append(file)
    return file


def whole(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [BINARY])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](_open())
    return wrapped


def sized(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Announces the length that the query says."""
    start_response("200 OK", [BINARY, ("Content-Length", environ["QUERY_STRING"])])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](_open(), 8192)
    return wrapped


def positioned(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """From the position that the query says, after a buffered read has moved the descriptor further."""
    file = _open()
    file.read(1)
    file.seek(int(environ["QUERY_STRING"]))
    start_response("200 OK", [BINARY])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return wrapped


def after_read(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """From where reading ended: the buffer of the file object has read ahead of it."""
    file = _open()
    file.read(int(environ["QUERY_STRING"]))
    start_response("200 OK", [BINARY])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return wrapped


def iterated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The wrapper is an iterable of blocks too, for middleware."""
    start_response("200 OK", [BINARY])
    return iter(list(environ["wsgi.file_wrapper"](_open(), 1000)))


def written_first(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """write(), and then a file."""
    start_response("200 OK", [BINARY])(b"written first, ")
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](_open())
    return wrapped


def in_memory(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """No descriptor at all."""
    file = io.BytesIO(b"in memory" * 10_000)
    _opened.append(file)
    start_response("200 OK", [BINARY])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return wrapped


def in_memory_sized(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """No descriptor, and the length that the query says."""
    start_response("200 OK", [BINARY, ("Content-Length", environ["QUERY_STRING"])])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"in memory"))
    return wrapped


class Reversed:
    """File-like with a descriptor whose bytes are not those that read() gives."""

    def __init__(self, file: IO[bytes]) -> None:
        self._rest = file.read()[::-1]
        self._file = file

    def read(self, size: int = -1) -> bytes:
        taken = self._rest[:size] if size >= 0 else self._rest
        self._rest = self._rest[len(taken) :]
        return taken


def only_read(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Only read(): no fileno, no close."""
    start_response("200 OK", [BINARY])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](Reversed(_open()))
    return wrapped


def failing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """read() raises."""

    class Failing:
        def read(self, size: int = -1) -> bytes:
            raise OSError("the disk is gone")

    start_response("200 OK", [BINARY])
    wrapper: Any = environ["wsgi.file_wrapper"]
    wrapped: Iterable[bytes] = wrapper(Failing())
    return wrapped


def of_proc(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A regular file whose length is told as 0, whatever it holds."""
    start_response("200 OK", [BINARY])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](open("/proc/self/status", "rb"))  # noqa: SIM115
    return wrapped


def of_text(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Opened in text mode, which is a mistake."""
    start_response("200 OK", [BINARY])
    wrapper: Any = environ["wsgi.file_wrapper"]
    wrapped: Iterable[bytes] = wrapper(open(__file__))  # noqa: SIM115
    return wrapped


def write_only(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A descriptor that can't be read."""
    start_response("200 OK", [BINARY])
    file = io.FileIO(os.environ["FILE"], "a")
    file.seek(0)
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return wrapped


def shrinking(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A file larger than any socket takes at once, which `shrink` cuts."""
    path = os.environ["FILE"] + ".shrinking"
    with open(path, "wb") as made:
        made.truncate(1 << 28)
    start_response("200 OK", [BINARY])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](open(path, "rb"))  # noqa: SIM115
    return wrapped


def shrink(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    os.truncate(os.environ["FILE"] + ".shrinking", 0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"shrunk"]


def left_open(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How many of the files are still open."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(sum(not file.closed for file in _opened)).encode()]


APPS = {
    "whole": whole,
    "sized": sized,
    "positioned": positioned,
    "after_read": after_read,
    "iterated": iterated,
    "written_first": written_first,
    "in_memory": in_memory,
    "in_memory_sized": in_memory_sized,
    "only_read": only_read,
    "failing": failing,
    "of_proc": of_proc,
    "of_text": of_text,
    "write_only": write_only,
    "shrinking": shrinking,
    "shrink": shrink,
    "left_open": left_open,
}
