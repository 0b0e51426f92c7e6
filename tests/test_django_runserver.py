"""`manage.py runserver` and `manage.py serve` of `whiskyjack.contrib.django`, as people run them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests

from tests.support.client import ask
from tests.support.programs import chromium
from tests.support.server import DEADLINE, Server, environment
from tests.support.sockets import listening, port_of
from tests.support.terminal import Poller, Terminal, in_terminal, save, save_and_read, save_and_see
from tests.support.wire import conversation, get

MANAGE = [sys.executable, "manage.py"]
STATIC = "/static/admin/css/base.css"
OURS_FIRST = 'INSTALLED_APPS = ["whiskyjack.contrib.django", *INSTALLED_APPS]\n'
OURS_LAST = 'INSTALLED_APPS = [*INSTALLED_APPS, "whiskyjack.contrib.django"]\n'

URLS = """
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
import threading

together = threading.Barrier(2)

def page(request):
    return HttpResponse({text!r})

def stream(request):
    return StreamingHttpResponse(iter(["a", "b"]))

def meet(request):
    return HttpResponse(str(together.wait({patience}) in (0, 1)))

urlpatterns = [path("", page), path("stream", stream), path("meet", meet)]
"""


def urls(text: str) -> str:
    return URLS.format(text=text, patience=DEADLINE)


def manage(project: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, project / "manage.py", *words],
        cwd=cwd or project,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )


@pytest.fixture(params=[OURS_FIRST])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "shop", "."],
        cwd=tmp_path,
        env=environment(),
        timeout=DEADLINE,
        check=True,
    )
    with (tmp_path / "shop/settings.py").open("a") as settings:
        settings.write('ALLOWED_HOSTS = ["*"]\n' + request.param)
    save(tmp_path / "shop/urls.py", urls("one"))
    return tmp_path


def configure(project: Path, *lines: str) -> None:
    with (project / "shop/settings.py").open("a") as settings:
        settings.write("\n".join([*lines, ""]))


def port_in(terminal: Terminal) -> int:
    return int(terminal.wait_for(r"Starting development server at http://[^:]+:(\d+)/"))


def is_ours(port: int) -> bool:
    """Django's own server sends such a response without chunks, and closes."""
    with conversation(port, get("/stream")) as opened:
        response = opened.read_response()
        assert response.body == b"ab"
        return response.chunks == [b"a", b"b"]


def test_a_save_is_seen_and_an_error_recovers_without_a_refused_connection(project: Path) -> None:
    page = project / "shop/urls.py"
    with in_terminal([*MANAGE, "runserver", "0"], project) as terminal:
        terminal.wait_for(r"Watching for file changes with StatReloader")
        terminal.wait_for(r"Performing system checks\.\.\.\n\nSystem check identified no issues \(0 silenced\)\.")
        terminal.wait_for(r"Django version [\d.]+, using settings 'shop\.settings'")
        with Poller(port_in(terminal)) as poller:
            terminal.wait_for(r"Quit the server with CONTROL-C\.")
            terminal.wait_for(r"WARNING: This is a development server\.")
            poller.wait_for(200, "one")
            save_and_see(page, urls("two"), poller, 200, "two")
            terminal.wait_for(r"shop/urls\.py changed, reloading\.")
            # in the browser, and in the terminal
            assert "def (:" in save_and_see(page, urls("three") + "def (:\n", poller, 500, "SyntaxError")
            terminal.wait_for(r"SyntaxError")
            save_and_see(page, urls("four"), poller, 200, "four")
            assert is_ours(poller.port)
        assert poller.faults == []
        assert {status for status, _ in poller.answers} == {200, 500}
        assert terminal.interrupt() == 0, terminal.text()


def test_a_browser_shows_what_cannot_be_imported_and_then_the_page_again(project: Path, tmp_path: Path) -> None:
    page = project / "shop/urls.py"
    with in_terminal([*MANAGE, "runserver", "0"], project) as terminal:
        port = port_in(terminal)
        with Poller(port) as poller:
            save_and_see(page, "def (:\n", poller, 500, "SyntaxError")
        url = f"http://127.0.0.1:{port}/"
        assert "SyntaxError" in chromium(url, tmp_path)
        with Poller(port) as poller:
            save_and_see(page, urls("mended"), poller, 200, "mended")
        assert "mended" in chromium(url, tmp_path)


def test_who_asks_while_no_application_can_be_loaded_waits_until_it_can(project: Path) -> None:
    models = project / "shop/models.py"
    save(models, "")
    configure(project, 'INSTALLED_APPS.append("shop")')
    with in_terminal([*MANAGE, "runserver", "0"], project) as terminal, Poller(port_in(terminal)) as poller:
        poller.wait_for(200, "one")
        save_and_see(project / "shop/urls.py", urls("two"), poller, 200, "two")
        # Django then loads no application at all, ours neither, until the next save.
        save_and_read(models, "def (:\n", terminal, "SyntaxError")
        save(project / "shop/urls.py", urls("three"))
        save_and_see(models, "", poller, 200, "three")
    assert poller.faults == []


@pytest.mark.parametrize("project", [OURS_FIRST, OURS_LAST], ids=["first", "last"], indirect=True)
@pytest.mark.parametrize(
    ("flags", "status"), [(["--noreload"], 200), ([], 200), (["--noreload", "--nostatic"], 404)], ids=str
)
def test_static_files_are_served_wherever_the_application_stands(
    project: Path, flags: Sequence[str], status: int
) -> None:
    with in_terminal([*MANAGE, "runserver", *flags, "0"], project) as terminal:
        port = port_in(terminal)
        assert ask("requests", f"http://127.0.0.1:{port}{STATIC}").status == status
        assert is_ours(port)


def test_without_static_files_it_is_djangos_command(project: Path) -> None:
    with (project / "shop/settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS.remove("django.contrib.staticfiles")\n')
    assert "--nostatic" not in manage(project, "runserver", "--help").stdout
    with in_terminal([*MANAGE, "runserver", "--noreload", "0"], project) as terminal:
        assert is_ours(port_in(terminal))


def test_static_files_are_served_without_debug_where_that_is_asked_for(project: Path) -> None:
    with (project / "shop/settings.py").open("a") as settings:
        settings.write("DEBUG = False\n")
    with in_terminal([*MANAGE, "runserver", "--noreload", "--insecure", "0"], project) as terminal:
        assert ask("requests", f"http://127.0.0.1:{port_in(terminal)}{STATIC}").status == 200


def test_the_application_alone_decides(project: Path) -> None:
    settings = project / "shop/settings.py"
    save(settings, settings.read_text(encoding="utf-8").replace(OURS_FIRST, ""))
    with in_terminal([*MANAGE, "runserver", "--noreload", "0"], project) as terminal:
        assert not is_ours(port_in(terminal))


def test_an_address_of_ipv6_is_taken(project: Path) -> None:
    with in_terminal([*MANAGE, "runserver", "-6", "0"], project) as terminal:
        port = terminal.wait_for(r"Starting development server at http://\[::1\]:(\d+)/")
        assert requests.get(f"http://[::1]:{port}/", timeout=DEADLINE).text == "one"


@pytest.mark.parametrize("flags", [[], ["--nothreading"]], ids=["threads", "one thread"])
def test_requests_meet_inside_the_application_unless_there_is_one_thread(project: Path, flags: Sequence[str]) -> None:
    save(project / "shop/urls.py", URLS.format(text="one", patience=0.2 if flags else DEADLINE))
    with in_terminal([*MANAGE, "runserver", "--noreload", *flags, "0"], project) as terminal:
        port = port_in(terminal)
        with conversation(port, get("/meet")) as one, conversation(port, get("/meet")) as other:
            statuses = [one.read_response().status, other.read_response().status]
        assert statuses == ([500, 500] if flags else [200, 200])


def test_requests_are_logged_as_django_does(project: Path) -> None:
    with in_terminal([*MANAGE, "runserver", "--noreload", "0"], project, {"DJANGO_COLORS": "nocolor"}) as terminal:
        port = port_in(terminal)
        with conversation(port, get("/")) as opened:
            opened.read_response()
        terminal.wait_for(r'^\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "GET / HTTP/1\.1" 200 3$')
        with conversation(port, get("/nowhere")) as opened:
            opened.read_response()
        terminal.wait_for(r"^Not Found: /nowhere$")
        terminal.wait_for(r'^\[.{20}\] "GET /nowhere HTTP/1\.1" 404 \d+$')
        # the first bytes of TLS
        with conversation(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") as opened:
            assert opened.read_response().status == 400
        terminal.wait_for(r"^\[.{20}\] 127\.0\.0\.1 sent what is no request of HTTP, perhaps HTTPS")


@pytest.mark.parametrize("flags", [[], ["--noreload"]], ids=["reloading", "not"])
def test_a_port_that_is_taken_is_told_in_djangos_words(project: Path, flags: Sequence[str]) -> None:
    with listening() as taken:
        ended = manage(project, "runserver", *flags, str(port_of(taken)))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "Error: That port is already in use."


@pytest.mark.parametrize("wrong", ["127.0.0.1", "name:port", "99999999"])
def test_a_wrong_address_is_told_in_djangos_words(project: Path, wrong: str) -> None:
    ended = manage(project, "runserver", "--noreload", wrong)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr or wrong == "99999999"


def test_serve_runs_the_command_with_its_settings_from_wherever_it_is_called(project: Path, tmp_path: Path) -> None:
    configure(project, "DEBUG = False")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, str(project / "manage.py"), "serve"]
    server = Server("-b", "127.0.0.1:0", "--workers", "2", "--access-log", "-", cwd=elsewhere, command=command)
    try:
        assert "application shop.wsgi:application, 2 workers" in server.log()
        assert requests.get(server.url, timeout=DEADLINE).text == "one"
        server.stdout.wait_for(r'"GET / HTTP/1\.1" 200 3')
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload")
        assert requests.get(server.url, timeout=DEADLINE).text == "one"
    finally:
        server.stop()


def test_serve_takes_a_project_without_an_application_of_its_own(project: Path) -> None:
    configure(project, "DEBUG = False", "WSGI_APPLICATION = None")
    ended = manage(project, "serve", "--check-config")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "django.core.wsgi:get_wsgi_application()" in ended.stdout


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([], "settings.DEBUG is True"),
        (["DEBUG = False", "ALLOWED_HOSTS = []"], "settings.ALLOWED_HOSTS is empty"),
        (["DEBUG = False", 'WSGI_APPLICATION = "shop"'], "WSGI_APPLICATION is 'shop'"),
        (["1 +"], "SyntaxError"),
    ],
    ids=["debug", "hosts", "application", "syntax"],
)
def test_serve_refuses_what_is_no_production(project: Path, settings: Sequence[str], told: str) -> None:
    configure(project, *settings)
    ended = manage(project, "serve", "-b", "127.0.0.1:0")
    assert ended.returncode == 1
    assert told in ended.stderr


def test_serve_hands_wrong_options_on(project: Path) -> None:
    ended = manage(project, "serve", "--allow-debug", "--worker", "3")
    assert ended.returncode == 2
    assert "--workers" in ended.stderr


def test_the_help_of_serve_has_both_kinds_of_options(project: Path) -> None:
    for words in (["serve", "--help"], ["help", "serve"]):
        told = manage(project, *words).stdout
        assert re.search(r"--allow-debug.*--settings.*--keep-alive", told, re.DOTALL), told
