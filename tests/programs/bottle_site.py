"""bottle with the server that it takes where nothing is said. Its handler class overrides the log."""

from __future__ import annotations

from typing import Any

import bottle  # type: ignore[import-untyped]

site: Any = bottle.Bottle()


class Server(bottle.WSGIRefServer):  # type: ignore[misc]
    """The one of bottle, which tells its port."""

    def run(self, handler: Any) -> None:
        from wsgiref.simple_server import WSGIServer

        class Telling(WSGIServer):
            def server_activate(self) -> None:
                super().server_activate()
                print(self.server_port, WSGIServer.__module__, flush=True)

        self.options["server_class"] = Telling
        super().run(handler)


def add() -> dict[str, int]:
    return {"sum": sum(bottle.request.json)}


def error() -> None:
    raise LookupError("nowhere")


site.get("/hello/<name>", callback=lambda name: f"hello {name}")
site.post("/sum", callback=add)
site.get("/error", callback=error)
bottle.run(site, server=Server, host="127.0.0.1", port=0, quiet=True)
