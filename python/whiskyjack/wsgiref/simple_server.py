"""A WSGI server for one import: `make_server(host, port, app).serve_forever()`.

The classes are those of `http.server` and `socketserver`, with all that can be reached through them. As long as nothing
is overridden that replaces the way a request is handled, `serve_forever()` runs on Whiskyjack's engine: connections
stay alive, and only logging and what else was overridden is Python. Where something is, each connection goes through
the methods of the original in the original's order. `docs/from-wsgiref.md` says which overrides do that.
"""

from __future__ import annotations

import selectors
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from platform import python_implementation
from socketserver import BaseServer, ThreadingMixIn
from typing import Any

from whiskyjack._ending import ended_with_the_program
from whiskyjack._whiskyjack import Request as _Request
from whiskyjack._whiskyjack import Server as _Server
from whiskyjack._whiskyjack import wsgiref as _wsgiref
from whiskyjack.wsgiref.handlers import SimpleHandler
from whiskyjack.wsgiref.types import ErrorStream, StartResponse, WSGIApplication, WSGIEnvironment

__version__ = "0.2"
__all__ = ["WSGIRequestHandler", "WSGIServer", "demo_app", "make_server"]

server_version = "WSGIServer/" + __version__
sys_version = python_implementation() + "/" + sys.version.split()[0]
software_version = server_version + " " + sys_version


class ServerHandler(SimpleHandler):
    """What answers a request of a `WSGIRequestHandler` that has the connection to itself."""

    server_software = software_version
    request_handler: Any

    def close(self) -> None:
        try:
            self.request_handler.log_request(self.status.split(" ", 1)[0], self.bytes_sent)
        finally:
            SimpleHandler.close(self)


_ORIGINAL_SERVER_HANDLER = ServerHandler


class _Life:
    """How far a `serve_forever()` has come, for those who end it from other threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards the next two
        self.end_requested = False
        self.engine: _Server | None = None
        self.over = threading.Event()


class WSGIServer(HTTPServer):
    """An HTTP server that has a WSGI application."""

    application: WSGIApplication | None = None
    base_environ: dict[str, Any]
    # application threads; with more than one the application must be ready for that
    engine_threads: int = 1

    def server_bind(self) -> None:
        """Bind the socket, and store the server's name."""
        HTTPServer.server_bind(self)
        self.setup_environ()

    def setup_environ(self) -> None:
        """Set up what each request's environ begins with."""
        self.base_environ = {
            "SERVER_NAME": self.server_name,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PORT": str(self.server_port),
            "REMOTE_HOST": "",
            "CONTENT_LENGTH": "",
            "SCRIPT_NAME": "",
        }

    def get_app(self) -> WSGIApplication | None:
        return self.application

    def set_app(self, application: WSGIApplication | None) -> None:
        self.application = application

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until `shutdown()` is called. `service_actions()` is called every `poll_interval` seconds."""
        life = self._life()
        life.over.clear()
        try:
            override = self._override()
            if override is None:
                self._serve_on_engine(life, poll_interval)
            elif self.engine_threads != 1:
                raise RuntimeError(
                    f"threads={self.engine_threads} is for the engine, which {override} keeps this server from: "
                    "leave that out, or have socketserver.ThreadingMixIn instead of threads"
                )
            else:
                self._serve_one_by_one(life, poll_interval)
        finally:
            with life.lock:
                life.end_requested = False
                life.engine = None
            life.over.set()

    def shutdown(self) -> None:
        """End `serve_forever()`, which runs in another thread, and wait until it has ended."""
        life = self._life()
        with life.lock:
            life.end_requested = True
            engine = life.engine
        if engine is not None:
            engine.shutdown()
        life.over.wait()

    def _life(self) -> _Life:
        # Not made by __init__(), which some subclasses do not call.
        life: _Life = vars(self).setdefault("_life_", _Life())
        return life

    def _front(self) -> _Front:
        return _Front(self)

    def _override(self) -> str | None:
        """What keeps this server from the engine, if anything does."""
        front = self._front()
        if name := _overridden(self, front.server_base, _SERVER_SEAMS):
            return name
        handler_class: Any = self.RequestHandlerClass
        if not (isinstance(handler_class, type) and issubclass(handler_class, front.handler_base)):
            return f"the handler class {handler_class!r}, which is no subclass of WSGIRequestHandler,"
        if name := _overridden(handler_class, front.handler_base, front.handler_seams):
            return name
        if ServerHandler is not _ORIGINAL_SERVER_HANDLER:
            return "the replaced simple_server.ServerHandler"
        if type(self.socket) is not socket.socket:
            return f"the socket, which is a {type(self.socket).__qualname__},"
        return None

    def _serve_one_by_one(self, life: _Life, poll_interval: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while not life.end_requested:
                ready = selector.select(poll_interval)
                if life.end_requested:
                    break
                if ready:
                    self._handle_request_noblock()  # type: ignore[attr-defined]
                self.service_actions()

    def _serve_on_engine(self, life: _Life, poll_interval: float) -> None:
        front = self._front()
        has_actions = _overridden(self, BaseServer, ["service_actions"]) is not None
        with front.credentials() as credentials:
            engine = _Server(
                front.application(),
                self.socket,
                server_software=front.handler_class.server_version,
                on_request=front.on_request(),
                on_error=front.on_error,
                on_tick=self.service_actions if has_actions else None,
                tick=max(poll_interval, 0.001),
                **front.settings(),
                **credentials,
            )
        with life.lock:
            if life.end_requested:
                return
            life.engine = engine
        with ended_with_the_program(engine):
            front.serve(engine)


# What the original calls for a connection, between accepting and closing it: who overrides one of these wants to have
# the connection.
_SERVER_SEAMS = [
    "fileno",
    "get_request",
    "verify_request",
    "process_request",
    "finish_request",
    "shutdown_request",
    "close_request",
    "_handle_request_noblock",
]
_HANDLER_SEAMS = [
    "__new__",
    "__init__",
    "setup",
    "handle",
    "finish",
    "handle_one_request",
    "parse_request",
    "handle_expect_100",
    "send_error",
    "send_response",
    "send_response_only",
    "send_header",
    "end_headers",
    "flush_headers",
    "rbufsize",
    "wbufsize",
    "disable_nagle_algorithm",
]


def _overridden(subject: object, base: type, names: Iterable[str]) -> str | None:
    """The first of these names that stands for something else than in the base, as `Class.name`."""
    kind = subject if isinstance(subject, type) else type(subject)
    for name in names:
        if kind is not subject and name in vars(subject):
            return f"{kind.__qualname__}().{name}"
        if getattr(kind, name, None) is not getattr(base, name, None):
            owner = next(cls for cls in kind.__mro__ if name in vars(cls))
            return f"{owner.__qualname__}.{name}"
    return None


class WSGIRequestHandler(BaseHTTPRequestHandler):
    """Answers a request with the server's application.

    On the engine there is one for a request whose environ or log is overridden, made without a connection: what was
    asked for is known, and `rfile`, `wfile`, `request` and `connection` are not.
    """

    server_version = server_version
    server: WSGIServer
    headers: HTTPMessage

    def get_environ(self) -> WSGIEnvironment:
        """What the request and the server say, before WSGI's own keys."""
        return _wsgiref.request_environ(self)

    def get_stderr(self) -> ErrorStream:
        return sys.stderr

    def parse_request(self) -> bool:
        """Read the rest of the head, whose first line is in `raw_requestline`. False if it was refused and answered."""
        self.command = ""
        self.request_version = self.default_request_version
        self.close_connection = True
        self.requestline = str(self.raw_requestline, "iso-8859-1").rstrip("\r\n")
        if not self.requestline.split():
            return False
        try:
            head = _wsgiref.RequestHeadReader(self.raw_requestline, self.rfile)
        except _wsgiref.BadRequest as error:
            status, rule = error.args
            # HTTP/0.9, which the default stands for, has no status to tell it with.
            self.request_version = "HTTP/1.0"
            self.send_error(status, explain=rule)
            return False
        self._head = head
        self.command, self.path, self.request_version = head.method, head.path, head.version
        self.headers = _message(self.MessageClass, head.fields)
        if self.protocol_version >= "HTTP/1.1":
            self.close_connection = not head.persistent
            if head.expects_continue:
                return self.handle_expect_100()
        return True

    def handle(self) -> None:
        """Answer one request."""
        self.raw_requestline = self.rfile.readline(65537)
        if len(self.raw_requestline) > 65536:
            self.requestline = ""
            self.request_version = ""
            self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return
        if not self.parse_request():
            return
        handler = ServerHandler(
            self._head.body(self.rfile),
            self.wfile,
            self.get_stderr(),
            self.get_environ(),
            multithread=isinstance(self.server, ThreadingMixIn),
            multiprocess=hasattr(self.server, "active_children"),
        )
        handler.request_handler = self
        handler.run(self.server.get_app())  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        fields = vars(self).get("_fields")
        if fields is not None:
            if name == "headers":
                self.headers = _message(self.MessageClass, fields)
                return self.headers
            if name in ("rfile", "wfile", "request", "connection"):
                raise AttributeError(
                    f"{name} is the engine's, as {type(self).__qualname__} overrides neither handle() nor setup()"
                )
        raise AttributeError(f"{type(self).__qualname__!r} object has no attribute {name!r}")


def _message(kind: Callable[[], Any], fields: Iterable[tuple[str, str]]) -> HTTPMessage:
    message: HTTPMessage = kind()
    for name, value in fields:
        message[name] = value  # adds, and replaces nothing
    return message


class _Front:
    """Where the engine meets a server's methods."""

    # what is overridden is what stands for something else than in these
    server_base: type[WSGIServer] = WSGIServer
    handler_base: type[WSGIRequestHandler] = WSGIRequestHandler
    handler_seams: Iterable[str] = _HANDLER_SEAMS

    def __init__(self, server: WSGIServer) -> None:
        self.server = server
        self.handler_class: type[WSGIRequestHandler] = server.RequestHandlerClass  # type: ignore[assignment]
        self.date = (0, "")

    def serve(self, engine: _Server) -> None:
        engine.serve()

    def credentials(self) -> AbstractContextManager[dict[str, Any]]:
        """What the engine reads as it is made, to speak TLS."""
        return nullcontext({})

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "process_environ": ServerHandler.os_environ,
            "base_environ": self.server.base_environ,
            "threads": self.server.engine_threads,
            # The original lets an application, and who waits for it, take their time.
            "timeout": 0,
            "queue_timeout": 0,
            "server_header": ServerHandler.server_software or "",
        }
        if self.handler_class.timeout is not None:
            settings |= dict.fromkeys(("head_timeout", "body_timeout", "keep_alive"), self.handler_class.timeout)
        return settings

    def overrides(self, *names: str) -> bool:
        return _overridden(self.handler_class, self.handler_base, names) is not None

    def handler(self, request: _Request) -> WSGIRequestHandler:
        """The handler object of a request, the same for all that is overridden."""
        handler: WSGIRequestHandler | None = vars(request).get("handler")
        if handler is None:
            handler = self.handler_class.__new__(self.handler_class)
            handler.server = self.server
            handler.client_address = request.client_address  # type: ignore[assignment]
            handler.requestline = request.line
            handler.raw_requestline = request.line.encode("iso-8859-1") + b"\r\n"
            handler.command, handler.path = request.method, request.target
            handler.request_version = request.version
            handler.close_connection = False
            # Not the request itself: what two of them keep alive would stay for ever.
            vars(handler)["_fields"] = request.fields
            vars(request)["handler"] = handler
        return handler

    def application(self) -> WSGIApplication:
        server = self.server
        own_environ, own_stderr = self.overrides("get_environ"), self.overrides("get_stderr")

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ.setdefault("CONTENT_TYPE", "text/plain")
            environ.setdefault("CONTENT_LENGTH", "")
            if environ["RAW_URI"].startswith("//"):
                # Clients take such a path for a host, should it be sent back to them in a Location.
                environ["PATH_INFO"] = "/" + environ["PATH_INFO"].lstrip("/")
            return server.get_app()(environ, start_response)  # type: ignore[misc]

        if not own_environ and not own_stderr:
            return call

        def call_with_own(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            request = _Server.current()
            assert request is not None, "a hook is there, so a request is"
            handler = self.handler(request)
            if own_environ:
                own = {**ServerHandler.os_environ, **handler.get_environ()}
                for key, value in environ.items():
                    if key.startswith(("wsgi.", "whiskyjack.")):
                        own.setdefault(key, value)
                environ = own
            if own_stderr:
                environ["wsgi.errors"] = handler.get_stderr()
            return server.get_app()(environ, start_response)  # type: ignore[misc]

        return call_with_own

    def on_request(self) -> Callable[[_Request, int, int, float], None]:
        names = "log_request", "log_message", "address_string", "log_date_time_string"
        return self.log_by_handler if self.overrides(*names) else self.log

    def log(self, request: _Request, status: int, length: int, _: float) -> None:
        """What `log_request()` writes where nothing of it is overridden."""
        stderr = sys.stderr
        if status == 0 or stderr is None:
            return
        second = int(time.time())
        if self.date[0] != second:
            now = time.localtime(second)
            self.date = second, time.strftime(f"%d/{_MONTHS[now.tm_mon]}/%Y %H:%M:%S", now)
        peer = request.client_address
        line = request.line.replace("\\", "\\\\")
        stderr.write(f'{peer[0] if peer else ""} - - [{self.date[1]}] "{line}" {status} {length}\n')

    def log_by_handler(self, request: _Request, status: int, length: int, _: float) -> None:
        if status == 0:
            return
        try:
            self.handler(request).log_request(str(status), length)
        except Exception:
            self.server.handle_error(None, request.client_address)  # type: ignore[arg-type]

    def on_error(self, request: _Request, error: BaseException) -> None:
        stderr = self.handler(request).get_stderr() if self.overrides("get_stderr") else sys.stderr
        traceback.print_exception(error, limit=ServerHandler.traceback_limit, file=stderr)
        if stderr is not None:
            stderr.flush()


# as BaseHTTPRequestHandler has them, whatever the locale
_MONTHS = BaseHTTPRequestHandler.monthname


def demo_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Greet, and show the environ."""
    lines = ["Hello world!", "", *(f"{key} = {value!r}" for key, value in sorted(environ.items()))]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ["".join(f"{line}\n" for line in lines).encode("utf-8")]


def make_server(
    host: str,
    port: int,
    app: WSGIApplication | None,
    server_class: type[WSGIServer] = WSGIServer,
    handler_class: type[WSGIRequestHandler] = WSGIRequestHandler,
    *,
    threads: int = 1,
) -> WSGIServer:
    """Create a new WSGI server listening on `host` and `port` for `app`, which that many threads may call."""
    server = server_class((host, port), handler_class)
    server.set_app(app)
    if threads != 1:
        server.engine_threads = threads
    return server


def _main(port: int) -> None:
    with make_server("", port, demo_app) as httpd:
        address = httpd.socket.getsockname()
        print("Serving HTTP on", address[0], "port", address[1], "...", flush=True)
        import webbrowser

        webbrowser.open(f"http://localhost:{address[1]}/xyz?abc")
        httpd.handle_request()  # serve one request, then exit


if __name__ == "__main__":
    _main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
