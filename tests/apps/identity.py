"""Tells as whom it runs. Imports nothing anew: another user may not be able to read the interpreter's library."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    mask = os.umask(0)
    os.umask(mask)
    groups = ",".join(map(str, sorted(os.getgroups())))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getuid()} {os.getgid()} {groups} {mask:o}".encode()]
