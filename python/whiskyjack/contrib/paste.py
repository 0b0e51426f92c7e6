"""Paste Deploy, and so Pyramid's `pserve`: `use = egg:whiskyjack#main` in a section `[server:main]`.

What stands there are the settings of the command `whiskyjack`, which serves in the process that has loaded the
application. For workers, who load it themselves, the command is given `load_app()` as its application.
"""

from __future__ import annotations

import configparser
import logging.config
import os
from collections.abc import Mapping
from typing import Any

from whiskyjack import _whiskyjack
from whiskyjack.wsgiref.types import WSGIApplication

__all__ = ["load_app", "serve"]

# what the command finds by its name while it serves
application: WSGIApplication | None = None

_WRONG_SETTINGS = 2
_INTERRUPTED = 130


def serve(wsgi_app: WSGIApplication, global_conf: Mapping[str, str] | None = None, **settings: str) -> None:
    """Serves an application until the process is told to end: what Paste calls a server runner."""
    global application
    file = (global_conf or {}).get("__file__", "the settings file")
    flags = _flags(settings, file)
    application = wsgi_app
    try:
        code = _whiskyjack.main(["whiskyjack", f"{__name__}:application", "--workers=0", *flags])
    finally:
        application = None
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    if code != 0:
        # Not SystemExit, of which pserve makes an exit code of 0.
        said = f"what is wrong in the section of the server in {file}" if code == _WRONG_SETTINGS else "why"
        raise RuntimeError(f"whiskyjack ended with exit code {code}, and has said {said}")


def load_app(uri: str) -> WSGIApplication:
    """The application of a settings file, `production.ini` or `production.ini#name`, with its logging."""
    from paste.deploy import loadapp

    path, _, name = uri.partition("#")
    path = os.path.abspath(path)
    known = {"__file__": path, "here": os.path.dirname(path)}
    parser = configparser.RawConfigParser()
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    if parser.has_section("loggers"):
        logging.config.fileConfig(path, known, disable_existing_loggers=False)
    loaded: WSGIApplication = loadapp(f"config:{path}", name=name or None)
    return loaded


def _flags(settings: Mapping[str, Any], file: str) -> list[str]:
    """The settings as flags of the command: their names with either `_` or `-`, and waitress's for addresses."""
    given = {name.replace("_", "-"): str(value).strip() for name, value in settings.items()}
    if "app" in given:
        raise ValueError(f"{file}: app = {given['app']}: the application is that of the section [app:main]")
    workers = given.pop("workers", "0")
    if workers != "0":
        raise ValueError(
            f"{file}: workers = {workers}: the application is loaded in this one process already; "
            f"""workers load it themselves with: whiskyjack --workers {workers} '{__name__}:load_app("{file}")'"""
        )
    return [f"--bind={address}" for address in _addresses(given, file)] + [
        f"--{name}={value}" for name, value in given.items()
    ]


def _addresses(given: dict[str, str], file: str) -> list[str]:
    """Takes the addresses, by the one kind of name that they are given by."""
    ways = [way for way in ("bind", "listen", "host", "port", "unix-socket") if way in given]
    found = {way: given.pop(way) for way in ways}
    if len(ways) > 1 and ways != ["host", "port"]:
        raise ValueError(
            f"{file}: {' and '.join(ways)} all say where to listen: bind alone can say it, as in bind = *:6543"
        )
    match found:
        case {"bind": addresses} | {"listen": addresses}:
            return addresses.replace(",", " ").split()
        case {"host": host, "port": port}:
            return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
        case {"host": host}:
            raise ValueError(f"{file}: host = {host} comes without a port: say bind = {host}:6543")
        case {"port": port}:
            return [port]
        case {"unix-socket": path}:
            return [f"unix:{path}"]
        case _:
            return []
