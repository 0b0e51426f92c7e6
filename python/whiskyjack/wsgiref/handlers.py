"""Base classes for servers and gateways.

A handler is made of methods and attributes that a subclass may replace; what they do with the protocol is done in Rust.
"""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeAlias

from whiskyjack._whiskyjack import wsgiref as _wsgiref
from whiskyjack.wsgiref.headers import Headers
from whiskyjack.wsgiref.types import ErrorStream, InputStream, StartResponse, WSGIApplication, WSGIEnvironment
from whiskyjack.wsgiref.util import FileWrapper, guess_scheme

__all__ = ["BaseCGIHandler", "BaseHandler", "CGIHandler", "IISCGIHandler", "SimpleHandler", "read_environ"]

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType]
_OptExcInfo: TypeAlias = _ExcInfo | tuple[None, None, None]

read_environ = _wsgiref.read_environ
format_date_time = _wsgiref.format_date_time


class BaseHandler:
    """Manage the invocation of a WSGI application.

    A subclass must have `_write`, `_flush`, `get_stdin`, `get_stderr` and `add_cgi_vars`; all else can be replaced.
    """

    # the configuration, of a class or of an instance
    wsgi_version: tuple[int, int] = (1, 0)
    wsgi_multithread: bool = True
    wsgi_multiprocess: bool = True
    wsgi_run_once: bool = False

    # whether the client itself is on the other side, rather than a server
    origin_server: bool = True
    # the version that the status line names
    http_version: str = "1.0"
    # what the Server field and SERVER_SOFTWARE say, if anything
    server_software: str | None = None

    # what every environ begins with: the process's environment as it was at import
    os_environ: dict[str, str] = read_environ()

    # what the application gets as wsgi.file_wrapper; None for nothing
    wsgi_file_wrapper: Callable[..., Any] | None = FileWrapper
    headers_class: Callable[..., Any] = Headers

    # what is said of an error: how much of the traceback to wsgi.errors, and the response
    traceback_limit: int | None = None
    error_status: str = "500 Internal Server Error"
    error_headers: list[tuple[str, str]] = [("Content-Type", "text/plain")]  # noqa: RUF012
    error_body: bytes = b"A server error occurred.  Please contact the administrator."

    # the state of the request that is handled
    environ: WSGIEnvironment
    status: Any = None
    result: Any = None
    headers: Any = None
    headers_sent: bool = False
    bytes_sent: int = 0

    def run(self, application: WSGIApplication) -> None:
        """Invoke the application, and send what it returns."""
        # There is no close() here but after an error in the handling of an error: an asynchronous server, which has
        # replaced
        # finish_response(), returns while there is still something to iterate over.
        try:
            self.setup_environ()
            self.result = application(self.environ, self.start_response)
            self.finish_response()
        except (ConnectionAbortedError, BrokenPipeError, ConnectionResetError):
            return  # clients go whenever they like
        except BaseException:
            try:
                self.handle_error()
            except BaseException:
                self.close()
                raise

    def setup_environ(self) -> None:
        """Set up the environment for one request."""
        _wsgiref.set_up_environ(self)

    def finish_response(self) -> None:
        """Send any iterable data, then close self and the iterable.

        An asynchronous server redefines this: it arranges for callbacks that iterate over the data, and that call
        `self.close()` in the
        end.
        """
        try:
            if not self.result_is_file() or not self.sendfile():
                for data in self.result:
                    self.write(data)
                self.finish_content()
        except BaseException:
            # not self.close(), which would forget what handle_error() and the log may want to know
            if hasattr(self.result, "close"):
                self.result.close()
            raise
        else:
            self.close()

    def get_scheme(self) -> str:
        """Return the URL scheme being used."""
        return guess_scheme(self.environ)

    def set_content_length(self) -> None:
        """Set the Content-Length where it is known."""
        length = _wsgiref.implied_length(self.result, self.bytes_sent)
        if length is not None:
            self.headers["Content-Length"] = length

    def cleanup_headers(self) -> None:
        """Make any necessary header changes or defaults. Subclasses can extend this to add other defaults."""
        if "Content-Length" not in self.headers:
            self.set_content_length()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: _OptExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response()."""
        if exc_info:
            try:
                if self.headers_sent:
                    if exc_info[1] is None:
                        raise AssertionError("Headers already sent!")
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it would keep this frame, which keeps it
        elif self.headers is not None:
            raise AssertionError("Headers already set!")
        self.status = status
        self.headers = self.headers_class(headers)
        _wsgiref.refuse_status(status)
        _wsgiref.refuse_fields(headers)
        return self.write

    def send_preamble(self) -> None:
        """Transmit version/status/date/server, via self._write()."""
        if not self.origin_server:
            self._write(_wsgiref.gateway_preamble(self.status))
        elif self.client_is_modern():
            timestamp = None if "Date" in self.headers else time.time()
            software = None if not self.server_software or "Server" in self.headers else self.server_software
            self._write(_wsgiref.origin_preamble(self.http_version, self.status, timestamp, software))

    def write(self, data: bytes) -> None:
        """PEP 3333's write()."""
        if type(data) is not bytes:
            raise AssertionError("write() argument must be a bytes instance")
        if not self.status:
            raise AssertionError("write() before start_response()")
        if not self.headers_sent:
            self.bytes_sent = len(data)  # the length of the body, should this be all of it
            self.send_headers()
        else:
            self.bytes_sent += len(data)
        self._write(data)
        self._flush()

    def sendfile(self) -> bool:
        """Platform-specific file transmission, which there is none of by default.

        It is called if the application has returned an instance of `self.wsgi_file_wrapper`. Return true if the file
        was
        transmitted, false if it is to be iterated over; raise an exception if transmission was tried and has failed.
        It must call
        `self.send_headers()` first if `self.headers_sent` is false.
        """
        return False

    def finish_content(self) -> None:
        """Ensure headers and content have both been sent."""
        if not self.headers_sent:
            # A response to HEAD has no content, but may have a length.
            self.headers.setdefault("Content-Length", "0")
            self.send_headers()

    def close(self) -> None:
        """Close the iterable (if needed) and reset all instance vars.

        Subclasses may want to also drop the client connection.
        """
        try:
            if hasattr(self.result, "close"):
                self.result.close()
        finally:
            self.result = self.headers = self.status = self.environ = None  # type: ignore[assignment]
            self.bytes_sent = 0
            self.headers_sent = False

    def send_headers(self) -> None:
        """Transmit headers to the client, via self._write()."""
        self.cleanup_headers()
        self.headers_sent = True
        if not self.origin_server or self.client_is_modern():
            self.send_preamble()
            self._write(bytes(self.headers))

    def result_is_file(self) -> bool:
        """True if 'self.result' is an instance of 'self.wsgi_file_wrapper'."""
        wrapper: Any = self.wsgi_file_wrapper
        return wrapper is not None and isinstance(self.result, wrapper)

    def client_is_modern(self) -> bool:
        """True if client can accept status and headers."""
        return _wsgiref.is_modern(self.environ["SERVER_PROTOCOL"])

    def log_exception(self, exc_info: _OptExcInfo) -> None:
        """Log the 'exc_info' tuple in the server log.

        Subclasses may override to retarget the output or change its format.
        """
        stderr: Any = self.get_stderr()
        kind, error, frames = exc_info
        traceback.print_exception(kind, error, frames, self.traceback_limit, stderr)
        stderr.flush()

    def handle_error(self) -> None:
        """Log current error, and send error output to client if possible."""
        self.log_exception(sys.exc_info())
        if not self.headers_sent:
            self.result = self.error_output(self.environ, self.start_response)
            self.finish_response()

    def error_output(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI mini-app to create error output, of the attributes 'error_status', 'error_headers' and 'error_body'.

        A subclass may make diagnostics here, or choose the user's language. What went wrong is nothing that every
        user should see.
        """
        start_response(self.error_status, self.error_headers[:], sys.exc_info())
        return [self.error_body]

    def _write(self, data: bytes) -> None:
        """Override in subclass to buffer data for send to client, or to send it."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Override in subclass to force sending of recent '_write()' calls. It may do nothing if '_write()' sends."""
        raise NotImplementedError

    def get_stdin(self) -> InputStream:
        """Override in subclass to return suitable 'wsgi.input'."""
        raise NotImplementedError

    def get_stderr(self) -> ErrorStream:
        """Override in subclass to return suitable 'wsgi.errors'."""
        raise NotImplementedError

    def add_cgi_vars(self) -> None:
        """Override in subclass to insert CGI variables in 'self.environ'."""
        raise NotImplementedError


class SimpleHandler(BaseHandler):
    """Handler that's just initialized with streams, environment, etc.

    It is for synchronous HTTP/1.0 origin servers, and sends the entire response output, given the correct inputs:

        handler = SimpleHandler(inp, out, err, env, multithread=False, multiprocess=True)
        handler.run(app)
    """

    def __init__(
        self,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        environ: Any,
        multithread: bool = True,
        multiprocess: bool = False,
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.base_env = environ
        self.wsgi_multithread = multithread
        self.wsgi_multiprocess = multiprocess

    def get_stdin(self) -> InputStream:
        stdin: InputStream = self.stdin
        return stdin

    def get_stderr(self) -> ErrorStream:
        stderr: ErrorStream = self.stderr
        return stderr

    def add_cgi_vars(self) -> None:
        self.environ.update(self.base_env)

    def _write(self, data: bytes) -> None:
        taken = self.stdout.write(data)
        if taken is None or taken == len(data):
            return
        warnings.warn("SimpleHandler.stdout.write() should not do partial writes", DeprecationWarning, stacklevel=2)
        while data := data[taken:]:
            taken = self.stdout.write(data)

    def _flush(self) -> None:
        self.stdout.flush()
        self._flush = self.stdout.flush  # type: ignore[method-assign]


class BaseCGIHandler(SimpleHandler):
    """CGI-like systems using input/output/error streams and environ mapping.

        handler = BaseCGIHandler(inp, out, err, env)
        handler.run(app)

    For protocols such as FastCGI that have streams and a mapping. `CGIHandler` uses those of the process.
    'multithread' and
    'multiprocess' default to 'True' and 'False', 'wsgi.run_once' is taken to be False.
    """

    origin_server = False


class CGIHandler(BaseCGIHandler):
    """CGI-based invocation via sys.stdin/stdout/stderr and os.environ: `CGIHandler().run(app)`.

    'wsgi.run_once' and 'wsgi.multiprocess' are True, 'wsgi.multithread' is False. To have it otherwise use
    BaseCGIHandler.
    """

    wsgi_run_once = True
    # The variables come from the constructor: those of another request, where several run in one process, must not
    # shine through.
    os_environ: dict[str, str] = {}  # noqa: RUF012

    def __init__(self) -> None:
        BaseCGIHandler.__init__(
            self,
            sys.stdin.buffer,
            sys.stdout.buffer,
            sys.stderr,
            read_environ(),
            multithread=False,
            multiprocess=True,
        )


class IISCGIHandler(BaseCGIHandler):
    """CGI-based invocation with workaround for IIS path bug.

    Use it instead of CGIHandler on an IIS that has not the option allowPathInfo (IIS 7 and later) or
    allowPathInfoForScriptMappings (before):
    it then puts SCRIPT_NAME before PATH_INFO, where it is taken off here.
    """

    wsgi_run_once = True
    os_environ: dict[str, str] = {}  # noqa: RUF012

    def __init__(self) -> None:
        environ = read_environ()
        _wsgiref.strip_script_name(environ)
        BaseCGIHandler.__init__(
            self,
            sys.stdin.buffer,
            sys.stdout.buffer,
            sys.stderr,
            environ,
            multithread=False,
            multiprocess=True,
        )
