"""The classes of `whiskyjack.contrib.django`: Django's, on the engine where nothing stands against it."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.servers import basehttp
from django.test.testcases import QuietWSGIRequestHandler

from tests.support.server import DEADLINE, environment
from tests.support.wire import conversation, get, send
from whiskyjack.contrib.django.server import ThreadedWSGIServer, WSGIServer

if not settings.configured:
    settings.configure()


def show(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield str(environ.get("HTTP_X_ONE")).encode()
    yield str("whiskyjack.queue_time" in environ).encode()


class HasTheConnection(basehttp.WSGIRequestHandler):  # type: ignore[misc]
    def handle(self) -> None:
        super().handle()


class Tags(basehttp.WSGIRequestHandler):  # type: ignore[misc]
    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        return environ | {"HTTP_X_ONE": f"own {self.command} {self.headers['X-One']}"}


@contextmanager
def serving(kind: type[WSGIServer], handler: Any = basehttp.WSGIRequestHandler, **more: Any) -> Iterator[WSGIServer]:
    server = kind(("127.0.0.1", 0), handler, **more)
    server.set_app(show)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


@pytest.mark.parametrize("kind", [WSGIServer, ThreadedWSGIServer])
def test_they_are_djangos_classes_on_the_engine(kind: type[WSGIServer]) -> None:
    with serving(kind) as server, conversation(server.server_port, get("/", "X-One: 1", "X_One: 2")) as opened:
        assert isinstance(server, getattr(basehttp, kind.__name__))
        response = opened.read_response()
        assert response.chunks == [b"1", b"True"]
        # and the connection is there for the next
        opened.send(get("/"))
        assert opened.read_response().chunks == [b"None", b"True"]


@pytest.mark.parametrize("handler", [QuietWSGIRequestHandler, Tags], ids=["quiet", "environ"])
def test_what_is_overridden_of_log_and_environ_stays_on_the_engine(handler: Any) -> None:
    with serving(ThreadedWSGIServer, handler) as server:
        told = send(server.server_port, get("/", "X-One: 1")).chunks
    assert told == ([b"own GET 1", b"True"] if handler is Tags else [b"1", b"True"])


@pytest.mark.parametrize("kind", [WSGIServer, ThreadedWSGIServer])
def test_who_overrides_how_a_connection_is_handled_has_it(kind: type[WSGIServer]) -> None:
    with serving(kind, HasTheConnection) as server:
        response = send(server.server_port, get("/", "X-One: 1"))
    assert (response.body, response.chunks) == (b"1False", [])


@pytest.fixture
def logged() -> Iterator[queue.Queue[Any]]:
    """What goes to the logger of Django's server."""
    records: queue.Queue[Any] = queue.Queue()
    ear = logging.handlers.QueueHandler(records)
    logger = logging.getLogger("django.server")
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(ear)
    logger.setLevel(level)


def test_requests_are_logged_with_what_django_says_of_them(logged: queue.Queue[Any]) -> None:
    with serving(ThreadedWSGIServer) as server:
        send(server.server_port, get("/"))
        record = logged.get(timeout=DEADLINE)
    assert record.getMessage() == '"GET / HTTP/1.1" 200 8'
    assert (record.levelname, record.status_code, record.request) == ("INFO", 200, None)
    assert len(record.server_time) == len("21/Nov/2026 05:00:00")


HALF = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"


def test_a_client_that_leaves_is_a_line_and_no_traceback(
    logged: queue.Queue[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    is_called, has_left = threading.Event(), threading.Event()

    def wait(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        is_called.set()
        assert has_left.wait(DEADLINE)
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body]

    with serving(ThreadedWSGIServer) as server:
        server.set_app(wait)
        with conversation(server.server_port, HALF) as opened:
            assert is_called.wait(DEADLINE)
            address = ("127.0.0.1", opened.local_port)
            opened.reset()
        has_left.set()
        record = logged.get(timeout=DEADLINE)
    assert record.getMessage() == f"- Broken pipe from {address}"
    assert record.levelname == "INFO"
    assert "Traceback" not in capfd.readouterr().err


PROJECT = {
    "settings.py": """
SECRET_KEY = "of the tests"
INSTALLED_APPS = ["django.contrib.staticfiles", "whiskyjack.contrib.django", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
ROOT_URLCONF = "urls"
STATIC_URL = "static/"
""",
    "urls.py": """
from threading import Barrier
from django.db import connection
from django.http import HttpResponse
from django.urls import path
from shop.models import Bird

together = Barrier(2)

def connected(request):
    together.wait(30)
    return HttpResponse(str(id(connection.connection)))

def birds(request):
    if request.GET:
        Bird.objects.create(name=request.GET["add"])
    text = " ".join(Bird.objects.values_list("name", flat=True))
    return HttpResponse(text + str("whiskyjack.queue_time" in request.environ))

urlpatterns = [path("", birds), path("connected", connected)]
""",
    "shop/models.py": """
from django.db import models

class Bird(models.Model):
    name = models.CharField(max_length=20)
""",
    "shop/static/bird.txt": "a jay",
    "shop/tests.py": """
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen
from django.db import connection
from shop.models import Bird
from whiskyjack.contrib.django.test import LiveServerTestCase, StaticLiveServerTestCase

def ask(url):
    with urlopen(url) as response:
        return response.read().decode()

class Live(LiveServerTestCase):
    def test_both_see_one_database(self):
        Bird.objects.create(name="jack")
        self.assertEqual(ask(self.live_server_url), "jackTrue")
        self.assertEqual(ask(self.live_server_url + "/?add=jay"), "jack jayTrue")
        self.assertEqual(Bird.objects.count(), 2)

    def test_every_thread_has_the_connection_of_the_test(self):
        connection.ensure_connection()
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(ask, [self.live_server_url + "/connected"] * 2))
        self.assertEqual(told, [str(id(connection.connection))] * 2)

class Static(StaticLiveServerTestCase):
    def test_files_of_applications_are_found(self):
        self.assertEqual(ask(self.live_server_url + "/static/bird.txt"), "a jay")
""",
}


def test_live_server_tests_share_a_database_in_memory(tmp_path: Path) -> None:
    for name, text in {**PROJECT, "shop/__init__.py": ""}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "django", "test", "--settings", "settings", "--pythonpath", "."],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Ran 3 tests" in ended.stderr
