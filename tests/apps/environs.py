"""Shows the environ that the gateway made, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING
from wsgiref.validate import validator

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def show(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Every key with its type's name and its value, if that is plain. Leaves a mark that no later request may see."""
    shown = {
        "class": type(environ).__name__,
        "types": {key: type(value).__name__ for key, value in environ.items()},
        "values": {
            key: value for key, value in environ.items() if isinstance(value, str | bool | int | tuple) or value is None
        },
        "input": environ["wsgi.input"].read(-1).decode("latin-1"),
    }
    environ["test.mark"] = "left by an earlier request"
    environ["wsgi.url_scheme"] = "left by an earlier request"
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def complain(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Writes to wsgi.errors, by each of its methods."""
    errors = environ["wsgi.errors"]
    errors.write("written to the errors\n")
    errors.writelines(["one line of several\n", "another line: caf\xe9\n"])
    errors.flush()
    print("printed to the errors", file=errors)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"complained"]


checked_show = validator(show)
checked_complain = validator(complain)
