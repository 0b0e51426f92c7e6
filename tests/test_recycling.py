"""Workers that are replaced because of what they have done or become."""

from __future__ import annotations

import os

from tests.conftest import Serve
from tests.support.interpreter import HAS_GIL
from tests.support.load import Load
from tests.support.process import on_linux
from tests.support.wire import conversation, get, send

pytestmark = on_linux
ROUNDS = int(os.environ.get("FLEET_RECYCLINGS", "6"))


def test_workers_that_have_answered_enough_are_replaced_without_a_lost_request(serve: Serve) -> None:
    server = serve("fleet:app", "-w", "2", "--max-requests", "100", "--max-requests-jitter", "20")
    with Load(server) as load:
        while len(load.answers) < ROUNDS + 2:
            pass
    assert load.faults == [], load.faults[:5]
    server.wait_for_log(r"is replaced: it has answered 1[0-2]\d requests")


def test_a_worker_that_has_grown_is_replaced(serve: Serve) -> None:
    server = serve("fleet:app", "--max-worker-rss", "64M")
    pid = server.worker
    assert send(server.port, get("/grow?1")).status == 200
    server.wait_for_log(rf"\(pid {pid}\) is replaced: it has \d+ MiB of memory, over max-worker-rss")
    server.wait_for_log(rf"\(pid {pid}\) drains")


def test_a_worker_that_is_old_is_replaced(serve: Serve) -> None:
    server = serve("fleet:app", "--max-worker-lifetime", "1s")
    pid = server.worker
    server.wait_for_log(rf"\(pid {pid}\) drains: it is older than 1s")
    assert send(server.port, get("/?1")).status == 200


def test_a_worker_whose_interpreter_is_held_is_replaced_and_killed(serve: Serve) -> None:
    server = serve("fleet:app", "--stall-timeout", "1s", "--timeout", "0", "--threads", "2")
    pid = server.worker
    with conversation(server.port, get("/hold")):
        if not HAS_GIL:
            # A call that does not let go holds nobody else.
            assert send(server.port, get("/?1")).status == 200
            assert server.worker == pid
            return
        server.wait_for_log(rf"\(pid {pid}\) is replaced: its interpreter has run no Python for 1s")
        server.wait_for_log(rf"\(pid {pid}\) (was killed by SIG|exited)")
    assert send(server.port, get("/?1")).status == 200
