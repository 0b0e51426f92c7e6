"""Bodies that both sides can work out, so that either can check what came. Each answer tells who asked with what."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PIECE = 16384


def _material(length: int) -> bytes:
    """Bytes without a period: what is lost, doubled or moved shows in the hash."""
    return b"".join(hashlib.sha512(b"%d" % number).digest() for number in range(length // 64))


MATERIAL = _material(3 << 20)


def made(start: int, size: int) -> bytes:
    return MATERIAL[start : start + size]


def told(body: bytes) -> str:
    """A body as length and hash, the form in which both sides compare."""
    return f"{len(body)}-{hashlib.sha256(body).hexdigest()}"


@dataclass
class Call:
    """One request, read to its end."""

    environ: WSGIEnvironment
    start_response: StartResponse
    path: list[str]
    body: bytes

    def start(self, status: str, *fields: tuple[str, str]) -> Callable[[bytes], object]:
        """Starts the response with fields that tell what was received, and from whom."""
        return self.start_response(
            status,
            [
                ("X-Method", self.environ["REQUEST_METHOD"]),
                ("X-Protocol", self.environ["SERVER_PROTOCOL"]),
                ("X-Port", self.environ.get("REMOTE_PORT", "")),
                ("X-Received", told(self.body)),
                *fields,
            ],
        )

    def send(self, how: str, body: bytes) -> Iterable[bytes]:
        """A body of known length, in pieces of an unknown one, by write(), as a file, or as one item."""
        kind = ("Content-Type", "application/octet-stream")
        pieces = (body[start : start + PIECE] for start in range(0, len(body), PIECE))
        if how == "length":
            self.start("200 OK", kind, ("Content-Length", str(len(body))))
            return pieces
        if how == "file":
            self.start("200 OK", kind)
            file: Iterable[bytes] = self.environ["wsgi.file_wrapper"](io.BytesIO(body), PIECE)
            return file
        write = self.start("200 OK", kind)
        if how == "pieces":
            return pieces
        if how == "item":
            return [body]
        assert how == "write", how
        for piece in pieces:
            write(piece)
        return []


def get(call: Call) -> Iterable[bytes]:
    """/get/HOW/START/SIZE is that part of the material."""
    how, start, size = call.path
    return call.send(how, made(int(start), int(size)))


def echo(call: Call) -> Iterable[bytes]:
    """/echo/HOW is what was received."""
    (how,) = call.path
    return call.send(how, call.body)


def empty(call: Call) -> Iterable[bytes]:
    """/empty/204 and /empty/304 have no body."""
    (status,) = call.path
    call.start({"204": "204 No Content", "304": "304 Not Modified"}[status], ("ETag", '"material"'))
    return []


def ranged(call: Call) -> Iterable[bytes]:
    """/ranged/SIZE honours one range, as an application that serves files does."""
    body = made(0, int(call.path[0]))
    fields = [("Accept-Ranges", "bytes"), ("ETag", '"material"'), ("Content-Type", "application/octet-stream")]
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", call.environ.get("HTTP_RANGE", ""))
    if found is None:
        call.start("200 OK", *fields, ("Content-Length", str(len(body))))
        return [body]
    first, last = found.groups()
    start = int(first) if first else max(0, len(body) - int(last))
    part = body[start : int(last) + 1 if first and last else len(body)]
    if not part:
        call.start("416 Range Not Satisfiable", *fields, ("Content-Range", f"bytes */{len(body)}"))
        return []
    place = ("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(body)}")
    call.start("206 Partial Content", *fields, place, ("Content-Length", str(len(part))))
    return [part]


_calls: Counter[str] = Counter()
_guard = threading.Lock()


def calls(call: Call) -> Iterable[bytes]:
    """/calls is how often the application was called for each id, in the order of the first calls."""
    with _guard:
        return call.send("item", json.dumps(_calls).encode())


VIEWS: dict[str, Callable[[Call], Iterable[bytes]]] = {
    "get": get,
    "echo": echo,
    "empty": empty,
    "ranged": ranged,
    "calls": calls,
}


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    for identity in parse_qs(environ["QUERY_STRING"]).get("id", []):
        with _guard:
            _calls[identity] += 1
    _, view, *path = environ["PATH_INFO"].split("/")
    return VIEWS[view](Call(environ, start_response, path, environ["wsgi.input"].read()))
