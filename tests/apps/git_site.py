"""dulwich's web application over the repository that REPOSITORY names, at /site."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_served = make_wsgi_chain(DictBackend({"/site": Repo(os.environ["REPOSITORY"])}))
_requests: list[tuple[str, str]] = []


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """All but /requests, which tells the service and the coding of each body that came, is dulwich's."""
    if environ["PATH_INFO"] == "/requests":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(_requests).encode()]
    if environ["REQUEST_METHOD"] == "POST":
        service = environ["PATH_INFO"].rpartition("/")[2]
        _requests.append((service, environ.get("HTTP_CONTENT_ENCODING", "identity")))
    return _served(environ, start_response)
