"""Signals where they are awkward: while the application is imported, and in processes that it forks."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.server import COMMAND, DEADLINE, environment
from tests.support.wire import conversation, get, send

SLOW_IMPORT = """\
print("importing", flush=True)
while True:
    pass
"""

FORKS = """\
import os, signal

def app(environ, start_response):
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"!")
        signal.pause()
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, int(environ["QUERY_STRING"]))
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(ended).encode()]
"""


STAYS = """\
import os, signal

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/end":
        child = int(environ["QUERY_STRING"])
        os.kill(child, signal.SIGKILL)
        return [str(os.waitpid(child, 0)[0]).encode()]
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return iter([str(child).encode()])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_import_ends_it_and_leaves_no_socket_file(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "shop.py").write_text(SLOW_IMPORT)
    command = [*COMMAND, "-b", "unix:socket", "shop"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        assert (tmp_path / "socket").is_socket()
        process.send_signal(number)
        _, said = process.communicate(timeout=DEADLINE)
    assert (process.returncode, said) == (130, "whiskyjack: interrupted\n")
    assert not (tmp_path / "socket").exists()


def test_a_process_that_the_application_forks_can_be_terminated(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FORKS)
    server = serve("shop", "--threads", "1", cwd=tmp_path)
    assert send(server.port, get(f"/?{signal.SIGTERM.value}")).body == str(-signal.SIGTERM).encode()


@pytest.mark.parametrize("head", [get(version="1.0"), get("/", "Connection: close")], ids=["1.0", "close"])
def test_a_child_that_stays_keeps_no_connection_open(serve: Serve, tmp_path: Path, head: bytes) -> None:
    """It has a copy of every descriptor; the client waits for the end all the same."""
    (tmp_path / "shop.py").write_text(STAYS)
    server = serve("shop", cwd=tmp_path)
    with conversation(server.port, head) as opened:
        response = opened.read_response()
        opened.expect_end()
        assert send(server.port, get(f"/end?{response.body.decode()}")).body == response.body


def test_a_handler_of_the_application_is_called_as_well(serve: Serve, tmp_path: Path) -> None:
    source = """\
import signal

def told(number, frame):
    print("told", number, flush=True)

signal.signal(signal.SIGTERM, told)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
"""
    (tmp_path / "shop.py").write_text(source)
    server = serve("shop", cwd=tmp_path)
    send(server.port, get())
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.log()
    assert server.stdout.text() == f"told {signal.SIGTERM.value}\n"
