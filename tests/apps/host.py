"""Tells what its process is to the system, and leaves orphans behind where it is asked to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def zombies() -> int:
    found = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found += path.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue  # it has gone meanwhile
    return found


def orphan() -> None:
    """Leaves a process behind whose parent has gone, and which ends once the grandparent's pipe closes."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/orphan":
        orphan()
    mask = os.umask(0)
    os.umask(mask)
    body = environ["wsgi.input"].read()
    told = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": sorted(os.getgroups()),
        "umask": mask,
        "environ": dict(os.environ),
        "zombies": zombies(),
        "length": len(body),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
