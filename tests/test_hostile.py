"""What a hostile or unlucky client can do costs bounded memory, and others are served meanwhile."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.apps.large import PIECE, PIECES
from tests.conftest import Serve
from tests.support.crowd import allow_files
from tests.support.process import MEBIBYTE, descriptors, memory_within, on_linux, writes
from tests.support.server import Server
from tests.support.wire import Conversation, Truncated, get, post, send

# how many the two longest tests send; CONTRIBUTING.md has the long run
PIPELINED = int(os.environ.get("PIPELINED_REQUESTS", "100000"))
LARGE = PIECE * PIECES

pytestmark = on_linux


def serve_others(server: Server, times: int = 5) -> None:
    """Somebody who behaves is answered."""
    for number in range(times):
        assert send(server.port, get(f"/large/echo?other-{number}")).body == b"other-%d" % number


@contextmanager
def opened(
    server: Server, count: int, *pieces: bytes, receive_buffer: int | None = None
) -> Iterator[list[Conversation]]:
    """So many connections, each of which has sent the pieces."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(stack.enter_context(Conversation(server.port, receive_buffer)))
            made[-1].send(*pieces)
        yield made


def test_300_heads_that_come_byte_by_byte_hold_no_thread(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1")
    head = get("/large/echo?slow", "X-Padding: aaaaaaaaaa")
    with memory_within(server, 300 * 16 * 1024), opened(server, 300) as slow:
        for position, byte in enumerate(head[:-1]):
            for client in slow:
                client.send(bytes([byte]))
            if position % 10 == 0:
                serve_others(server, 1)
        for client in slow:
            client.send(head[-1:])
            assert client.read_response().body == b"slow"


@pytest.mark.parametrize(
    ("length", "most"),
    [pytest.param(100_000, 200_000, id="in memory"), pytest.param(400_000, 64_000, id="in a file")],
)
def test_100_bodies_that_stop_cost_what_is_documented(serve: Serve, length: int, most: int) -> None:
    server = serve("stage:application", "--threads", "1")
    head = get("/slow/length", f"Content-Length: {length + 1}", method="POST")
    with memory_within(server, 100 * most + 4 * MEBIBYTE), opened(server, 100, head + b"x" * length) as slow:
        serve_others(server)
        for client in slow:
            client.send(b"x")
            assert client.read_response().body == str(length + 1).encode()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/large/whole", LARGE),
        ("/large/listed", LARGE),
        ("/large/little", PIECE[:65536] * 15),
        ("/files/whole", LARGE),
    ],
)
def test_readers_of_nothing_hold_no_thread_whatever_the_response_is(
    serve: Serve, tmp_path: Path, path: str, body: bytes
) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    server = serve("stage:application", "--threads", "1", env={"FILE": str(tmp_path / "large")})
    # what the application makes is its own: a body of 16 MiB for each who asks, in one of the four
    most = 4 * len(LARGE) if path == "/large/whole" else 16 * MEBIBYTE
    with (
        memory_within(server, most + 4 * MEBIBYTE),
        opened(server, 4, get(path), receive_buffer=4096) as slow,
    ):
        for client in slow:
            assert client.read_head().status == 200
        serve_others(server)
        slow[0].reset()
        framed = slow[1].receive(100)
        assert framed
        serve_others(server)
    assert send(server.port, get(path)).body == body


def test_a_generator_that_nobody_reads_gives_its_thread_back_after_the_write_timeout(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1", "--write-timeout", "300ms", "--response-spool", "0")
    with (
        memory_within(server, 16 * MEBIBYTE),
        opened(server, 1, get("/large/generated?stuck"), receive_buffer=4096) as (stuck,),
    ):
        assert stuck.read_head().status == 200
        serve_others(server)
        server.wait_for_log("closed stuck")
        with pytest.raises((Truncated, ConnectionResetError)):
            stuck.read_exactly(len(LARGE), "a body that was given up")


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (get("/large/echo?half"), b"half"),
        (post("/slow/length", b"x" * 300_000), b"300000"),
        (get("/slow/length", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n0\r\n\r\n", b"3"),
        (get("/slow/nap?half"), b"half"),
        (get("/large/whole"), LARGE),
        (get("/large/generated?half"), LARGE),
        (get("/responses/written"), b"written, written again, returned"),
    ],
)
def test_a_client_that_has_ended_its_side_is_answered(serve: Serve, request_: bytes, body: bytes) -> None:
    server = serve("stage:application", "--threads", "1")
    with opened(server, 1, request_) as (client,):
        client.finish_sending()
        assert client.read_response().body == body
        client.expect_end()
    with opened(server, 1, request_ + get("/large/echo?second") * 100) as (client,):
        client.finish_sending()
        assert client.read_response().body == body
        for _ in range(100):
            assert client.read_response().body == b"second"
        client.expect_end()


def test_a_head_or_body_that_is_ended_in_the_middle_is_not_taken_for_whole(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1")
    for part in [get("/slow/note?head")[:-1], get("/slow/note?body", "Content-Length: 5", method="POST") + b"1234"]:
        with opened(server, 1, part) as (client,):
            client.finish_sending()
            client.expect_end()
    assert send(server.port, get("/slow/seen")).body == b""


def test_resets_at_every_stage_leave_nothing_behind(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    flags = ["--threads", "1", "--write-timeout", "5s"]
    server = serve("stage:application", *flags, env={"FILE": str(tmp_path / "large")})

    def reset_after_head(path: str) -> Callable[[Conversation], None]:
        def stage(client: Conversation) -> None:
            client.send(get(path))
            assert client.read_head().status == 200

        return stage

    def refused(client: Conversation) -> None:
        client.send(b"not a request\r\n\r\n")
        assert client.read_response().status == 400

    def between(client: Conversation) -> None:
        client.send(get("/large/echo?one"))
        assert client.read_response().body == b"one"

    def sent(*pieces: bytes) -> Callable[[Conversation], None]:
        return lambda client: client.send(*pieces)

    chunked = get("/slow/length", "Transfer-Encoding: chunked", method="POST")
    invited = get("/slow/length", "Content-Length: 5", "Expect: 100-continue", method="POST")
    stages = [
        sent(),
        sent(b"GET / HT"),
        sent(get("/slow/length", "Content-Length: 300000", method="POST") + b"x" * 200_000),
        sent(chunked + b"a\r\n012"),
        sent(chunked + b"1\r\nx\r\n0\r\nX-Trailer: "),
        sent(invited),
        sent(get("/slow/nap?gone")),
        sent(get("/large/echo?many") * 50),
        sent(get("/large/generated?gone")),
        reset_after_head("/large/whole"),
        reset_after_head("/large/listed"),
        reset_after_head("/large/generated?begun"),
        reset_after_head("/files/whole"),
        refused,
        between,
    ]
    serve_others(server)
    before = descriptors(server)
    with memory_within(server, 48 * MEBIBYTE):
        for stage in stages * 5:
            with Conversation(server.port, receive_buffer=4096) as client:
                stage(client)
                client.reset()
            serve_others(server, 1)
    for _ in range(1000):
        serve_others(server, 1)
        if descriptors(server) <= before:
            break
    assert descriptors(server) <= before


def test_5000_connections_that_come_and_go_leave_nothing_behind(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1", "--head-timeout", "1h")
    with memory_within(server, 2 * MEBIBYTE):
        for _ in range(50):
            for _ in range(100):
                Conversation(server.port).close()
            serve_others(server, 1)
        for _ in range(100):
            with opened(server, 50):
                pass
        serve_others(server)


def test_3000_connections_that_say_nothing_cost_8_kb_each_and_nobody_else(serve: Serve) -> None:
    allow_files(8000)
    server = serve("stage:application", "--threads", "1")
    with memory_within(server, 3000 * 8192), opened(server, 3000) as silent:
        serve_others(server)
        for client in silent[::100]:
            client.send(get("/large/echo?after all"))
            assert client.read_response().status == 400
            client.close()
        for client in silent[1::100]:
            client.send(get("/large/echo?after"))
            assert client.read_response().body == b"after"


def test_a_thousand_over_the_limit_of_connections_wait_and_none_is_reset(serve: Serve) -> None:
    allow_files(8000)
    server = serve("stage:application", "--threads", "1", "--limit-connections", "50")
    with opened(server, 50, get("/large/echo?first")) as first:
        for client in first:
            assert client.read_response().body == b"first"
        with opened(server, 1000, get("/large/echo?over", "Connection: close")) as over:
            assert descriptors(server) < 100
            for client in first:
                client.send(get("/large/echo?again"))
                assert client.read_response().body == b"again"
            first[0].close()
            for client in over:
                assert client.read_response().body == b"over"
                client.expect_end()


def test_requests_in_segments_of_one_byte_are_read_as_ever(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1")
    requests = [
        get("/large/echo?one"),
        post("/slow/length", b"0123456789"),
        get("/slow/length", "Transfer-Encoding: chunked", method="POST") + b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
        get("/large/echo?last"),
    ]
    with opened(server, 1) as (client,):
        for byte in b"".join(requests * 5):
            client.send(bytes([byte]))
        for _ in range(5):
            assert [client.read_response().body for _ in requests] == [b"one", b"10", b"3", b"last"]


def pipelined(count: int) -> Iterator[bytes]:
    """So many requests, each with its number, in large pieces."""
    for start in range(0, count, 1000):
        yield b"".join(
            b"GET /large/echo?%08d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(start, start + 1000)
        )


def expect_in_order(client: Conversation, count: int) -> None:
    """That many answers come, each with its number, in their order."""
    expected, rest = 0, b""
    while expected < count:
        piece = client.receive(1 << 20)
        assert piece, f"the connection ended after {expected} answers"
        rest += piece
        end = 0
        for found in re.finditer(rb"\r\n\r\n([0-9]{8})(?=HTTP/1\.1 200 OK\r\n|$)", rest):
            assert int(found[1]) == expected
            expected += 1
            end = found.end()
        rest = rest[end:]
        assert len(rest) < 4 << 20
    assert not rest


def test_pipelined_requests_are_answered_in_order_beside_others(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1")
    with memory_within(server, 2 * MEBIBYTE), opened(server, 1) as (client,):
        sender = threading.Thread(target=lambda: client.send(*pipelined(PIPELINED)))
        sender.start()
        others = threading.Thread(target=serve_others, args=(server, 50))
        others.start()
        expect_in_order(client, PIPELINED)
        sender.join()
        others.join()


def test_pipelined_requests_of_one_who_reads_nothing_wait_in_his_own_socket(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1")
    with memory_within(server, 2 * MEBIBYTE), opened(server, 1, receive_buffer=4096) as (client,):
        sender = threading.Thread(target=lambda: client.send(*pipelined(PIPELINED)))
        sender.start()
        serve_others(server, 100)
        assert sender.is_alive(), "the server has taken all, although nobody reads the answers"
        expect_in_order(client, PIPELINED)
        sender.join()


def test_answers_that_nobody_reads_stop_the_reading_of_requests(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    # the application made one body of 32 MiB; the server may hold it and its like, not two hundred
    with memory_within(server, 150 * MEBIBYTE), opened(server, 1, get("/slow/large") * 200) as (client,):
        assert client.read_head().status == 200
        serve_others(server)


@pytest.mark.parametrize(
    ("beginning", "block", "statuses"),
    [
        pytest.param(b"GET /", b"a" * MEBIBYTE, {414}, id="request line"),
        pytest.param(get("/")[:-2] + b"X: ", b"a" * MEBIBYTE, {431}, id="field line"),
        pytest.param(get("/")[:-2], b"X: a\r\n" * 150_000, {431}, id="field lines"),
        pytest.param(b"", b"\r\n" * 500_000, {400}, id="empty lines"),
        pytest.param(
            get("/slow/length", "Transfer-Encoding: chunked", method="POST") + b"1;",
            b"a" * MEBIBYTE,
            {413},
            id="extension",
        ),
        pytest.param(
            get("/slow/length", "Transfer-Encoding: chunked", method="POST"),
            b"1;a=b\r\nx\r\n" * 100_000,
            {413},
            id="extensions",
        ),
        pytest.param(
            get("/slow/length", "Transfer-Encoding: chunked", method="POST") + b"0\r\nX: ",
            b"a" * MEBIBYTE,
            {431},
            id="trailer",
        ),
        pytest.param(
            get("/slow/length", "Transfer-Encoding: chunked", method="POST") + b"0\r\n",
            b"X: a\r\n" * 150_000,
            {431},
            id="trailers",
        ),
    ],
)
def test_what_never_ends_is_refused_long_before_its_gigabyte(
    serve: Serve, beginning: bytes, block: bytes, statuses: set[int]
) -> None:
    server = serve("stage:application", "--threads", "1")
    with memory_within(server, 2 * MEBIBYTE), opened(server, 1, beginning) as (client,):
        taken = 0
        try:
            while taken < 1 << 30:
                client.send(block)
                taken += len(block)
        except (BrokenPipeError, ConnectionResetError):
            pass
        # what was taken lies in the buffers of the two sockets, mostly
        assert taken < 32 * MEBIBYTE
        assert client.read_response().status in statuses
        serve_others(server)


def test_a_body_in_chunks_of_one_byte_weighs_no_more_than_its_bytes(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1")
    head = get("/slow/length", "Transfer-Encoding: chunked", method="POST")
    before = writes(server)
    with memory_within(server, 8 * MEBIBYTE):
        assert send(server.port, head, b"1\r\nx\r\n" * 1_000_000, b"0\r\n\r\n").body == b"1000000"
    assert writes(server) - before < 500, "each chunk was written to the temporary file by itself"
