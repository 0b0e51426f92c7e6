"""Werkzeug's development server by its names, on Whiskyjack's engine: `run_simple("localhost", 5000, app)`.

As in `whiskyjack.wsgiref.simple_server`, whose mechanism this is: as long as nothing is overridden that replaces the
way a request is handled, `serve_forever()` runs on the engine, and what is overridden of environ and log is called.
Otherwise, and for a customised SSLContext and forked children, each connection goes through the methods of the handler.
`docs/from-werkzeug.md` tells which overrides do that.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from whiskyjack._development import debugged, tell_pin
from whiskyjack._whiskyjack import Request as _Request
from whiskyjack._whiskyjack import Server as _Server
from whiskyjack._whiskyjack import __version__
from whiskyjack._whiskyjack import wsgiref as _wsgiref
from whiskyjack.werkzeug import _reloader
from whiskyjack.werkzeug._answer import Answer, comes_another, is_drained, told
from whiskyjack.werkzeug._certificates import (
    generate_adhoc_ssl_context,
    generate_adhoc_ssl_pair,
    load_ssl_context,
    make_ssl_devcert,
)
from whiskyjack.werkzeug._log import log as _log
from whiskyjack.werkzeug._log import styled, styled_by_status
from whiskyjack.werkzeug._tls import TLS, Credentials
from whiskyjack.wsgiref import simple_server
from whiskyjack.wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "LISTEN_QUEUE",
    "BaseWSGIServer",
    "DechunkedInput",
    "ForkingWSGIServer",
    "ThreadedWSGIServer",
    "WSGIRequestHandler",
    "generate_adhoc_ssl_context",
    "generate_adhoc_ssl_pair",
    "get_interface_ip",
    "get_sockaddr",
    "is_running_from_reloader",
    "is_ssl_error",
    "load_ssl_context",
    "make_server",
    "make_ssl_devcert",
    "run_simple",
    "select_address_family",
]

LISTEN_QUEUE = 128
can_fork = hasattr(os, "fork")


class DechunkedInput(io.RawIOBase):
    """What is in the chunks of a stream. It ends where they do; OSError if they break the rules."""

    def __init__(self, rfile: Any) -> None:
        head = io.BytesIO(b"Host: of.no.request\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._body = _wsgiref.RequestHeadReader(b"POST / HTTP/1.1\r\n", head).body(rfile)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._body.read(len(buffer))
        except ValueError as error:
            raise OSError(f"invalid chunk: {error}") from error
        buffer[: len(data)] = data
        return len(data)


class WSGIRequestHandler(simple_server.WSGIRequestHandler):
    """Answers requests with the server's application.

    On the engine there is one for each request, without a connection: `rfile`, `wfile` and `connection` are not there.
    """

    protocol_version = "HTTP/1.1"
    server_version = f"Whiskyjack/{__version__}"
    server: BaseWSGIServer
    environ: WSGIEnvironment

    def make_environ(self) -> WSGIEnvironment:
        """The environ of the request."""
        of_engine: WSGIEnvironment | None = vars(self).get("_environ_of_engine")
        if of_engine is not None:
            return of_engine
        address: Any = self.client_address
        if not address or isinstance(address, str):
            self.client_address = (address or "<local>", 0)
        environ = _wsgiref.request_environ(self)
        if "Content-Type" not in self.headers:
            del environ["CONTENT_TYPE"]
        target = self.requestline.split()[1]
        if not target.startswith("/") and (authority := urlsplit(target).netloc):
            environ["HTTP_HOST"] = authority  # RFC 9112 3.2.2
        self._body = self._head.body(self.rfile)
        certificate = getattr(self.connection, "getpeercert", lambda _: None)(True)
        if certificate:
            environ["SSL_CLIENT_CERT"] = ssl.DER_cert_to_PEM_cert(certificate)
        return environ | {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self.server.ssl_context is None else "https",
            "wsgi.input": self._body,
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": self.server.multithread,
            "wsgi.multiprocess": self.server.multiprocess,
            "wsgi.run_once": False,
            "werkzeug.socket": self.connection,
            "SCRIPT_NAME": "",
            "REQUEST_URI": target,
            "RAW_URI": target,
            "REMOTE_ADDR": self.address_string(),
            "REMOTE_PORT": self.port_integer(),
        }

    def run_wsgi(self) -> None:
        """Answer the request whose head was read, with the connection to itself."""
        is_asked, self.close_connection = not self.close_connection, True
        self.environ = self.make_environ()
        answer = Answer(self, persists=is_asked and self._is_over_after_this())
        answer.run(self.server.app)
        self.close_connection = not (answer.persists and is_drained(self._body))

    def _is_over_after_this(self) -> bool:
        """Whether the next request, if there is one, begins where this one's body ends."""
        if min(self.request_version, self.protocol_version) < "HTTP/1.1" or not self.server._serves:
            return False
        # The body of chunks may have been read beyond its end, and whoever upgrades goes on with the connection.
        if "Transfer-Encoding" in self.headers or "Upgrade" in self.headers:
            return False
        body = vars(self).get("_body")
        return body is not None and self.environ.get("wsgi.input") is body

    def handle_one_request(self) -> None:
        """Answer the next request. After the first it is waited for as long as nobody else needs the server."""
        if "environ" in vars(self) and not comes_another(self, self.server._rivals(), self.server._is_ending):
            self.close_connection = True
            return
        super().handle_one_request()

    def handle(self) -> None:
        """Answer requests until the connection ends."""
        try:
            BaseHTTPRequestHandler.handle(self)
        except ssl.SSLError as error:
            self.log_error("TLS: %s", error)
        except (ConnectionError, TimeoutError) as error:
            self.connection_dropped(error)

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().finish()

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        """Called if the client has left before it had a response."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.run_wsgi
        return super().__getattr__(name)

    def address_string(self) -> str:
        environ = vars(self).get("environ")
        if environ:
            return str(environ["REMOTE_ADDR"])
        address: Any = self.client_address
        if not address:
            return "<local>"
        return str(address if isinstance(address, str) else address[0])

    def port_integer(self) -> int:
        return self.client_address[1]

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        code = str(code.value if hasattr(code, "value") else code)
        # Escaped is what a terminal could take for orders; a target has no other characters than these.
        line = self.requestline.encode("unicode_escape").decode("ascii")
        self.log("info", '"%s" %s %s', styled_by_status(line, code), code, size)

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002
        self.log("error", format, *args)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        self.log("info", format, *args)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        # The scope of an IPv6 address begins with a percent sign.
        address = self.address_string().replace("%", "%%")
        _log(type, f"{address} - - [{self.log_date_time_string()}] {message}\n", *args)


class BaseWSGIServer(simple_server.WSGIServer):
    """A server that answers one request at a time. `make_server` makes it."""

    multithread = False
    multiprocess = False
    request_queue_size = LISTEN_QUEUE
    allow_reuse_address = True
    # whether one request after another is served, rather than a single one
    _serves = False

    def __init__(
        self,
        host: str,
        port: int,
        app: WSGIApplication,
        handler: type[WSGIRequestHandler] | None = None,
        passthrough_errors: bool = False,
        ssl_context: TLS | None = None,
        fd: int | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.app = app
        self.passthrough_errors = passthrough_errors
        self._credentials = Credentials(ssl_context)
        self.ssl_context = self._credentials.context
        self.address_family = select_address_family(host, port)
        address: Any = get_sockaddr(host, int(port), self.address_family)
        super().__init__(address, handler or WSGIRequestHandler, bind_and_activate=False)
        if fd is None:
            self._listen(address)
        else:
            self.server_close()
            self.socket = socket.fromfd(fd, self.address_family, socket.SOCK_STREAM)
            self.server_address = self.socket.getsockname()
        if self.address_family != socket.AF_UNIX:
            self.port = self.server_address[1]
        self.server_name, self.server_port = host, self.port
        self.setup_environ()
        if self.ssl_context is not None and not self._credentials.fits_the_engine(self.socket):
            self._secure()

    def _secure(self) -> None:
        """Has connections speak TLS by Python's ssl, as the engine would by itself."""
        if self.ssl_context is not None and not isinstance(self.socket, ssl.SSLSocket):
            # Hands are shaken by whoever reads first: not while accepting, which a silent client would hold up.
            self.socket = self.ssl_context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def get_request(self) -> Any:
        self._secure()
        return super().get_request()

    def _listen(self, address: Any) -> None:
        try:
            if self.address_family == socket.AF_UNIX and os.path.exists(address):
                os.unlink(address)
            self.server_bind()
            self.server_activate()
        except OSError as error:
            self.server_close()
            print(error.strerror, file=sys.stderr)
            if error.errno == errno.EADDRINUSE:
                print(f"Port {self.port} is taken: end the program that has it, or choose another.", file=sys.stderr)
                if sys.platform == "darwin" and self.port == 5000:
                    print("On macOS it may be 'AirPlay Receiver': see System Settings.", file=sys.stderr)
            sys.exit(1)
        except BaseException:
            self.server_close()
            raise

    def server_bind(self) -> None:
        # without the look-up of names that http.server adds
        socketserver.TCPServer.server_bind(self)

    def setup_environ(self) -> None:
        self.base_environ = {}
        if self.address_family != socket.AF_UNIX:
            name, port = self.server_address[:2]
            self.base_environ = {"SERVER_NAME": name, "SERVER_PORT": str(port)}

    def _rivals(self) -> list[Any]:
        """What has something to read if somebody waits for whoever is with an idle connection."""
        return [self.socket]

    def _is_ending(self) -> bool:
        return self._life().end_requested

    def get_app(self) -> WSGIApplication:
        return self.app

    def set_app(self, application: WSGIApplication | None) -> None:
        assert application is not None, "an application is what it is made with"
        self.app = application

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        _log(type, message, *args)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until `shutdown()` or Ctrl-C, and close the socket."""
        self._serves = True
        try:
            super().serve_forever(poll_interval)
        except KeyboardInterrupt:
            pass
        finally:
            self._serves = False
            self.server_close()

    def shutdown_request(self, request: Any) -> None:
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)  # a reset, which an orderly end would forestall
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if self.passthrough_errors:
            raise
        super().handle_error(request, client_address)

    def log_startup(self) -> None:
        """Log where it serves."""
        lines = [styled("WARNING: this serves one developer. To serve others, run whiskyjack.", "bold", "red")]
        scheme = "http" if self.ssl_context is None else "https"
        shown = [self.host]
        if self.host in ("0.0.0.0", "::"):
            lines.append(f" * Running on all addresses ({self.host})")
            loopback = "127.0.0.1" if self.host == "0.0.0.0" else "::1"
            shown = [loopback, get_interface_ip(socket.AddressFamily(self.address_family))]
        for host in shown:
            if self.address_family == socket.AF_UNIX:
                lines.append(f" * Running on {host}")
            else:
                written = f"[{host}]" if ":" in host else host
                lines.append(f" * Running on {scheme}://{written}:{self.port}")
        _log("info", "%s", "\n".join(lines))

    def _front(self) -> _Front:
        return _Front(self)

    def _override(self) -> str | None:
        handler_class: Any = self.RequestHandlerClass
        override = super()._override()
        if override is None and handler_class.protocol_version < "HTTP/1.1":
            return f"{handler_class.__qualname__}.protocol_version"
        return override


class ThreadedWSGIServer(socketserver.ThreadingMixIn, BaseWSGIServer):
    """A server that answers requests beside each other, each on a thread."""

    multithread = True
    daemon_threads = True
    # of the engine: so many requests can be inside the application at once
    threads = 40

    def _rivals(self) -> list[Any]:
        return []  # a thread more is there for everybody


class ForkingWSGIServer(socketserver.ForkingMixIn, BaseWSGIServer):
    """A server that answers each request in a process that it forks for it."""

    multiprocess = True

    def __init__(
        self,
        host: str,
        port: int,
        app: WSGIApplication,
        processes: int = 40,
        handler: type[WSGIRequestHandler] | None = None,
        passthrough_errors: bool = False,
        ssl_context: TLS | None = None,
        fd: int | None = None,
    ) -> None:
        super().__init__(host, port, app, handler, passthrough_errors, ssl_context, fd)
        self.max_children = processes
        # Its other end is this process's alone, so that children see when the server is closed.
        self._open, self._held = socket.socketpair()

    def _rivals(self) -> list[Any]:
        return [self.socket, self._open]

    def finish_request(self, request: Any, client_address: Any) -> None:
        # in the child
        self._held.close()
        super().finish_request(request, client_address)

    def shutdown(self) -> None:
        # Where all children are busy being idle, the server waits for one of them.
        self._held.close()
        super().shutdown()

    def server_close(self) -> None:
        if "_held" in vars(self):
            self._held.close()
        super().server_close()
        if "_open" in vars(self):
            self._open.close()


class _Front(simple_server._Front):
    """Where the engine meets the methods of these classes."""

    server: BaseWSGIServer
    handler_class: type[WSGIRequestHandler]
    handler_base = WSGIRequestHandler
    # run_wsgi() is what the original calls for each method of HTTP, as do_GET and the like.
    handler_seams = (
        *simple_server._HANDLER_SEAMS,
        *("run_wsgi", "date_time_string"),
        *(
            f"do_{method}"
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
        ),
    )

    def __init__(self, server: BaseWSGIServer) -> None:
        super().__init__(server)
        self.server_base = ThreadedWSGIServer if isinstance(server, ThreadedWSGIServer) else BaseWSGIServer
        self.engine: _Server | None = None
        self.failure: BaseException | None = None

    def serve(self, engine: _Server) -> None:
        self.engine = engine
        try:
            engine.serve()
        finally:
            # The engine has this object's methods, and a circle through it would stay for ever.
            self.engine = None
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def credentials(self) -> contextlib.AbstractContextManager[dict[str, Any]]:
        return self.server._credentials.settings()

    def settings(self) -> dict[str, Any]:
        nobody = self.handler_class.__new__(self.handler_class)
        settings = super().settings()
        del settings["process_environ"]
        threads = self.server.threads if isinstance(self.server, ThreadedWSGIServer) else 1
        # A WebSocket of an application that is called by one thread would hold up all else.
        return settings | {"threads": threads, "websockets": 1000, "server_header": nobody.version_string()}

    def application(self) -> WSGIApplication:
        server = self.server
        is_overridden = self.overrides("make_environ", "address_string", "port_integer")

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if "REMOTE_PORT" in environ:
                environ["REMOTE_PORT"] = int(environ["REMOTE_PORT"])
            if "CONTENT_LENGTH" in environ and (coding := _transfer_coding()):
                # As with the original; the command gives the length that the decoded body has.
                environ["HTTP_TRANSFER_ENCODING"] = coding
                del environ["CONTENT_LENGTH"]
            if environ["RAW_URI"].startswith("//"):
                environ["PATH_INFO"] = "/" + environ["PATH_INFO"].lstrip("/")
            if is_overridden:
                environ = self.own_environ(environ)
            return server.app(environ, start_response)

        return call

    def own_environ(self, environ: WSGIEnvironment) -> WSGIEnvironment:
        request = _Server.current()
        assert request is not None, "a hook is there, so a request is"
        handler = self.handler(request)
        environ["REMOTE_ADDR"] = handler.address_string()
        vars(handler)["_environ_of_engine"] = environ
        environ = handler.make_environ()
        handler.environ = environ
        return environ

    def handler(self, request: _Request) -> WSGIRequestHandler:
        handler = super().handler(request)
        assert isinstance(handler, WSGIRequestHandler), "_override() has looked"
        return handler

    def on_request(self) -> Callable[[_Request, int, int, float], None]:
        return self.log_by_handler

    def log_by_handler(self, request: _Request, status: int, length: int, seconds: float) -> None:
        handler = self.handler(request)
        try:
            if status == 0:
                error = ConnectionAbortedError(errno.ECONNABORTED, "the client left before it was sent a response")
                handler.connection_dropped(error, vars(handler).get("environ"))
            else:
                handler.log_request(status)
        except Exception as error:
            self.server.log("error", "%s", told(error))

    def on_error(self, request: _Request, error: BaseException) -> None:
        if self.server.passthrough_errors and not self.server.multithread and self.engine is not None:
            self.failure = error
            self.engine.stop()
        else:
            self.server.log("error", "%s", told(error))


def _transfer_coding() -> str | None:
    request = _Server.current()
    fields = request.fields if request is not None else ()
    return next((value for name, value in fields if name.lower() == "transfer-encoding"), None)


def make_server(
    host: str,
    port: int,
    app: WSGIApplication,
    threaded: bool = False,
    processes: int = 1,
    request_handler: type[WSGIRequestHandler] | None = None,
    passthrough_errors: bool = False,
    ssl_context: TLS | None = None,
    fd: int | None = None,
) -> BaseWSGIServer:
    """A server that listens: with threads, with `processes` children at the most, or for one request at a time."""
    if threaded and processes > 1:
        raise ValueError(f"threaded=True and processes={processes}: choose one of them")
    rest: dict[str, Any] = {"passthrough_errors": passthrough_errors, "ssl_context": ssl_context, "fd": fd}
    if threaded:
        return ThreadedWSGIServer(host, port, app, request_handler, **rest)
    if processes > 1:
        return ForkingWSGIServer(host, port, app, processes, request_handler, **rest)
    return BaseWSGIServer(host, port, app, request_handler, **rest)


def run_simple(
    hostname: str,
    port: int,
    application: WSGIApplication,
    use_reloader: bool = False,
    use_debugger: bool = False,
    use_evalex: bool = True,
    extra_files: Iterable[str] | None = None,
    exclude_patterns: Iterable[str] | None = None,
    reloader_interval: int = 1,
    reloader_type: str = "auto",
    threaded: bool = False,
    processes: int = 1,
    request_handler: type[WSGIRequestHandler] | None = None,
    static_files: dict[str, str | tuple[str, str]] | None = None,
    passthrough_errors: bool = False,
    ssl_context: TLS | None = None,
) -> None:
    """Serve an application for its developer, until Ctrl-C."""
    if not isinstance(port, int):
        raise TypeError(f"port must be an integer, not {port!r}")
    if static_files:
        shared = _of_werkzeug("middleware.shared_data", f"static_files={static_files!r}")
        application = shared.SharedDataMiddleware(application, static_files)
    if reloader_type not in _reloader.TYPES:
        raise ValueError(f"reloader_type={reloader_type!r}: write one of {', '.join(_reloader.TYPES)}")
    if use_debugger:
        application = debugged(application, [hostname], evalex=use_evalex)
        if is_running_from_reloader() or not use_reloader:
            tell_pin(application)
    inherited = os.environ.get("WERKZEUG_SERVER_FD") if is_running_from_reloader() else None
    server = make_server(
        hostname,
        port,
        application,
        threaded,
        processes,
        request_handler,
        passthrough_errors,
        ssl_context,
        # somebody else's reloader may use the other variable for itself
        fd=None if inherited is None else int(inherited),
    )
    if inherited is None:
        server.log_startup()
        _log("info", styled("Press CTRL+C to quit", "yellow"))
    if not use_reloader:
        server.serve_forever()
        return
    server.socket.set_inheritable(True)
    os.environ["WERKZEUG_SERVER_FD"] = str(server.fileno())

    @contextlib.contextmanager
    def stand_in(other: WSGIApplication) -> Iterator[None]:
        rest: dict[str, Any] = {"ssl_context": ssl_context, "fd": server.fileno()}
        standing = make_server(hostname, port, other, threaded=True, **rest)
        thread = threading.Thread(target=standing.serve_forever, name="stand-in", daemon=True)
        thread.start()
        try:
            yield
        finally:
            standing.shutdown()
            thread.join()

    try:
        _reloader.run_with_reloader(
            server.serve_forever, stand_in, extra_files, exclude_patterns, reloader_interval, reloader_type
        )
    finally:
        server.server_close()


def _of_werkzeug(module: str, argument: str) -> Any:
    try:
        return import_module(f"werkzeug.{module}")
    except ImportError as error:
        raise RuntimeError(f"{argument} needs Werkzeug ({error}): pip install werkzeug") from error


def is_running_from_reloader() -> bool:
    """Whether this process is one that a reloader has started."""
    return _reloader.is_child()


def is_ssl_error(error: BaseException | None = None) -> bool:
    """Whether the error, or the one that is being handled, is one of TLS."""
    return isinstance(error if error is not None else sys.exc_info()[1], ssl.SSLError)


def select_address_family(host: str, port: int) -> socket.AddressFamily:
    """Which kind of socket the host's name asks for."""
    if host.startswith("unix://"):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def get_sockaddr(host: str, port: int, family: socket.AddressFamily) -> tuple[str, int] | str:
    """The address for `bind()`."""
    if family == socket.AF_UNIX:
        return os.path.abspath(host.removeprefix("unix://"))
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except socket.gaierror:
        return host, port
    return found[0][4]  # type: ignore[return-value]


def get_interface_ip(family: socket.AddressFamily) -> str:
    """The address that others reach this machine at, or the loopback if there is none."""
    # No packet is sent: the kernel only chooses where it would leave. Both are private addresses of nobody's.
    elsewhere = "fd00::1" if family == socket.AF_INET6 else "10.254.254.254"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])
