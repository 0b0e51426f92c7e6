"""Puts the small applications behind one server: the first two segments of the path name a theme and an application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import closing
import files
import inputs
import misuse
import responses
import slow

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

THEMES: dict[str, dict[str, Callable[..., Any]]] = {
    "closing": closing.APPS,
    "files": files.APPS,
    "inputs": inputs.APPS,
    "misuse": misuse.APPS,
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


_targets: list[str] = []


def corpus(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Reads any request whole and answers it; /seen tells which targets there were."""
    environ["wsgi.input"].read(-1)
    _targets.append(environ["RAW_URI"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join(_targets).encode("latin-1") if environ["RAW_URI"] == "/seen" else b"accepted"]
