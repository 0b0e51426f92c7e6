"""Who waits for sockets while the application is busy."""

from __future__ import annotations

from contextlib import ExitStack

from tests.conftest import Serve
from tests.support.process import on_linux, waits
from tests.support.server import Server
from tests.support.wire import conversation, get

pytestmark = on_linux

CLIENTS = 8
ROUNDS = 25
ATTEMPTS = 20


def standby_was_woken(server: Server) -> int:
    return sum(count for (_, name), count in waits(server).items() if name == "standby")


def asked_for_more_than_it_can(server: Server) -> int:
    """Has a call that takes long, and then always requests that wait; how often the standby was woken meanwhile."""
    with ExitStack() as stack:
        clients = [stack.enter_context(conversation(server.port)) for _ in range(CLIENTS)]
        before = standby_was_woken(server)
        for client in clients:
            client.send(get("/?long" if client is clients[0] else "/"))
        for turn in range(ROUNDS):
            for client in clients:
                assert client.read_response().body == b"done"
                if turn < ROUNDS - 1:
                    client.send(get())
        return standby_was_woken(server) - before


def test_the_thread_that_calls_the_application_waits_for_sockets_again_after_a_long_call(serve: Serve) -> None:
    server = serve("brief:app", "-w", "0", "--threads", "1")
    # On a machine that keeps the server from its processor every call is long.
    woken = [asked_for_more_than_it_can(server)]
    while woken[-1] >= CLIENTS * ROUNDS // 4 and len(woken) < ATTEMPTS:
        woken.append(asked_for_more_than_it_can(server))
    assert woken[-1] < CLIENTS * ROUNDS // 4, woken
