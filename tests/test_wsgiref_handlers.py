"""`whiskyjack.wsgiref.handlers` beside the standard library's, and every place where a subclass may step in."""

from __future__ import annotations

import inspect
import io
import json
import os
import random
import subprocess
import sys
import wsgiref.handlers as original
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.support.original import outcome, same
from tests.support.server import environment
from whiskyjack.wsgiref import handlers
from whiskyjack.wsgiref.headers import Headers
from whiskyjack.wsgiref.util import FileWrapper

DATE = ("Date", "Mon, 05 Jun 2006 18:49:54 GMT")
KINDS = ["BaseHandler", "SimpleHandler", "BaseCGIHandler", "CGIHandler", "IISCGIHandler"]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), DATE])
    return [b"Hello, world!"]


def run(module: Any, application: Any, kind: str = "SimpleHandler", **attributes: Any) -> tuple[bytes, list[str]]:
    """What a handler writes, and the last lines of the errors that it logs."""
    out, errors = io.BytesIO(), io.StringIO()
    environ = {"SERVER_PROTOCOL": attributes.pop("protocol", "HTTP/1.1"), "REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    handler = getattr(module, kind)(io.BytesIO(b"body"), out, errors, environ)
    # a date of its own would differ where a second passes between the two
    handler.error_headers = [("Content-Type", "text/plain"), DATE]
    for name, value in attributes.items():
        setattr(handler, name, value)
    handler.run(application)
    return out.getvalue(), errors.getvalue().splitlines()[-1:]


def closing(items: list[Any], closed: list[str]) -> Any:
    class Closing:
        def __iter__(self) -> Any:
            return iter(items)

        def close(self) -> None:
            closed.append("closed")

    return Closing()


def application(chance: random.Random) -> Callable[..., Any]:
    """An application that does one of many things, right and wrong."""
    status: Any = chance.choice(
        ["200 OK", "200 OK", "204 No Content", "200 \xc5", "200", "20", "abc d", "200OK", 200, b"200 OK", "200 €"]
    )
    headers: Any = chance.choice(
        [
            [DATE],
            [DATE, ("Content-Type", "text/plain"), ("Server", "mine")],
            [DATE, ("Content-Length", "5")],
            [DATE, ("connection", "close")],
            [DATE, ("a", 1)],
            [DATE, (b"a", "b")],
            (DATE,),
            [DATE, ("X", "\xe5")],
            [DATE, ("X", "€")],
            [DATE, "ab"],
            None,
        ]
    )
    result: Any = chance.choice(
        [[b"hello"], [b"a", b"b"], [], [b""], (b"tuple",), ["text"], None, b"raw", iter([b"x", b"y"]), 5, [b"a", 7]]
    )
    written = chance.choice([None, None, b"written", "text"])
    again = chance.choice([None, None, None, "again", "exc_info", "late"])
    raises = chance.choice([None, None, None, KeyError("x"), BrokenPipeError(), SystemExit(3)])

    def called(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        write = start_response(status, headers)
        if written is not None:
            write(written)
        if again == "again":
            start_response("200 OK", [DATE])
        elif again is not None:
            try:
                raise ZeroDivisionError("again")
            except ZeroDivisionError:
                start_response("500 Again", [DATE], sys.exc_info())
        if raises is not None:
            raise raises
        return result

    return called


@pytest.mark.parametrize("seed", range(300))
@pytest.mark.parametrize("kind", ["SimpleHandler", "BaseCGIHandler"])
def test_whatever_an_application_does_is_answered_as_by_the_original(seed: int, kind: str) -> None:
    given = outcome(lambda: run(handlers, application(random.Random(seed)), kind))
    expected = outcome(lambda: run(original, application(random.Random(seed)), kind))
    assert given == expected


@pytest.mark.parametrize("protocol", ["HTTP/0.9", "http/0.9", "HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize(
    "attributes", [{}, {"http_version": "1.1"}, {"server_software": "S/1"}, {"origin_server": False}]
)
@pytest.mark.parametrize("headers", [[DATE], [DATE, ("Server", "mine")], [DATE, ("Content-Length", "12")]])
def test_what_stands_before_the_body_is_the_originals(protocol: str, attributes: Any, headers: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(headers))
        return [b"Hello, world!"]

    assert run(handlers, app, protocol=protocol, **attributes) == run(original, app, protocol=protocol, **attributes)


@pytest.mark.parametrize("timestamp", [0, 1, 784111777, 784111777.9, 1600000000.5, 4102444800, 253402300799])
def test_dates_are_the_originals(timestamp: float) -> None:
    same(handlers.format_date_time, original.format_date_time, timestamp)


def test_a_date_and_the_software_are_added() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert environ["SERVER_SOFTWARE"] == "S/1"
        start_response("200 OK", [])
        return []

    written, errors = run(handlers, app, server_software="S/1")
    assert errors == []
    lines = written.decode().splitlines()
    assert lines[0] == "HTTP/1.0 200 OK" and lines[2:] == ["Server: S/1", "Content-Length: 0", ""]
    assert lines[1].startswith("Date: ") and lines[1].endswith(" GMT")


def test_dates_before_the_epoch_are_refused() -> None:
    with pytest.raises(ValueError, match="between 1970 and 9999"):
        handlers.format_date_time(-1)


def test_the_code_of_a_status_is_of_ascii_digits() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("\xb200 OK", [DATE])
        return []

    assert run(handlers, app)[1] == ["AssertionError: Status message must begin w/3-digit code"]
    assert run(original, app)[1] == []


def test_what_stands_before_the_fields_is_written_at_once() -> None:
    class Mine(handlers.SimpleHandler):
        def _write(self, data: bytes) -> None:
            written.append(data)

    written: list[bytes] = []
    Mine(io.BytesIO(), io.BytesIO(), io.StringIO(), {"SERVER_PROTOCOL": "HTTP/1.0"}).run(hello)
    assert [piece.count(b"\r\n") for piece in written] == [1, 4, 0]


def test_checks_hold_with_optimization_too() -> None:
    """The original leaves them to `__debug__`."""
    program = (
        "import io\n"
        "from whiskyjack.wsgiref.handlers import SimpleHandler\n"
        "for headers, body in ([('Connection', 'close')], b''), ([('a', 1)], b''), ([], 'text'):\n"
        "    errors = io.StringIO()\n"
        "    def app(environ, start_response): start_response('200 OK', headers); return [body]\n"
        "    SimpleHandler(io.BytesIO(), io.BytesIO(), errors, {'SERVER_PROTOCOL': 'HTTP/1.0'}).run(app)\n"
        "    print(errors.getvalue().splitlines()[-1])\n"
    )
    ended = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [
        "AssertionError: Hop-by-hop header, 'Connection: close', not allowed",
        "AssertionError: Header names/values must be of type str (got 1)",
        "AssertionError: write() argument must be a bytes instance",
    ]


def test_a_control_character_in_the_status_is_refused() -> None:
    """The original writes it, and with it the rest of the status as fields."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK\r\nSet-Cookie: a=b", [DATE])
        return []

    written, errors = run(handlers, app)
    assert errors == ["ValueError: Control characters not allowed in status"]
    assert written.startswith(b"HTTP/1.0 500 ") and b"Set-Cookie" not in written


def test_exc_info_is_raised_again_once_headers_are_sent_wherever_the_call_comes_from() -> None:
    """The original raises what is being handled at the time, and RuntimeError outside of an except block."""
    caught: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [DATE])(b"sent")
        try:
            raise KeyError("first")
        except KeyError:
            exc_info = sys.exc_info()
        try:
            start_response("500 Error", [DATE], exc_info)
        except BaseException as error:
            caught.append(error)
        with pytest.raises(AssertionError, match="already sent"):
            start_response("500 Error", [DATE], (None, None, None))
        return []

    assert run(handlers, app)[1] == []
    assert repr(caught) == "[KeyError('first')]"


class Telling:
    """Writes down which of its methods are called."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if inspect.ismethod(found):
            self.__dict__.setdefault("told", []).append(name)
        return found


class Told(Telling, handlers.SimpleHandler):
    pass


class ToldOriginal(Telling, original.SimpleHandler):
    pass


# what the original's methods call of their own, and a subclass can't rely on
PRIVATE = {"_convert_string_type", "_validate_status"}


def failing(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    raise KeyError("x")


@pytest.mark.parametrize("app", [hello, failing])
def test_methods_are_called_in_the_originals_order(app: Any) -> None:
    told = []
    for kind in (Told, ToldOriginal):
        handler: Any = kind(io.BytesIO(), io.BytesIO(), io.StringIO(), {"SERVER_PROTOCOL": "HTTP/1.0"})
        handler.run(app)
        # the original writes each line before the body on its own
        names = [name for name in handler.told if name not in PRIVATE]
        told.append([name for name, before in zip(names, [None, *names], strict=False) if name != before])
    assert told[0] == told[1]
    assert "add_cgi_vars" in told[0] and "send_preamble" in told[0]


def test_every_documented_place_to_step_in_is_one() -> None:
    class Mine(handlers.BaseHandler):
        os_environ = {"FROM": "os"}  # noqa: RUF012
        origin_server = False
        error_status = "503 Mine"
        error_body = b"mine"
        error_headers = [("X-Mine", "yes")]  # noqa: RUF012
        written = b""
        logged: Any = None

        class headers_class(Headers):  # noqa: N801
            def __bytes__(self) -> bytes:
                return b"(headers)"

        def add_cgi_vars(self) -> None:
            self.environ["CGI"] = "mine"

        def get_stdin(self) -> Any:
            return "stdin"

        def get_stderr(self) -> Any:
            return "stderr"

        def get_scheme(self) -> str:
            return "gopher"

        def cleanup_headers(self) -> None:
            self.headers["X-Clean"] = "yes"
            super().cleanup_headers()

        def log_exception(self, exc_info: Any) -> None:
            self.logged = exc_info

        def _write(self, data: bytes) -> None:
            self.written += data

        def _flush(self) -> None:
            self.written += b"|"

    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.update(environ)
        raise KeyError("x")

    handler = Mine()
    handler.run(app)
    assert handler.written == b"Status: 503 Mine\r\n(headers)mine|"
    assert handler.logged[0] is KeyError
    assert (seen["FROM"], seen["CGI"], seen["wsgi.url_scheme"]) == ("os", "mine", "gopher")
    assert (seen["wsgi.input"], seen["wsgi.errors"]) == ("stdin", "stderr")
    assert seen["wsgi.file_wrapper"] is FileWrapper
    assert handler.environ is handler.result is handler.headers is handler.status is None
    assert (handler.bytes_sent, handler.headers_sent) == (0, False)


def test_the_limit_of_a_traceback_is_kept() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise KeyError("deep")

    lines: list[str] = []
    for limit in (None, 1):
        out, errors = io.BytesIO(), io.StringIO()
        handler = handlers.SimpleHandler(io.BytesIO(), out, errors, {"SERVER_PROTOCOL": "HTTP/1.0"})
        handler.traceback_limit = limit
        handler.run(app)
        lines.append(errors.getvalue())
    assert lines[0].count("  File ") == 2 and lines[1].count("  File ") == 1


@pytest.mark.parametrize("sends", [True, False])
def test_a_file_can_be_sent_in_ones_own_way(sends: bool) -> None:
    closed: list[bool] = []

    class Mine(handlers.SimpleHandler):
        def sendfile(self) -> bool:
            if sends:
                self.send_headers()
                self._write(b"(sent)")
            return sends

    class Source(io.BytesIO):
        def close(self) -> None:
            closed.append(True)
            super().close()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [DATE])
        return environ["wsgi.file_wrapper"](Source(b"file"))

    out = io.BytesIO()
    Mine(io.BytesIO(), out, io.StringIO(), {"SERVER_PROTOCOL": "HTTP/1.0"}).run(app)
    assert out.getvalue().endswith(b"\r\n\r\n(sent)" if sends else b"\r\n\r\nfile")
    assert closed == [True]


def test_no_file_wrapper_is_offered_where_there_is_none() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        assert "wsgi.file_wrapper" not in environ
        return hello(environ, start_response)

    assert run(handlers, app, wsgi_file_wrapper=None)[1] == []


def test_what_is_returned_is_closed_once_however_it_ends() -> None:
    for items in ([b"a"], [b"a", "text"], ["text"]):
        closed: list[str] = []

        def app(environ: dict[str, Any], start_response: Any, items: Any = items, closed: Any = closed) -> Any:
            start_response("200 OK", [DATE])
            return closing(items, closed)

        run(handlers, app)
        assert closed == ["closed"], items


def test_an_error_in_the_handling_of_an_error_closes_and_is_raised() -> None:
    class Mine(handlers.SimpleHandler):
        def error_output(self, environ: Any, start_response: Any) -> Any:
            raise LookupError("worse")

    handler = Mine(io.BytesIO(), io.BytesIO(), io.StringIO(), {"SERVER_PROTOCOL": "HTTP/1.0"})
    with pytest.raises(LookupError, match="worse"):
        handler.run(failing)
    assert handler.environ is None


def test_an_asynchronous_subclass_is_not_closed_early() -> None:
    class Later(handlers.SimpleHandler):
        def finish_response(self) -> None:
            """Later."""

    handler = Later(io.BytesIO(), io.BytesIO(), io.StringIO(), {"SERVER_PROTOCOL": "HTTP/1.0"})
    handler.run(hello)
    assert handler.result == [b"Hello, world!"]
    handlers.SimpleHandler.finish_response(handler)
    assert handler.result is None and handler.stdout.getvalue().endswith(b"Hello, world!")


@pytest.mark.parametrize("kind", KINDS)
def test_classes_have_the_originals_attributes_and_signatures(kind: str) -> None:
    ours, theirs = getattr(handlers, kind), getattr(original, kind)
    assert [base.__name__ for base in ours.__mro__] == [base.__name__ for base in theirs.__mro__]
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
    for name in dir(theirs):
        if name in PRIVATE or name.startswith("__"):
            continue
        mine, their = getattr(ours, name), getattr(theirs, name)
        if inspect.isfunction(their):
            assert list(inspect.signature(mine).parameters) == list(inspect.signature(their).parameters), name
            defaults = [parameter.default for parameter in inspect.signature(their).parameters.values()]
            assert [parameter.default for parameter in inspect.signature(mine).parameters.values()] == defaults, name
        elif isinstance(their, type):
            assert mine.__name__ == their.__name__, name
        else:
            assert mine == their, name
    assert sorted(handlers.__all__) == sorted(original.__all__)


# the environment of a CGI program as a server sets it, and variables that are the operating system's
VARIABLES: dict[bytes, bytes] = {
    b"SCRIPT_NAME": b"/cgi",
    b"PATH_INFO": "/cgi/é€".encode(),
    b"QUERY_STRING": b"\xff\xfe",
    b"HTTP_X_ANY": "å".encode("latin-1"),
    b"SSL_CLIENT_S_DN": "CN=Ø".encode(),
    b"REDIRECT_HTTP_X": "é".encode(),
    b"REDIRECT_REDIRECT_REMOTE_USER": "ü".encode(),
    b"REDIRECT_OTHER": "é".encode(),
    b"REMOTE_USER": "é".encode(),
    b"OTHER": "é".encode(),
    b"HTTPS": b"on",
    "HTTP_É".encode(): "é".encode(),
    b"HTTP_\xff": b"\xff",
}
PROGRAM = """
import sys
from {package}.handlers import CGIHandler, IISCGIHandler, read_environ
cgi, iis = CGIHandler(), IISCGIHandler()
iis.setup_environ(); cgi.setup_environ()
environs = read_environ(), cgi.environ, iis.environ, cgi.base_env
print(ascii([sorted(item for item in environ.items() if type(item[1]) is str) for environ in environs]
    + [cgi.environ['wsgi.run_once'], cgi.environ['wsgi.multiprocess'], cgi.environ['wsgi.multithread']]
    + [cgi.environ['wsgi.url_scheme'], cgi.os_environ]))
"""


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX"])
@pytest.mark.parametrize("mode", ["0", "1"])
@pytest.mark.parametrize("path", [None, b"/cgi", b"/cgix", b"/other", b""])
def test_cgi_variables_are_transcoded_as_by_the_original(locale: str, mode: str, path: bytes | None) -> None:
    variables = {**VARIABLES, b"LC_ALL": locale.encode(), b"PYTHONUTF8": mode.encode(), b"PYTHONCOERCECLOCALE": b"0"}
    if path is not None:
        variables[b"PATH_INFO"] = path
    told = []
    for package in ("whiskyjack.wsgiref", "wsgiref"):
        program = PROGRAM.format(package=package)
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, env=variables, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
        told.append(ended.stdout)
    assert told[0] == told[1]


def test_a_cgi_program_answers() -> None:
    program = (
        "from whiskyjack.wsgiref.handlers import CGIHandler\n"
        "def app(environ, start_response):\n"
        "    body = environ['wsgi.input'].read(int(environ['CONTENT_LENGTH']))\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [body.upper()]\n"
        "CGIHandler().run(app)\n"
    )
    variables = environment({"CONTENT_LENGTH": "3", "REQUEST_METHOD": "POST", "SERVER_PROTOCOL": "HTTP/1.1"})
    ended = subprocess.run(
        [sys.executable, "-c", program], env=variables, input=b"abc", capture_output=True, check=True
    )
    assert ended.stdout == b"Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nABC"
    assert ended.stderr == b""


def test_the_environment_of_the_process_stands_in_every_environ() -> None:
    assert handlers.BaseHandler.os_environ.items() >= {"PATH": os.environ["PATH"]}.items()
    assert json.dumps(handlers.CGIHandler.os_environ) == "{}"
