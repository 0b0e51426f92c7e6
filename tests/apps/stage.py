"""Puts the small applications behind one server: the first two segments of the path name a theme and an application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import closing
import files
import inputs
import large
import misuse
import odd
import responses
import slow

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

THEMES: dict[str, dict[str, Callable[..., Any]]] = {
    "closing": closing.APPS,
    "files": files.APPS,
    "inputs": inputs.APPS,
    "large": large.APPS,
    "misuse": misuse.APPS,
    "odd": odd.APPS,
    "responses": responses.APPS,
    "slow": slow.APPS,
}
CHECKED = {theme: {name: validator(app) for name, app in apps.items()} for theme, apps in THEMES.items()}


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, theme, name = environ["PATH_INFO"].split("/")[:3]
    answer: Iterable[bytes] = THEMES[theme][name](environ, start_response)
    return answer


def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The same, each application under wsgiref.validate, which sees what the server does to it."""
    _, theme, name = environ["PATH_INFO"].split("/")[:3]
    return CHECKED[theme][name](environ, start_response)


_requests: list[str] = []


def corpus(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers any request with what was understood: method, target and the length of the body. /seen lists them all."""
    length = len(environ["wsgi.input"].read(-1))
    understood = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {length}"
    _requests.append(understood)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("\n".join(_requests) if environ["RAW_URI"] == "/seen" else understood).encode("latin-1")]
