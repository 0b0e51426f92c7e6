"""A response by the methods of a handler that has its connection, and whether another request may follow it."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
import traceback
from collections.abc import Iterable
from typing import Any

from whiskyjack._whiskyjack import wsgiref as _wsgiref
from whiskyjack.wsgiref import simple_server
from whiskyjack.wsgiref.handlers import SimpleHandler
from whiskyjack.wsgiref.types import WSGIApplication

# seconds that a connection may be idle between two requests
IDLE = 5.0
# seconds within which a server that has room takes a connection that waits
_MOMENT = 0.02
# how often it is looked whether the server ends
_LOOK = 0.1
# bytes of a body that nobody read, up to which they are read to keep the connection
_DRAIN = 64 * 1024


class Answer(simple_server.ServerHandler):
    """The response to a request whose handler has the connection: sent by the handler's own methods."""

    wsgi_file_wrapper = None
    error_headers = [("Content-Type", "text/plain; charset=utf-8")]  # noqa: RUF012
    error_body = b"500 Internal Server Error\n"

    framing: _wsgiref.ResponseFraming

    def __init__(self, handler: Any, persists: bool) -> None:
        super().__init__(None, handler.wfile, None, handler.environ)
        self.request_handler = handler
        # whether the connection can carry another request, as far as is known
        self.persists = persists

    def setup_environ(self) -> None:
        self.environ = self.base_env

    def run(self, application: WSGIApplication) -> None:
        try:
            self.setup_environ()
            self.result = application(self.environ, self.start_response)
            self.finish_response()
        except (ConnectionError, TimeoutError, ssl.SSLEOFError) as error:
            self.persists = False
            self.request_handler.connection_dropped(error, self.request_handler.environ)
        except Exception as error:
            self.persists = False
            if self.request_handler.server.passthrough_errors:
                raise
            self.fail(error)

    def fail(self, error: Exception) -> None:
        server, was_sent = self.request_handler.server, self.headers_sent
        server.log("error", "%s", told(error))
        if was_sent:
            # The end of the connection may end the body, so that only a reset tells that this is not all of it.
            reset = struct.pack("ii", 1, 0)
            self.request_handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            return
        self.result = self.error_output(self.environ, self.start_response)
        self.finish_response()

    def send_headers(self) -> None:
        given = self.headers.get("Content-Length")
        self.cleanup_headers()
        self.headers_sent = True
        handler, (code, _, reason) = self.request_handler, self.status.partition(" ")
        is_modern = min(handler.protocol_version, handler.request_version) >= "HTTP/1.1"
        known = self.headers.get("Content-Length")
        self.framing = _wsgiref.ResponseFraming(handler.command, code, given, known, is_modern, self.persists)
        self.persists = self.framing.persists
        if not self.framing.has_length:
            del self.headers["Content-Length"]
        handler.send_response(int(code), reason)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        if self.framing.is_chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        if not self.persists:
            handler.send_header("Connection", "close")
        handler.end_headers()

    def write(self, data: bytes) -> None:
        if self.request_handler.command == "HEAD" and self.headers_sent:
            return
        super().write(data)

    def _write(self, data: bytes) -> None:
        if framed := self.framing.frame(data):
            super()._write(framed)

    def finish_content(self) -> None:
        super().finish_content()
        super()._write(self.framing.end())
        self._flush()
        self.persists &= self.framing.persists

    def close(self) -> None:
        # not the one that logs: send_response() has done it
        SimpleHandler.close(self)


def told(error: BaseException) -> str:
    """An error of the application, for the log."""
    return "Error on request:\n" + "".join(traceback.format_exception(error))


def is_drained(body: Any) -> bool:
    """Whether a request's body is at its end, once a bounded rest was read."""
    try:
        return len(body.read(_DRAIN)) < _DRAIN
    except (OSError, ValueError):
        return False


def comes_another(handler: Any, rivals: Iterable[Any], ends: Any) -> bool:
    """Wait for another request on the handler's connection, as long as nobody else needs the server.

    `rivals` are sockets that have something to read if somebody does, and still have a moment later if there is no
    room for them. `ends()` says whether the server ends. False if the connection is to be closed.
    """
    if _has_read_ahead(handler):
        return True
    rivals = list(rivals)
    until = time.monotonic() + IDLE
    with selectors.DefaultSelector() as selector, selectors.DefaultSelector() as waiting:
        selector.register(handler.connection, selectors.EVENT_READ)
        for rival in rivals:
            selector.register(rival, selectors.EVENT_READ)
            waiting.register(rival, selectors.EVENT_READ)
        while time.monotonic() < until and not ends():
            ready = {key.fileobj for key, _ in selector.select(_LOOK)}
            if handler.connection in ready:
                return True
            if ready and not _has_room(handler.connection, waiting):
                return False
    return False


def _has_room(connection: Any, waiting: selectors.BaseSelector) -> bool:
    """Give the server a moment to take whoever waits. Whether it has, or this connection has its request meanwhile."""
    with selectors.DefaultSelector() as own:
        own.register(connection, selectors.EVENT_READ)
        return bool(own.select(_MOMENT)) or not waiting.select(0)


def _has_read_ahead(handler: Any) -> bool:
    """Whether bytes of the next request were read together with the last."""
    connection = handler.connection
    timeout = connection.gettimeout()
    connection.settimeout(0)
    try:
        return bool(handler.rfile.peek(1))
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True  # reading says what is wrong
    finally:
        connection.settimeout(timeout)
