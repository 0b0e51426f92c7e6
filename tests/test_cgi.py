"""A CGI program made of `CGIHandler` under a real web server, lighttpd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import whiskyjack
from tests.support.server import DEADLINE, Output
from tests.support.sockets import listening, port_of

LIGHTTPD = shutil.which("lighttpd") or shutil.which("lighttpd", path="/usr/sbin:/usr/local/sbin")

PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {package!r})
from whiskyjack.wsgiref.handlers import CGIHandler
from whiskyjack.wsgiref.util import request_uri

def application(environ, start_response):
    if environ["PATH_INFO"] == "/raise":
        raise ValueError("on purpose")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    start_response("201 Created", [("Content-Type", "text/plain"), ("X-Uri", request_uri(environ))])
    for name in "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_X_ANY", "wsgi.run_once", "wsgi.multithread":
        yield f"{{name}}={{environ[name]!a}}\\n".encode()
    yield body

CGIHandler().run(application)
"""

SETTINGS = """\
server.document-root = "{root}"
server.errorlog = "{root}/errors.log"
server.breakagelog = "{root}/breakage.log"
server.modules = ("mod_cgi")
# the socket comes from the test, which knows its port
server.systemd-socket-activation = "enable"
server.port = {port}
server.bind = "127.0.0.1"
cgi.assign = (".cgi" => "")
"""


# systemd's protocol: the socket is descriptor 3, and LISTEN_PID is the server itself
ACTIVATE = """
import os, sys
if sys.argv[1] != "3":
    os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The program's address, and the directory of the server's logs."""
    if LIGHTTPD is None:
        pytest.skip("there is no lighttpd")
    root = tmp_path_factory.mktemp("site")
    program = root / "app.cgi"
    program.write_text(PROGRAM.format(python=sys.executable, package=str(Path(whiskyjack.__file__).parent.parent)))
    program.chmod(0o755)
    with listening() as listener:
        port = port_of(listener)
        settings = root / "lighttpd.conf"
        settings.write_text(SETTINGS.format(root=root, port=port))
        server = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(listener.fileno()), LIGHTTPD, "-D", "-f", str(settings)],
            pass_fds=[listener.fileno()],
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            stderr=subprocess.PIPE,
        )
    assert server.stderr is not None
    said = Output(server.stderr)
    yield f"http://127.0.0.1:{port}/app.cgi", root
    server.terminate()
    server.wait(DEADLINE)
    said.whole()


def test_a_request_reaches_the_application_and_its_answer_the_client(site: tuple[str, Path]) -> None:
    url, _ = site
    got = httpx.post(
        f"{url}/a%20b/%C3%A9?q=1&r", content=b"the body", headers={b"X-Any": "é".encode()}, timeout=DEADLINE
    )
    assert got.status_code == 201, got.text
    assert got.text.splitlines() == [
        "SCRIPT_NAME='/app.cgi'",
        r"PATH_INFO='/a b/\xc3\xa9'",
        "QUERY_STRING='q=1&r'",
        r"HTTP_X_ANY='\xc3\xa9'",
        "wsgi.run_once=True",
        "wsgi.multithread=False",
        "the body",
    ]
    assert got.headers["X-Uri"] == f"{url}/a%20b/%C3%A9?q=1&r"


def test_an_exception_is_an_answer_and_its_traceback_is_in_the_servers_log(site: tuple[str, Path]) -> None:
    url, root = site
    got = httpx.get(f"{url}/raise", timeout=DEADLINE)
    assert (got.status_code, got.text) == (500, "A server error occurred.  Please contact the administrator.")
    # the server writes what came over the program's pipe before it has seen the program's end
    assert "ValueError: on purpose" in (root / "breakage.log").read_text()


def test_a_response_to_head_has_no_body(site: tuple[str, Path]) -> None:
    url, _ = site
    got = httpx.head(f"{url}/?q", headers={"X-Any": "a"}, timeout=DEADLINE)
    assert (got.status_code, got.content) == (201, b"")
