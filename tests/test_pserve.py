"""`pserve` of Pyramid with `use = egg:whiskyjack#main`, and the application of its settings file under workers."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.client import ask
from tests.support.server import DEADLINE, Server, environment

PSERVE = [sys.executable, "-m", "pyramid.scripts.pserve"]

APPLICATION = """
import logging
from pyramid.config import Configurator
from pyramid.response import Response

def hello(request):
    logging.getLogger("shop").info("said %s", request.registry.settings["greeting"])
    return Response(request.registry.settings["greeting"])

def main(global_config, **settings):
    config = Configurator(settings=settings)
    config.add_route("hello", "/")
    config.add_view(hello, route_name="hello")
    return config.make_wsgi_app()
"""

INI = """
[app:main]
use = call:shop:main
greeting = good morning

[app:other]
use = call:shop:main
greeting = good night

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys = plain

[logger_root]
level = INFO
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain

[formatter_plain]
format = of the file: %(message)s

[server:main]
use = egg:whiskyjack#main
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APPLICATION)
    return tmp_path


def ini(project: Path, *settings: str) -> Path:
    file = project / "development.ini"
    file.write_text(INI + "\n".join([*settings, ""]))
    return file


def served(project: Path, *settings: str, flags: Sequence[str] = ()) -> Server:
    ini(project, *settings)
    return Server(*flags, "development.ini", cwd=project, env={"PYTHONPATH": str(project)}, command=PSERVE)


@pytest.mark.parametrize(
    "settings",
    [
        ["bind = 127.0.0.1:0"],
        ["listen = 127.0.0.1:0", "threads = 4"],
        ["host = 127.0.0.1", "port = 0"],
        ["port = 0"],
        ["bind = 127.0.0.1:0", "keep_alive = 5s", "limit-request-body = 1MB", "streaming_uploads = true"],
    ],
    ids=["bind", "listen", "host", "port", "settings"],
)
def test_pserve_serves_by_its_settings_file(project: Path, settings: Sequence[str]) -> None:
    server = served(project, *settings)
    try:
        answer = ask("requests", server.url)
        assert (answer.body, answer.fields["server"]) == (b"good morning", "whiskyjack")
        server.wait_for_log("^of the file: said good morning$")
        assert f"{4 if 'threads = 4' in settings else 8} threads" in server.log()
    finally:
        server.stop()


def test_every_setting_goes_by_its_name(project: Path) -> None:
    server = served(project, "bind = 127.0.0.1:0", "server_header = a jay", "limit_request_line = 40", "access_log = -")
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
            connection.request("GET", "/" + "a" * 40)
            response = connection.getresponse()
            assert (response.status, response.headers["Server"]) == (414, "a jay")
        ask("requests", server.url)
        server.stdout.wait_for('"GET / HTTP/1.1" 200 12')
    finally:
        server.stop()


def test_several_addresses_are_listened_at(project: Path) -> None:
    server = served(project, f"listen = 127.0.0.1:0 unix:{project}/shop.sock")
    try:
        server.wait_for_log("shop.sock")
        assert ask("requests", server.url).body == b"good morning"
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["workers = 4"], "whiskyjack --workers 4 'whiskyjack.contrib.paste:load_app(\""),
        (["app = shop"], "the application is that of the section [app:main]"),
        (["host = 127.0.0.1"], "comes without a port"),
        (["listen = *:6543", "port = 6543"], "listen and port all say where to listen"),
        (["bind = nowhere at all:80"], '--bind "nowhere'),
        (["channel_timeout = 9"], "waitress's --channel-timeout is --keep-alive here"),
        (["expose_tracebacks = true"], "tracebacks go to the log, never to a client"),
        (["thread = 9"], "--threads"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_with_the_file(project: Path, settings: Sequence[str], told: str) -> None:
    file = ini(project, *settings)
    ended = subprocess.run(
        [*PSERVE, str(file)],
        cwd=project,
        env=environment({"PYTHONPATH": str(project)}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout
    assert told in ended.stderr
    assert str(file) in ended.stderr


@pytest.mark.parametrize(("name", "greeting"), [("", b"good morning"), ("#other", b"good night")])
def test_workers_load_the_application_of_the_file(project: Path, serve: Serve, name: str, greeting: bytes) -> None:
    ini(project)
    server = serve(f'whiskyjack.contrib.paste:load_app("development.ini{name}")', "--workers", "2", cwd=project)
    assert ask("requests", server.url).body == greeting
    server.wait_for_log("^of the file: said ")
