"""What a hostile or unlucky client can do costs bounded memory, and others are served meanwhile."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.server import Server
from tests.support.wire import conversation, get, send

MEBIBYTE = 1024 * 1024


def memory(server: Server) -> int:
    """The bytes of the server that are in memory."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_answers_that_nobody_reads_stop_the_reading_of_requests(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    before = memory(server)
    with conversation(server.port, get("/slow/large") * 200) as opened:
        assert opened.read_head().status == 200
        for _ in range(5):
            assert send(server.port, get("/responses/one")).body == b"one piece"
        # the application made one body of 32 MiB; the server may hold it and its like, not two hundred
        assert memory(server) - before < 150 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_body_in_chunks_of_one_byte_weighs_no_more_than_its_bytes(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    before = memory(server)
    head = get("/slow/length", "Transfer-Encoding: chunked", method="POST")
    assert send(server.port, head, b"1\r\nx\r\n" * 400_000, b"0\r\n\r\n").body == b"400000"
    assert memory(server) - before < 50 * MEBIBYTE


def test_an_endless_head_is_refused_long_before_it_ends(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    for endless in [
        b"GET /" + b"a" * 1_000_000,
        get("/")[:-2] + b"X: " + b"a" * 1_000_000,
        get("/")[:-2] + b"X: a\r\n" * 200_000,
    ]:
        with conversation(server.port) as opened:
            opened.send_while_it_lasts(endless)
            assert opened.read_response().status in {414, 431}
            opened.expect_end()


def test_with_few_descriptors_connections_wait_for_their_turn(serve: Serve) -> None:
    limited = ["/bin/sh", "-c", f'ulimit -n 40; exec {sys.executable} -m whiskyjack "$@"', "sh"]
    server = serve("stage:application", "--threads", "2", command=limited)
    with ExitStack() as waiting:
        for _ in range(100):
            opened = waiting.enter_context(conversation(server.port, get("/responses/one", "Connection: close")))
            waiting.callback(opened.close)
        first = conversation(server.port, get("/responses/one"))
        assert first.read_response().body == b"one piece"
        first.close()
    for _ in range(5):
        assert send(server.port, get("/responses/one")).body == b"one piece"


def test_a_flood_of_connections_that_say_nothing_is_survived(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    for _ in range(20):
        with ExitStack() as flood:
            for _ in range(50):
                flood.enter_context(conversation(server.port))
    assert send(server.port, get("/responses/one")).body == b"one piece"
