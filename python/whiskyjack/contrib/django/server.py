"""The servers of Django's `runserver` and of its live server tests, on Whiskyjack's engine.

They are Django's classes too, and take its handler classes: as long as nothing is overridden that replaces the way a
request is handled, `serve_forever()` runs on the engine. Otherwise each connection goes through Django's own methods.
"""

from __future__ import annotations

import errno
import socket
import socketserver
from collections.abc import Callable, Iterable
from typing import Any

from django.core.servers import basehttp
from django.db import connections

from whiskyjack._whiskyjack import Request as _Request
from whiskyjack.wsgiref import simple_server
from whiskyjack.wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["ThreadedWSGIServer", "WSGIServer"]


class WSGIServer(simple_server.WSGIServer, basehttp.WSGIServer):  # type: ignore[misc]
    """A server that answers one request at a time, or several where `socketserver.ThreadingMixIn` is mixed in."""

    # Clients wait here while a reload is under way.
    request_queue_size = 128
    # of the engine, with the mix-in: so many requests can be inside the application at once
    threads = 40
    # a socket that listens already, to take instead of one of its own
    inherited: socket.socket | None = None

    def server_bind(self) -> None:
        if self.inherited is None:
            super().server_bind()
            return
        self.socket.close()
        self.socket = self.inherited
        address: Any = self.socket.getsockname()
        self.server_address = address
        self.server_name, self.server_port = socket.getfqdn(address[0]), address[1]
        self.setup_environ()

    def _front(self) -> _Front:
        return _Front(self)


class _ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    """What Django makes of the class above for `runserver`, to compare with."""


class ThreadedWSGIServer(WSGIServer, basehttp.ThreadedWSGIServer):  # type: ignore[misc]
    """A server that answers requests beside each other, with the database connections of `connections_override`."""


class _Front(simple_server._Front):
    """Where the engine meets the methods of Django's classes."""

    handler_base: Any = basehttp.WSGIRequestHandler
    handler_seams = (*simple_server._HANDLER_SEAMS, "handle_one_request")

    def __init__(self, server: WSGIServer) -> None:
        super().__init__(server)
        self.is_threaded = isinstance(server, socketserver.ThreadingMixIn)
        if isinstance(server, basehttp.ThreadedWSGIServer):
            self.server_base = ThreadedWSGIServer
        elif self.is_threaded:
            self.server_base = _ThreadingServer
        kind: Any = server.RequestHandlerClass
        # `headers` are made when they are asked for. There is no connection for `request`, which goes into the log.
        more = {"request": None, "__getattr__": simple_server.WSGIRequestHandler.__getattr__, "__module__": __name__}
        self.handler_class = type(kind.__name__, (kind,), more)

    def settings(self) -> dict[str, Any]:
        threads = self.server.threads if self.is_threaded else 1  # type: ignore[attr-defined]
        # Nobody waits long for a development server to end.
        return super().settings() | {"threads": threads, "graceful_timeout": "2s"}

    def application(self) -> WSGIApplication:
        call = super().application()
        shared = getattr(self.server, "connections_override", None)
        if not shared:
            return call

        def call_with_shared(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # The engine makes threads as it needs them, and each has connections of its own.
            for alias, connection in shared.items():
                connections[alias] = connection
            return call(environ, start_response)

        return call_with_shared

    def on_request(self) -> Callable[[_Request, int, int, float], None]:
        return self.finished

    def now(self) -> str:
        return self.handler_class.__new__(self.handler_class).log_date_time_string()

    def finished(self, request: _Request, status: int, length: int, seconds: float) -> None:
        if status == 0:
            try:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the client left before it was sent a response")
            except ConnectionAbortedError:
                self.server.handle_error(None, request.client_address)  # type: ignore[arg-type]
        elif request.line:
            self.log_by_handler(request, status, length, seconds)
        else:
            extra = {"request": None, "server_time": self.now(), "status_code": status}
            basehttp.logger.warning(
                "%s sent what is no request of HTTP, perhaps HTTPS, which this server does not speak.",
                request.client_address[0],
                extra=extra,
            )
        if isinstance(self.server, basehttp.ThreadedWSGIServer):
            # Django does it when the connection ends, after which its thread is gone.
            self.server._close_connections()
