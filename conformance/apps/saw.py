"""Answers each request with what reached the application. Stands alone: the peers run it in another environment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_numbers = count(1)
_marks: list[str] = []


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """/marks lists the paths with a mark that came, anything else gets the request it is."""
    number = next(_numbers)
    path = environ.get("PATH_INFO", "")
    body = environ["wsgi.input"].read()
    if path.startswith("/behind-"):
        _marks.append(path)
    saw = {
        "method": environ["REQUEST_METHOD"],
        # PEP 3333 has no key for the target as it came; where a server offers none, it is not compared
        "target": environ.get("RAW_URI", environ.get("REQUEST_URI")),
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "number": number,
    }
    answer = json.dumps(_marks if path == "/marks" else saw).encode()
    fields = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(answer))),
        ("Answered-By", "application"),
    ]
    start_response("200 OK", fields)
    # PEP 3333 leaves it to the application to send no body to HEAD
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer]
