"""`whiskyjack.wsgiref.simple_server`: what the original does, on the engine where nothing stands against it."""

from __future__ import annotations

import http.client
import inspect
import io
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import weakref
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from tests.support.server import DEADLINE, environment
from tests.support.wire import conversation, get, post, post_chunked, read_response, send
from whiskyjack.wsgiref import simple_server
from whiskyjack.wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from whiskyjack.wsgiref.validate import validator

Environ = dict[str, Any]
SOCKET: Any = vars(simple_server)["socket"]
BOTH = pytest.mark.parametrize("module", [simple_server, wsgiref.simple_server], ids=["ours", "theirs"])


def hello(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Instance:
    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        return hello(environ, start_response)


class Iterable:
    def __init__(self, environ: Environ, start_response: Any) -> None:
        self.start = start_response

    def __iter__(self) -> Iterator[bytes]:
        self.start("200 OK", [("Content-Type", "text/plain")])
        yield b"hel"
        yield b"lo"


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class SocketOfItsOwn(WSGIServer):
    """One that the engine has to leave alone."""

    def get_request(self) -> Any:
        return super().get_request()


@contextmanager
def serving(server: Any, poll_interval: float = 0.5) -> Iterator[int]:
    """Serves on a thread until the block ends, and says on which port."""
    thread = threading.Thread(target=server.serve_forever, args=(poll_interval,))
    with server:
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(DEADLINE)
            assert not thread.is_alive()


def on_engine(server: WSGIServer) -> bool:
    return server._override() is None


def test_the_public_names_and_signatures_are_the_originals() -> None:
    assert sorted(simple_server.__all__) == sorted(wsgiref.simple_server.__all__)
    names = "server_version", "sys_version", "software_version", "__version__"
    assert all(getattr(simple_server, name) == getattr(wsgiref.simple_server, name) for name in names)
    theirs = list(inspect.signature(wsgiref.simple_server.make_server).parameters)
    ours = inspect.signature(make_server).parameters
    assert list(ours) == [*theirs, "threads"]
    assert ours["threads"].kind is inspect.Parameter.KEYWORD_ONLY
    for name in ("WSGIServer", "WSGIRequestHandler", "ServerHandler"):
        theirs = [one for one in dir(getattr(wsgiref.simple_server, name)) if not one.startswith("_")]
        assert set(theirs) <= set(dir(getattr(simple_server, name)))


@pytest.mark.parametrize("application", [hello, Iterable, Instance()], ids=["function", "class", "instance"])
@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
def test_each_kind_of_application_is_served(application: Any, server_class: type[WSGIServer]) -> None:
    with serving(make_server("127.0.0.1", 0, application, server_class, Quiet)) as port:
        response = send(port, get())
    assert (response.status, response.body) == (200, b"hello")


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
def test_the_validator_finds_no_fault_with_the_server(server_class: type[WSGIServer]) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        length = int(environ["CONTENT_LENGTH"] or 0)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(length))])
        return [environ["wsgi.input"].read(length)]

    with serving(make_server("127.0.0.1", 0, validator(application), server_class, Quiet)) as port:
        assert send(port, get("/a?b")).status == 200
        assert send(port, post("/", b"body")).body == b"body"


def test_connections_stay_alive_on_the_engine() -> None:
    server = make_server("127.0.0.1", 0, hello, handler_class=Quiet)
    assert on_engine(server)
    with serving(server) as port, conversation(port) as opened:
        for _ in range(3):
            opened.send(get())
            response = read_response(opened)
            assert (response.version, response.body) == ("HTTP/1.1", b"hello")


def test_one_request_at_a_time_unless_threads_are_asked_for() -> None:
    inside = threading.Barrier(2)

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        if environ["wsgi.multithread"]:
            inside.wait(DEADLINE)
        return hello(environ, start_response)

    with serving(make_server("127.0.0.1", 0, application, handler_class=Quiet)) as port:
        assert send(port, get()).status == 200
    with (
        serving(make_server("127.0.0.1", 0, application, handler_class=Quiet, threads=2)) as port,
        conversation(port, get()) as first,
        conversation(port, get()) as second,
    ):
        assert [read_response(first).status, read_response(second).status] == [200, 200]


def test_threads_and_an_override_that_has_the_connection_exclude_each_other() -> None:
    with (
        make_server("127.0.0.1", 0, hello, SocketOfItsOwn, threads=2) as server,
        pytest.raises(RuntimeError, match=r"^threads=2 .* which SocketOfItsOwn.get_request keeps"),
    ):
        server.serve_forever()


def test_the_application_is_called_on_the_thread_that_serves() -> None:
    names: list[str] = []

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        names.append(threading.current_thread().name)
        return hello(environ, start_response)

    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, name="the one")
    with server:
        thread.start()
        send(server.server_port, get())
        server.shutdown()
        thread.join(DEADLINE)
    assert names == ["the one"]


@BOTH
@pytest.mark.parametrize("moment", ["before", "after"])
def test_shutdown_waits_for_the_end_and_a_server_serves_again(module: Any, moment: str) -> None:
    class Handler(module.WSGIRequestHandler):  # type: ignore[misc]
        log_message = Quiet.log_message

    with module.make_server("127.0.0.1", 0, hello, handler_class=Handler) as server:
        for _ in range(2):
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            if moment == "after":
                assert send(server.server_port, get(version="1.0")).body == b"hello"
            server.shutdown()
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_a_new_application_takes_the_next_request() -> None:
    def other(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"other"]

    server = make_server("127.0.0.1", 0, hello, handler_class=Quiet)
    assert server.get_app() is hello
    with serving(server) as port, conversation(port, get()) as opened:
        assert read_response(opened).body == b"hello"
        server.set_app(other)
        opened.send(get())
        assert read_response(opened).body == b"other"


@BOTH
def test_a_server_has_the_chains_attributes(module: ModuleType) -> None:
    with module.make_server("127.0.0.1", 0, hello) as server:
        host, port = server.server_address
        assert (host, port) == server.socket.getsockname()
        assert (server.server_port, server.server_name) == (port, SOCKET.getfqdn("127.0.0.1"))
        assert server.fileno() == server.socket.fileno()
        assert (server.request_queue_size, server.allow_reuse_address, server.timeout) == (5, 1, None)
        assert server.RequestHandlerClass is module.WSGIRequestHandler
        assert socketserver.TCPServer in type(server).__mro__
        assert server.base_environ == {
            "SERVER_NAME": server.server_name,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PORT": str(port),
            "REMOTE_HOST": "",
            "CONTENT_LENGTH": "",
            "SCRIPT_NAME": "",
        }
    assert server.fileno() == -1


@pytest.mark.skipif(not SOCKET.has_ipv6, reason="there is no IPv6")
def test_ipv6_by_address_family() -> None:
    class Six(WSGIServer):
        address_family = SOCKET.AF_INET6

    seen: Environ = {}

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        seen.update(environ)
        return hello(environ, start_response)

    with serving(make_server("::1", 0, application, Six, Quiet)) as port:
        client = http.client.HTTPConnection("::1", port, timeout=DEADLINE)
        client.request("GET", "/")
        assert client.getresponse().read() == b"hello"
        client.close()
    assert seen["REMOTE_ADDR"] == "::1"


SHOWN = {"HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "REMOTE_PORT"}


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/a%20b/caf%C3%A9?q=%20&x", version="1.0"),
        get("//double/", "X-Two: a", "X-Two: b", version="1.0"),
        post("/", b"body", "Content-Type: text/x-y"),
    ],
)
def test_environs_have_what_the_originals_have(server_class: type[WSGIServer], request_bytes: bytes) -> None:
    """On both ways; what the engine adds is its own."""

    def environ_of(make: Callable[..., Any], server: Any, handler: Any) -> Environ:
        seen: Environ = {}

        def application(environ: Environ, start_response: Any) -> list[bytes]:
            seen.update(environ)
            return hello(environ, start_response)

        with serving(make("127.0.0.1", 0, application, server, handler)) as port:
            assert send(port, request_bytes).status == 200
        return seen

    class Theirs(wsgiref.simple_server.WSGIRequestHandler):
        log_message = Quiet.log_message

    expected = environ_of(wsgiref.simple_server.make_server, wsgiref.simple_server.WSGIServer, Theirs)
    found = environ_of(make_server, server_class, Quiet)
    objects = {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper"}
    assert expected.keys() <= found.keys()
    for key in expected.keys() - objects - SHOWN:
        assert found[key] == expected[key], key
    added = {key for key in found.keys() - expected.keys() if not key.startswith("whiskyjack.")}
    assert added <= {"REQUEST_URI", "RAW_URI", "REMOTE_PORT", "wsgi.input_terminated", "wsgi.early_hints"}


def test_base_environ_is_looked_at_when_a_connection_begins() -> None:
    seen: Environ = {}

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        seen.update(environ)
        return hello(environ, start_response)

    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    with serving(server) as port:
        send(port, get())
        server.base_environ["shop.name"] = "corner"
        server.base_environ["SERVER_NAME"] = "shop.example"
        send(port, get())
    assert (seen["shop.name"], seen["SERVER_NAME"]) == ("corner", "shop.example")


LINE = re.compile(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d\] "([^"]*)" (\d+) (\d+|-)\n')


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
def test_the_log_has_the_originals_lines(server_class: type[WSGIServer], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(make_server("127.0.0.1", 0, hello, server_class)) as port:
        send(port, get("/a?b\\c", version="1.0"))
    assert LINE.findall(capsys.readouterr().err) == [(r"GET /a?b\\c HTTP/1.0", "200", "5")]


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
def test_a_fault_is_a_traceback_and_a_500(server_class: type[WSGIServer], capsys: pytest.CaptureFixture[str]) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise LookupError("nowhere")

    def old_style(environ: Environ, start_response: Any) -> list[str]:
        start_response("200 OK", [])
        return ["text"]

    server = make_server("127.0.0.1", 0, application, server_class)
    with serving(server) as port:
        assert send(port, get()).status == 500
        server.set_app(old_style)  # type: ignore[arg-type]
        assert send(port, get()).status == 500
        server.set_app(hello)
        assert send(port, get()).status == 200
    shown = capsys.readouterr().err
    assert "LookupError: nowhere" in shown
    words = "not bytes (PEP 3333); encode it" if on_engine(server) else "write() argument must be a bytes instance"
    assert words in shown


class Recorder:
    """What was called, of both modules' classes, in the order of the calls."""

    def __init__(self, module: Any) -> None:
        self.calls: list[str] = []
        self.server_class = self.recording(
            module.WSGIServer,
            "get_request verify_request process_request finish_request shutdown_request close_request get_app",
        )
        self.handler_class = self.recording(
            module.WSGIRequestHandler,
            "setup handle parse_request get_environ get_stderr address_string log_request log_message "
            "send_error send_response log_error finish",
        )

    def recording(self, base: type, names: str) -> type:
        def record(name: str) -> Callable[..., Any]:
            def method(*arguments: Any, **named: Any) -> Any:
                self.calls.append(name)
                return getattr(base, name)(*arguments, **named)

            return method

        return type(base.__name__, (base,), {name: record(name) for name in names.split()})


@pytest.mark.parametrize(
    "request_bytes", [get("/", version="1.0"), get("/a" * 33_000, version="1.0"), b"GET / HTTP/x\r\n\r\n", b"\r\n"]
)
def test_the_order_of_calls_is_the_originals(
    request_bytes: bytes,
) -> None:
    found: dict[str, list[str]] = {}
    for module in (simple_server, wsgiref.simple_server):
        recorder = Recorder(module)
        with (
            module.make_server("127.0.0.1", 0, hello, recorder.server_class, recorder.handler_class) as server,
            conversation(server.server_port, request_bytes) as opened,
        ):
            server.handle_request()
            opened.read_to_end()
        # 3.13 is the reference; up to 3.12 an environ asked for the address, too
        calls = recorder.calls
        if sys.version_info < (3, 13):
            calls = [
                call
                for before, call in zip(["", *calls], calls, strict=False)
                if before != "get_environ" or call != "address_string"
            ]
        found[module.__name__] = calls
    ours, theirs = found.values()
    assert ours == theirs


def test_handle_request_answers_one_and_leaves_the_others_in_the_queue() -> None:
    with (
        make_server("127.0.0.1", 0, hello, handler_class=Quiet) as server,
        conversation(server.server_port, get()) as first,
        conversation(server.server_port, get()) as second,
    ):
        server.handle_request()
        assert read_response(first).body == b"hello"
        first.expect_end()
        server.handle_request()
        assert read_response(second).body == b"hello"


@BOTH
def test_handle_request_gives_up_after_the_timeout(module: Any) -> None:
    class Server(module.WSGIServer):  # type: ignore[misc]
        timeout = 0.01
        timeouts = 0

        def handle_timeout(self) -> None:
            self.timeouts += 1

    with module.make_server("127.0.0.1", 0, hello, Server) as server:
        server.handle_request()
        server.socket.settimeout(0.02)
        server.handle_request()
        assert server.timeouts == 2


@pytest.mark.parametrize("base", [WSGIServer, SocketOfItsOwn])
def test_service_actions_are_called_while_serving(base: Any) -> None:
    class Server(base):  # type: ignore[misc]
        called = threading.Semaphore(0)

        def service_actions(self) -> None:
            self.called.release()

    with serving(make_server("127.0.0.1", 0, hello, Server, Quiet), 0.001):
        for _ in range(3):
            assert Server.called.acquire(timeout=DEADLINE)


@pytest.mark.parametrize("base", [WSGIServer, SocketOfItsOwn])
def test_an_exception_of_service_actions_ends_serving(base: Any) -> None:
    class Server(base):  # type: ignore[misc]
        def service_actions(self) -> None:
            raise LookupError("enough")

    with make_server("127.0.0.1", 0, hello, Server) as server, pytest.raises(LookupError):
        server.serve_forever(0.001)


def test_overrides_for_environ_errors_and_log_are_called_on_the_engine() -> None:
    told: list[str] = []
    errors = io.StringIO()

    class Handler(WSGIRequestHandler):
        def get_environ(self) -> Environ:
            environ = super().get_environ()
            environ["shop.agent"] = self.headers["User-Agent"]
            self.mark = "same object"
            return environ

        def get_stderr(self) -> Any:
            return errors

        def address_string(self) -> str:
            return f"<{self.client_address[0]}>"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            told.append(f"{self.address_string()} {format % args} {self.command} {self.path} {self.mark}")

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        environ["wsgi.errors"].write("heard ")
        if environ["PATH_INFO"] == "/error":
            raise LookupError("nowhere")
        start_response("200 OK", [])
        names = ["shop.agent", "PATH_INFO", "SCRIPT_NAME", "HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH"]
        body = environ["wsgi.input"].read()
        return [repr([environ[name] for name in names] + [body]).encode()]

    server = make_server("127.0.0.1", 0, application, handler_class=Handler)
    assert on_engine(server)
    with serving(server) as port, conversation(port, post("/a%20b", b"text", "User-Agent: me")) as opened:
        body = read_response(opened).body.decode()
        assert re.fullmatch(r"\['me', '/a b', '', '[^']+', 'text/plain', '4', b'text'\]", body), body
        opened.send(get("/error"))
        assert read_response(opened).status == 500
    assert told[0].endswith(f'<127.0.0.1> "POST /a%20b HTTP/1.1" 200 {len(body)} POST /a%20b same object')
    assert told[1].startswith('<127.0.0.1> "GET /error HTTP/1.1" 500 ')
    assert errors.getvalue().startswith("heard heard Traceback")
    assert errors.getvalue().endswith("LookupError: nowhere\n")


def test_a_handler_on_the_engine_says_that_it_has_no_connection() -> None:
    told: list[str] = []

    class Handler(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            with pytest.raises(AttributeError) as error:
                _ = self.rfile
            told.append(str(error.value))

    with serving(make_server("127.0.0.1", 0, hello, handler_class=Handler)) as port:
        send(port, get())
    assert told == [f"rfile is the engine's, as {Handler.__qualname__} overrides neither handle() nor setup()"]


def test_a_log_that_raises_is_the_servers_error_and_no_other() -> None:
    class Handler(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            raise OSError("disk full")

    class Server(WSGIServer):
        errors: list[Any]

        def handle_error(self, request: Any, client_address: Any) -> None:
            self.errors.append((client_address[0], repr(sys.exc_info()[1])))

    server = make_server("127.0.0.1", 0, hello, Server, Handler)
    server.errors = []  # type: ignore[attr-defined]
    assert on_engine(server)
    with serving(server) as port:
        assert [send(port, get()).body for _ in range(2)] == [b"hello"] * 2
    assert server.errors == [("127.0.0.1", "OSError('disk full')")] * 2  # type: ignore[attr-defined]


def refuse(self: Any, request: Any, client_address: Any) -> bool:
    return False


@pytest.mark.parametrize("place", ["class", "instance"])
def test_a_client_that_is_not_verified_gets_no_answer(place: str) -> None:
    class Server(WSGIServer):
        if place == "class":
            verify_request = refuse

    server = make_server("127.0.0.1", 0, hello, Server, Quiet)
    if place == "instance":
        server.verify_request = lambda *_: False  # type: ignore[method-assign]
    assert not on_engine(server)
    with serving(server, 0.01) as port, conversation(port, get()) as opened:
        assert opened.read_to_end() == b""


@pytest.mark.parametrize("name", [*simple_server._HANDLER_SEAMS])
def test_who_overrides_how_a_request_is_handled_has_the_connection(name: str) -> None:
    original = getattr(WSGIRequestHandler, name)
    changed: Any = original + 1 if isinstance(original, int) else lambda *args, **named: original(*args, **named)
    handler = type("Handler", (Quiet,), {name: changed})
    with make_server("127.0.0.1", 0, hello, handler_class=handler) as server:
        assert server._override() == f"Handler.{name}"


def test_other_handlers_and_sockets_are_left_to_the_original_way() -> None:
    with make_server("127.0.0.1", 0, hello, handler_class=lambda *args: Quiet(*args)) as server:  # type: ignore[arg-type]
        assert not on_engine(server)
        with conversation(server.server_port, get()) as opened:
            server.handle_request()
            assert read_response(opened).body == b"hello"

    class Socket(SOCKET.socket):  # type: ignore[misc]
        pass

    with make_server("127.0.0.1", 0, hello) as server:
        server.socket.close()
        server.socket = Socket()
        assert not on_engine(server)


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
def test_the_body_ends_where_its_framing_says(server_class: type[WSGIServer]) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        stream = environ["wsgi.input"]
        start_response("200 OK", [])
        how = environ["QUERY_STRING"]
        pieces = {
            "read": lambda: [stream.read(3), stream.read(), stream.read(), stream.read(5)],
            "lines": lambda: [stream.readline(), stream.readline(2), *stream.readlines()],
            "iterate": lambda: list(stream),
        }[how]()
        return [repr(pieces).encode()]

    expected = {
        "read": b"[b'one', b'\\ntwo\\nthree', b'', b'']",
        "lines": b"[b'one\\n', b'tw', b'o\\n', b'three']",
        "iterate": b"[b'one\\n', b'two\\n', b'three']",
    }
    with serving(make_server("127.0.0.1", 0, application, server_class, Quiet)) as port:
        for how, pieces in expected.items():
            assert send(port, post(f"/?{how}", b"one\ntwo\nthree")).body == pieces
            assert send(port, post_chunked(f"/?{how}", [b"one\nt", b"wo\nthree"])).body == pieces


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["GET / HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"], 400),
        (["GET / HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 2"], 400),
        (["GET / HTTP/1.1", "Host: a", "Bad : space"], 400),
        (["GET / HTTP/1.1"], 400),
        (["GET / HTTP/2.0"], 505),
        (["GET /"], 400),
    ],
)
def test_what_breaks_the_rules_is_refused_on_both_ways(
    server_class: type[WSGIServer], lines: list[str], status: int
) -> None:
    head = "\r\n".join([*lines, "", ""]).encode()
    with serving(make_server("127.0.0.1", 0, hello, server_class, Quiet)) as port:
        assert send(port, head).status == status


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
def test_fields_that_could_pass_for_others_are_left_out(server_class: type[WSGIServer]) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [repr(sorted(key for key in environ if key.startswith("HTTP_X") or key == "HTTP_PROXY")).encode()]

    with serving(make_server("127.0.0.1", 0, application, server_class, Quiet)) as port:
        assert send(port, get("/", "X_User: root", "X-Real: 1", "Proxy: http://evil")).body == b"['HTTP_X_REAL']"


def test_variables_of_the_process_are_in_the_environ_but_never_pass_for_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"SHOP_MODE": "test", "HTTP_PROXY": "http://proxy", "QUERY_STRING": "x", "CONTENT_TYPE": "y"}
    monkeypatch.setattr(simple_server.ServerHandler, "os_environ", own)

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [repr([environ.get(name) for name in own]).encode()]

    with serving(make_server("127.0.0.1", 0, application, handler_class=Quiet)) as port:
        assert send(port, get()).body == b"['test', None, '', 'text/plain']"


class Threading(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


def test_the_threading_mixin_has_a_thread_for_each_connection() -> None:
    inside = threading.Barrier(3)

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        inside.wait(DEADLINE)
        start_response("200 OK", [])
        return [repr(environ["wsgi.multithread"]).encode()]

    with (
        serving(make_server("127.0.0.1", 0, application, Threading, Quiet)) as port,
        conversation(port, get()) as first,
        conversation(port, get()) as second,
    ):
        inside.wait(DEADLINE)
        assert [read_response(first).body, read_response(second).body] == [b"True"] * 2


class Forking(socketserver.ForkingMixIn, WSGIServer):
    pass


def test_the_forking_mixin_has_a_process_for_each_connection() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{os.getpid()} {environ['wsgi.multiprocess']}".encode()]

    with serving(make_server("127.0.0.1", 0, application, Forking, Quiet), 0.01) as port:
        bodies = [send(port, get()).body for _ in range(2)]
    pids = {int(body.split()[0]) for body in bodies}
    assert len(pids) == 2 and os.getpid() not in pids
    assert all(body.endswith(b" True") for body in bodies)


INTERRUPTED = """
from whiskyjack.wsgiref.simple_server import make_server

with make_server("127.0.0.1", 0, lambda environ, start_response: [start_response("200 OK", [])] and [b"x"]) as httpd:
    print(httpd.server_port, flush=True)
    try:
        httpd.serve_forever()
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_ends_serve_forever() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert send(int(process.stdout.readline()), get()).status == 200
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(DEADLINE) == 0


def test_the_module_runs_as_a_program_and_exits_after_one_request(tmp_path: Any) -> None:
    """The browser that it opens is one of ours."""
    browser = f"{sys.executable} -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1])' %s &"
    ended = subprocess.run(
        [sys.executable, "-m", "whiskyjack.wsgiref.simple_server", "0"],
        env=environment({"BROWSER": browser, "NO_PROXY": "*"}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert re.fullmatch(r"Serving HTTP on 0\.0\.0\.0 port \d+ \.\.\.\n", ended.stdout)
    assert LINE.findall(ended.stderr)[0][:2] == ("GET /xyz?abc HTTP/1.1", "200")


def test_the_demo_application_shows_its_environ() -> None:
    with serving(make_server("127.0.0.1", 0, simple_server.demo_app, handler_class=Quiet)) as port:
        body = send(port, get("/xyz?abc")).body.decode()
    assert body.startswith("Hello world!\n\n")
    assert "\nPATH_INFO = '/xyz'\n" in body


def test_a_silent_client_holds_nobody_on_the_engine() -> None:
    with serving(make_server("127.0.0.1", 0, hello, handler_class=Quiet)) as port, conversation(port):
        silent = [conversation(port, begun) for begun in (b"GET / HT", post("/", b"a")[:-1])]
        assert send(port, get()).body == b"hello"
        for opened in silent:
            opened.close()


def test_lines_may_end_in_lf_alone_where_the_engine_is_not_used() -> None:
    request = get(version="1.0").replace(b"\r\n", b"\n")
    with serving(make_server("127.0.0.1", 0, hello, SocketOfItsOwn, Quiet), 0.01) as port:
        assert send(port, request).status == 200
    with serving(make_server("127.0.0.1", 0, hello, handler_class=Quiet)) as port:
        assert send(port, request).status == 400


@pytest.mark.parametrize("server_class", [WSGIServer, SocketOfItsOwn])
def test_the_path_of_an_absolute_target_is_the_path(server_class: type[WSGIServer]) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}".encode()]

    with serving(make_server("127.0.0.1", 0, application, server_class, Quiet), 0.01) as port:
        assert send(port, get("http://test.example/a?b")).body == b"/a?b"


def test_the_body_of_a_500_is_the_engines() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise LookupError

    with serving(make_server("127.0.0.1", 0, application, handler_class=Quiet)) as port:
        assert send(port, get()).body == b"500 Internal Server Error\n"
    with serving(make_server("127.0.0.1", 0, application, SocketOfItsOwn, Quiet), 0.01) as port:
        assert send(port, get()).body == simple_server.ServerHandler.error_body


def test_shutdown_from_inside_the_application_is_an_error() -> None:
    told: list[str] = []

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        with pytest.raises(RuntimeError) as error:
            server.shutdown()
        told.append(str(error.value))
        return hello(environ, start_response)

    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    with serving(server) as port:
        assert send(port, get()).body == b"hello"
    assert told == [
        "shutdown() waits for the requests under way, and was called from one of them: call it on another thread"
    ]


def test_an_interrupt_that_meets_the_application_ends_serve_forever() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise KeyboardInterrupt

    ended: list[BaseException] = []

    def serve() -> None:
        try:
            server.serve_forever()
        except KeyboardInterrupt as error:
            ended.append(error)

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        assert send(server.server_port, get()).status == 500
        thread.join(DEADLINE)
    assert len(ended) == 1


@pytest.mark.parametrize("own", [True, False])
def test_a_refused_request_is_a_line_of_the_log(own: bool, capsys: pytest.CaptureFixture[str]) -> None:
    class Handler(WSGIRequestHandler):
        if own:

            def log_request(self, code: Any = "-", size: Any = "-") -> None:
                super().log_request(code, size)

    with serving(make_server("127.0.0.1", 0, hello, handler_class=Handler)) as port:
        assert send(port, b"no request\r\n\r\n").status == 400
    assert LINE.findall(capsys.readouterr().err) == [("", "400", "16")]


def test_handlers_on_the_engine_go_when_their_request_has_ended() -> None:
    kept: list[weakref.ref[Any]] = []

    class Handler(WSGIRequestHandler):
        def get_environ(self) -> Environ:
            kept.append(weakref.ref(self))
            return super().get_environ()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            kept.append(weakref.ref(self))

    server = make_server("127.0.0.1", 0, hello, handler_class=Handler)
    with serving(server) as port:
        assert send(port, get()).body == b"hello"
    assert len(kept) == 2
    assert [kept[0](), kept[1]()] == [None, None]
