"""`whiskyjack.testing`: a real server in the process of a test, and pytest's fixture for it."""

from __future__ import annotations

import http.client
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support.server import DEADLINE, environment
from tests.support.sockets import listening, port_of
from whiskyjack.testing import ApplicationError, LiveServer

DJANGO_SITE = Path(__file__).with_name("apps") / "django_site"


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello from " + environ["PATH_INFO"].encode()]


def ask(server: LiveServer, path: str = "/") -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=DEADLINE)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


def test_it_serves_as_soon_as_it_is_started_and_refuses_once_it_has_stopped() -> None:
    with LiveServer(hello) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert ask(server, "/here") == (200, b"hello from /here")
    with pytest.raises(ConnectionRefusedError):
        ask(server)


def test_no_thread_is_left_and_it_can_be_started_again() -> None:
    before = threading.active_count()
    server = LiveServer(hello)
    for _ in range(2):
        server.start()
        assert ask(server)[0] == 200
        server.stop()
        assert threading.active_count() == before
    server.stop()


def test_it_is_started_once_at_a_time() -> None:
    with LiveServer(hello) as server, pytest.raises(RuntimeError, match="was started already"):
        server.start()


def test_requests_are_answered_beside_each_other() -> None:
    together = threading.Barrier(3)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        together.wait(DEADLINE)
        return hello(environ, start_response)

    with LiveServer(application) as server, ThreadPoolExecutor(3) as clients:
        assert {status for status, _ in clients.map(lambda _: ask(server), range(3))} == {200}


def test_servers_run_beside_each_other_and_ask_each_other() -> None:
    with LiveServer(hello) as inner:

        def relay(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return [b"relayed: " + ask(inner, environ["PATH_INFO"])[1]]

        with LiveServer(relay) as outer:
            assert ask(outer, "/a") == (200, b"relayed: hello from /a")


def test_what_flask_passes_on_is_answered_with_500_kept_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask(__name__)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/broken")
    def broken() -> str:
        raise LookupError("no such bird")

    with LiveServer(app) as server:
        assert ask(server, "/broken")[0] == 500
        (error,) = server.errors
    assert isinstance(error, ApplicationError)
    assert error.line == "GET /broken HTTP/1.1"
    assert isinstance(error.exception, LookupError)
    (record,) = [record for record in caplog.records if record.name == "whiskyjack.testing"]
    assert record.levelno == logging.ERROR
    assert "no such bird" in caplog.text
    assert "in broken" in caplog.text


def test_each_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "whiskyjack.testing"), LiveServer(hello) as server:
        ask(server, "/seen")
    assert '"GET /seen HTTP/1.1" 200 16' in caplog.text


def test_a_response_that_never_ends_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    closed = threading.Event()

    def endless(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.set()

    server = LiveServer(endless, graceful_timeout=0)
    server.start()
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=DEADLINE)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read(10) == b"x" * 10
        server.stop()
        assert "still inside a request" in caplog.text
    assert closed.wait(DEADLINE)


@pytest.mark.parametrize(
    ("keywords", "fault", "message"),
    [
        ({"thread": 2}, TypeError, "the nearest is threads"),
        ({"keep_alive": "soon"}, ValueError, "keep_alive"),
    ],
)
def test_a_setting_that_is_none_is_refused_on_the_spot(
    keywords: dict[str, Any], fault: type[Exception], message: str
) -> None:
    with pytest.raises(fault, match=message), LiveServer(hello, **keywords):
        pass


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(TypeError, match="must be callable"):
        LiveServer("shop:app")  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_told() -> None:
    with listening() as taken, pytest.raises(OSError, match="in use"), LiveServer(hello, port=port_of(taken)):
        pass


def test_ipv6_is_written_in_brackets() -> None:
    try:
        server = LiveServer(hello, "::1")
        server.start()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    try:
        assert server.url == f"http://[::1]:{server.port}"
        assert ask(server)[0] == 200
    finally:
        server.stop()


LEFT_BEHIND = """
import http.client, sys, threading
from whiskyjack.testing import LiveServer
from whiskyjack.wsgiref.simple_server import make_server

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]

if sys.argv[1] == "LiveServer":
    server = LiveServer(app)
    server.start()
    port = server.port
else:
    server = make_server("127.0.0.1", 0, app, threads=8)
    port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
connection = http.client.HTTPConnection("127.0.0.1", port)
connection.request("GET", "/")
connection.getresponse().read()
sys.exit(3)
"""


@pytest.mark.parametrize("server", ["LiveServer", "make_server"])
def test_a_server_that_is_left_behind_does_not_take_the_process_down(server: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND, server],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr


def test_the_fixture_is_there_without_an_import(whiskyjack_server: Callable[..., LiveServer]) -> None:
    first, second = whiskyjack_server(hello), whiskyjack_server(Flask(__name__), threads=1)
    assert ask(first)[0] == 200
    assert ask(second)[0] == 404


def test_the_fixture_serves_django_and_pytest_shows_what_it_raises(tmp_path: Path) -> None:
    test = tmp_path / "test_site.py"
    test.write_text(
        textwrap.dedent("""
            import urllib.error, urllib.request

            from django.core.wsgi import get_wsgi_application

            def fetch(url):
                try:
                    with urllib.request.urlopen(url) as response:
                        return response.status
                except urllib.error.HTTPError as error:
                    return error.code

            def test_it_answers(whiskyjack_server):
                server = whiskyjack_server(get_wsgi_application())
                assert fetch(server.url + "/none-such") == 404

            def test_it_breaks(whiskyjack_server):
                def application(environ, start_response):
                    raise LookupError("the reason why")

                server = whiskyjack_server(application)
                assert fetch(server.url) == 200
        """),
        encoding="utf-8",
    )
    path = DJANGO_SITE, *[entry for entry in sys.path if entry]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        cwd=tmp_path,
        env=environment(
            {
                "DJANGO_SETTINGS_MODULE": "site_of_tests.settings",
                "SITE_DATA": str(tmp_path),
                "PYTHONPATH": ":".join(str(entry) for entry in path),
            }
        ),
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "assert 500 == 200" in ended.stdout
    assert "LookupError: the reason why" in ended.stdout.partition("Captured log call")[2]
