"""A server that has nothing to do: it wakes nobody, and is there when something happens."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import Serve
from tests.support.process import on_linux, wait_for_rest, woken_within
from tests.support.server import Server
from tests.support.wire import conversation, get, send

pytestmark = on_linux

# Later than a server comes to rest, and within what is watched: the deadline of a head that a connection had before it
# was answered is nothing to wake for.
HEAD_TIMEOUT = "8s"
WATCHED = 8

EMBEDDED = Path(__file__).with_name("programs") / "embedded.py"


def rest_undisturbed(servers: Sequence[Server]) -> None:
    """Has each answer on some connections, and watches while they are left open; then each is answered again."""
    with ExitStack() as stack:
        opened = [stack.enter_context(conversation(server.port)) for server in servers for _ in range(10)]
        for _ in range(2):
            for connection in opened:
                connection.send(get("/?1"))
                assert connection.read_response().status == 200
        wait_for_rest(*servers)
        woken = woken_within(servers, WATCHED)
        assert not any(woken), woken
        for connection in opened:
            connection.send(get("/?2"))
            assert connection.read_response().status == 200


def test_nothing_wakes_in_a_single_process_while_nothing_happens(serve: Serve) -> None:
    rest_undisturbed([serve("fleet:app", "-w", "0", "--head-timeout", HEAD_TIMEOUT)])


def test_nothing_wakes_in_supervisor_workers_and_loader_while_nothing_happens(serve: Serve) -> None:
    kinds = [["-w", "1"], ["-w", "2"], ["-w", "2", "--preload"], ["-w", "1", "--stall-timeout", "0"]]
    rest_undisturbed([serve("fleet:app", "--head-timeout", HEAD_TIMEOUT, *kind) for kind in kinds])


def test_nothing_wakes_in_somebody_elses_process_while_nothing_happens(serve: Serve) -> None:
    modules = ["whiskyjack.wsgiref.simple_server", "whiskyjack.werkzeug.serving"]
    commands = [[sys.executable, str(EMBEDDED), module] for module in modules]
    servers = [serve(None, command=command, bind=None) for command in commands]
    for server in servers:
        assert send(server.port, get("/", "Connection: close")).body == b"hello"
    wait_for_rest(*servers)
    woken = woken_within(servers, 3)
    assert not any(woken), woken


def test_a_worker_whose_interpreter_is_held_is_found_after_a_rest_too(serve: Serve) -> None:
    server = serve("fleet:app", "--stall-timeout", "1s", "--timeout", "0", "--threads", "2")
    pid = server.worker
    wait_for_rest(server)
    with conversation(server.port, get("/hold")):
        server.wait_for_log(rf"\(pid {pid}\) is replaced: its interpreter has run no Python for 1s")
        server.wait_for_log(rf"\(pid {pid}\) (was killed by SIG|exited)")
    assert send(server.port, get("/?1")).status == 200


def test_a_worker_that_grows_after_a_rest_is_replaced(serve: Serve) -> None:
    server = serve("fleet:app", "--max-worker-rss", "64M")
    pid = server.worker
    wait_for_rest(server)
    assert send(server.port, get("/grow?1")).status == 200
    server.wait_for_log(rf"\(pid {pid}\) is replaced: it has \d+ MiB of memory, over max-worker-rss")


def test_a_worker_becomes_old_while_it_rests(serve: Serve) -> None:
    server = serve("fleet:app", "--max-worker-lifetime", "9s")
    pid = server.worker
    wait_for_rest(server)
    server.wait_for_log(rf"\(pid {pid}\) drains: it is older than 9s")


def test_a_worker_that_is_killed_while_all_rest_is_replaced(serve: Serve) -> None:
    server = serve("fleet:app", "-w", "2")
    wait_for_rest(server)
    pid = server.workers()[0]
    os.kill(pid, signal.SIGKILL)
    # Its memory is known as it was when it came to rest.
    server.wait_for_log(rf"\(pid {pid}\) was killed by SIGKILL.* with \d+ MiB of memory")
    server.wait_for_log(r"worker 0 \(pid \d+\) serves")
    assert len(server.workers()) == 2
