"""`whiskyjack.werkzeug.serving`: Werkzeug's names, on the engine where nothing stands against it."""

from __future__ import annotations

import contextlib
import gc
import http.client
import inspect
import io
import os
import signal
import ssl
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import werkzeug.serving

from tests.support.server import DEADLINE, environment
from tests.support.sockets import leave_stale, listening, port_of
from tests.support.werkzeug_server import in_thread
from tests.support.wire import conversation, get, read_response, send
from whiskyjack.werkzeug import serving
from whiskyjack.werkzeug.serving import BaseWSGIServer, DechunkedInput, WSGIRequestHandler, make_server

MODES = pytest.mark.parametrize(
    "mode", [{}, {"threaded": True}, {"processes": 2}], ids=["one by one", "threaded", "forking"]
)


def show(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/broken":
        raise LookupError("no such bird")
    start_response("200 OK", [("Content-Type", "text/plain")])
    keys = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT")
    shown = [f"{key}={environ.get(key)!r}" for key in keys]
    shown.append(f"threads={environ['wsgi.multithread']} processes={environ['wsgi.multiprocess']}")
    shown.append(f"own={environ.get('own')} body={environ['wsgi.input'].read()!r}")
    return ["\n".join(shown).encode()]


def serve(app: Any = show, **keywords: Any) -> AbstractContextManager[BaseWSGIServer]:
    return in_thread(app, **keywords)


def ask(server: BaseWSGIServer, path: str = "/", body: bytes | None = None) -> tuple[HTTPResponse, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
        connection.request("GET" if body is None else "POST", path, body)
        response = connection.getresponse()
        return response, response.read().decode()


@pytest.mark.parametrize(
    "name",
    ["run_simple", "make_server", "select_address_family", "get_sockaddr", "make_ssl_devcert", "load_ssl_context"],
)
def test_functions_take_the_originals_arguments(name: str) -> None:
    ours, theirs = inspect.signature(getattr(serving, name)), inspect.signature(getattr(werkzeug.serving, name))
    told = [(parameter.name, parameter.default, parameter.kind) for parameter in ours.parameters.values()]
    assert told == [(parameter.name, parameter.default, parameter.kind) for parameter in theirs.parameters.values()]


def test_each_name_of_ours_is_one_of_the_originals() -> None:
    assert [name for name in serving.__all__ if not hasattr(werkzeug.serving, name)] == []
    assert serving.LISTEN_QUEUE == werkzeug.serving.LISTEN_QUEUE


@MODES
def test_every_mode_answers_and_says_in_the_environ_what_it_is(mode: dict[str, Any]) -> None:
    with serve(**mode) as server:
        response, text = ask(server, "//a%20b?c=d", b"hello")
    assert response.status == 200
    assert "REQUEST_METHOD='POST'\nPATH_INFO='/a b'\nQUERY_STRING='c=d'\nREMOTE_ADDR='127.0.0.1'\n" in text
    assert f"SERVER_NAME='127.0.0.1'\nSERVER_PORT='{server.port}'" in text
    assert f"threads={'threaded' in mode} processes={'processes' in mode}" in text
    assert "body=b'hello'" in text
    port = next(line for line in text.splitlines() if line.startswith("REMOTE_PORT="))
    assert port.removeprefix("REMOTE_PORT=").isdigit()


@pytest.mark.parametrize("threaded", [False, True])
def test_connections_stay_alive_on_the_engine(threaded: bool) -> None:
    with serve(threaded=threaded) as server, conversation(server.port) as connection:
        for _ in range(2):
            connection.send(get("/"))
            assert read_response(connection).status == 200


def test_threads_are_inside_the_application_at_once() -> None:
    together = threading.Barrier(2)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        together.wait(DEADLINE)
        return show(environ, start_response)

    statuses: list[int] = []
    with serve(application, threaded=True) as server:
        clients = [threading.Thread(target=lambda: statuses.append(ask(server)[0].status)) for _ in range(2)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(DEADLINE)
    assert statuses == [200, 200]


def test_threads_and_processes_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="choose one"):
        make_server("127.0.0.1", 0, show, threaded=True, processes=2)


class Overriding(WSGIRequestHandler):
    told: list[str]

    def make_environ(self) -> dict[str, Any]:
        return super().make_environ() | {"own": self.path}

    def address_string(self) -> str:
        return "fe80::1%eth2"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.told.append(f"{self.address_string()} {self.requestline} {code}")
        super().log_request(code, size)


class HasTheConnection(Overriding):
    def run_wsgi(self) -> None:
        self.told.append(f"run_wsgi {self.connection.getsockname()[1] == self.server.port}")
        super().run_wsgi()

    def end_headers(self) -> None:
        self.send_header("X-Own", "yes")
        super().end_headers()


@pytest.mark.parametrize("threaded", [False, True])
def test_overrides_of_environ_and_log_are_called_on_the_engine(
    threaded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Handler(Overriding):
        told: list[str] = []  # noqa: RUF012

    with serve(request_handler=Handler, threaded=threaded) as server:
        assert server._override() is None
        text = ask(server, "/x")[1]
    assert "own=/x" in text
    assert "REMOTE_ADDR='fe80::1%eth2'" in text
    assert Handler.told == ["fe80::1%eth2 GET /x HTTP/1.1 200"]
    assert "fe80::1%eth2 - - [" in caplog.text
    assert '"GET /x HTTP/1.1" 200 -' in caplog.text


@pytest.mark.parametrize("threaded", [False, True])
def test_who_overrides_how_a_request_is_handled_has_the_connection(threaded: bool) -> None:
    class Handler(HasTheConnection):
        told: list[str] = []  # noqa: RUF012

    with serve(request_handler=Handler, threaded=threaded) as server:
        assert server._override() is not None
        response, text = ask(server, "/x", b"body")
    assert response.headers["X-Own"] == "yes"
    assert response.headers["Connection"] is None
    assert "own=/x body=b'body'" in text
    assert Handler.told == ["run_wsgi True", "fe80::1%eth2 POST /x HTTP/1.1 200"]


@pytest.mark.parametrize("name", ["do_GET", "handle", "send_header", "setup"])
def test_other_methods_that_have_the_connection(name: str) -> None:
    def method(self: Any, *arguments: Any) -> Any:
        return (
            WSGIRequestHandler.run_wsgi(self) if name == "do_GET" else getattr(super(handler, self), name)(*arguments)
        )

    handler = type("Handler", (WSGIRequestHandler,), {name: method})
    with serve(request_handler=handler) as server:
        assert server._override() == f"Handler.{name}"
        assert ask(server)[0].status == 200


def test_a_handler_of_http_1_0_is_taken_at_its_word() -> None:
    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.0"

    with serve(request_handler=Handler) as server:
        assert ask(server)[0].version == 10


@pytest.mark.parametrize("handler", [WSGIRequestHandler, HasTheConnection])
def test_what_the_application_raises_is_answered_and_logged(
    handler: type[WSGIRequestHandler], caplog: pytest.LogCaptureFixture
) -> None:
    class Handler(handler):  # type: ignore[misc, valid-type]
        told: list[str] = []  # noqa: RUF012

    with serve(request_handler=Handler) as server:
        response, text = ask(server, "/broken")
        assert response.status == 500
        assert "500 Internal Server Error" in text
        assert ask(server)[0].status == 200
    assert "Error on request:\nTraceback" in caplog.text
    assert "LookupError: no such bird" in caplog.text


@pytest.mark.parametrize("handler", [WSGIRequestHandler, HasTheConnection])
def test_a_response_that_breaks_off_is_seen_to(handler: type[WSGIRequestHandler]) -> None:
    class Handler(handler):  # type: ignore[misc, valid-type]
        told: list[str] = []  # noqa: RUF012

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"some"
        raise LookupError("no more")

    with (
        serve(application, request_handler=Handler) as server,
        pytest.raises((http.client.IncompleteRead, ConnectionResetError)),
    ):
        ask(server)


@pytest.mark.parametrize("handler", [WSGIRequestHandler, HasTheConnection])
def test_errors_that_are_to_pass_through_end_the_server(handler: type[WSGIRequestHandler]) -> None:
    class Handler(handler):  # type: ignore[misc, valid-type]
        told: list[str] = []  # noqa: RUF012

    server = make_server("127.0.0.1", 0, show, request_handler=Handler, passthrough_errors=True)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            server.serve_forever()
        except LookupError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with conversation(server.port) as connection:
        connection.send(get("/broken"))
        thread.join(DEADLINE)
    assert [error.args for error in raised] == [("no such bird",)]


@pytest.mark.parametrize("path", ["/", "/broken"])
def test_no_server_keeps_itself_alive(path: str) -> None:
    class Application:
        def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
            return show(environ, start_response)

    application = Application()
    kept = weakref.ref(application)
    with serve(application) as server:
        ask(server, path)
    del application, server
    gc.collect()
    assert kept() is None


def test_a_unix_socket_takes_the_place_of_a_stale_one(tmp_path: Path) -> None:
    at = tmp_path / "of.sock"
    leave_stale(at)
    server = make_server(f"unix://{at}", 0, show)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with conversation(at) as connection:
            connection.send(get("/"))
            assert read_response(connection).status == 200
    finally:
        server.shutdown()
        thread.join(DEADLINE)


def test_a_descriptor_is_served() -> None:
    with listening() as listener:
        server = make_server("127.0.0.1", 1, show, fd=listener.fileno())
        assert server.port == port_of(listener)
        server.server_close()


def test_a_port_that_is_taken_ends_the_program_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with listening() as taken:
        with pytest.raises(SystemExit) as ended:
            make_server("127.0.0.1", port_of(taken), show)
        assert ended.value.code == 1
        assert f"Port {port_of(taken)} is taken" in capsys.readouterr().err


def test_chunks_are_taken_off() -> None:
    assert DechunkedInput(io.BytesIO(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")).read() == b"abcde"
    with pytest.raises(OSError, match="chunk"):
        DechunkedInput(io.BytesIO(b"-3\r\nabc\r\n")).read()


def test_a_customised_context_of_tls_is_served(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    context = serving.load_ssl_context(*serving.make_ssl_devcert(str(tmp_path / "of"), host="localhost"))
    assert (tmp_path / "of.key").stat().st_mode & 0o077 == 0
    client = ssl.create_default_context(cafile=str(tmp_path / "of.crt"))
    # The one that says nothing holds nobody up.
    with serve(ssl_context=context, threaded=True) as server, conversation(server.port):
        connection = http.client.HTTPSConnection("localhost", server.port, context=client, timeout=DEADLINE)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()


PROGRAM = """
import sys
from whiskyjack.werkzeug import run_simple

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]

run_simple("127.0.0.1", 0, app, **eval(sys.argv[1]))
"""


def test_run_simple_says_where_it_serves_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("a page", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, repr({"static_files": {"/static": str(tmp_path)}, "use_debugger": True})],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        port = int(next(line for line in said if " * Running on http://127.0.0.1:" in line).rpartition(":")[2])
        assert "Press CTRL+C to quit" in next(said)
        with conversation(port) as connection:
            connection.send(get("/static/page.txt"))
            assert read_response(connection).body == b"a page"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


RELOADED = """
import page
from whiskyjack.werkzeug import run_simple

def app(environ, start_response):
    start_response("200 OK", [])
    return [page.TEXT]

if __name__ == "__main__":
    run_simple("127.0.0.1", 0, app, use_reloader=True, reloader_type="stat", reloader_interval=0.05, threaded=True)
"""


def test_a_file_that_is_saved_is_seen_and_the_socket_stays_open(tmp_path: Path) -> None:
    page = tmp_path / "page.py"
    page.write_text("TEXT = b'one'", encoding="utf-8")
    (tmp_path / "program.py").write_text(RELOADED, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        port = int(next(line for line in said if " * Running on http://127.0.0.1:" in line).rpartition(":")[2])
        assert send(port, get("/")).body == b"one"
        page.write_text("TEXT = b'two'", encoding="utf-8")
        next(line for line in said if "Detected change" in line)
        next(line for line in said if "Restarting with stat" in line)
        # Nobody may be there to answer yet, and nothing is refused.
        with conversation(port, get("/")) as connection:
            assert read_response(connection).body == b"two"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_a_port_is_a_number() -> None:
    with pytest.raises(TypeError, match="port must be an integer"):
        serving.run_simple("127.0.0.1", "5000", show)  # type: ignore[arg-type]


def test_what_needs_werkzeug_says_so_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "werkzeug.middleware.shared_data", None)
    with pytest.raises(RuntimeError, match=r"static_files=.* needs Werkzeug"):
        serving.run_simple("127.0.0.1", 0, show, static_files={"/static": "."})


def test_a_reloader_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="reloader_type='inotify': write one of auto, stat, watchdog"):
        serving.run_simple("127.0.0.1", 0, show, use_reloader=True, reloader_type="inotify")


def test_a_reloaders_child_knows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving.is_running_from_reloader() is (os.environ.get("WERKZEUG_RUN_MAIN") == "true")
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    assert serving.is_running_from_reloader()
