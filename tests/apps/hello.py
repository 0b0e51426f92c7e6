"""The smallest application, and what finds its other names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world!"]


class Holder:
    """An application that is an attribute of an object."""

    inner = staticmethod(app)


holder = Holder()


def saying(text: str, times: int = 1, *, loud: bool = False) -> WSGIApplication:
    """A factory with arguments."""
    said = (text * times).upper() if loud else text * times

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [said.encode()]

    return application


not_an_application = "a string"
