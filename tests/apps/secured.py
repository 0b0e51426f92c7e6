"""Says what it is told of the connection, and tells bodies by their hash."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

BLOCK = bytes(range(256)) * 256


def _file(size: int) -> tempfile._TemporaryFileWrapper[bytes]:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the server closes it
    for _ in range(size // len(BLOCK)):
        file.write(BLOCK)
    file.seek(0)
    return file


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    what, _, size = environ["PATH_INFO"][1:].partition("/")
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    match what:
        case "sum":
            return [hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()]
        case "whole":
            return [BLOCK * (int(size) // len(BLOCK))]
        case "pieces":
            return (BLOCK for _ in range(int(size) // len(BLOCK)))
        case "file":
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](_file(int(size)))
            return wrapped
        case "path":
            return [size.encode()]
    names = ("wsgi.url_scheme", "HTTPS", "SERVER_PORT", "REMOTE_ADDR")
    shown = {name: value for name, value in environ.items() if name in names or name.startswith("SSL_")}
    return [json.dumps(shown).encode()]
