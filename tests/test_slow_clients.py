"""No slow client holds a thread of the application. All is asserted on being answered, nothing on the clock."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.apps.slow import LARGE
from tests.conftest import Serve
from tests.support.crowd import allow_files, crowd, run
from tests.support.wire import Conversation, conversation, get, post, send


def test_500_clients_that_all_wait_in_the_application_are_all_answered(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "32")

    async def story() -> list[list[tuple[int, bytes]]]:
        async with crowd(server.port, 500) as clients:

            async def visit(number: int) -> list[tuple[int, bytes]]:
                return [await clients[number].ask(get(f"/slow/nap?{number}-{turn}")) for turn in range(3)]

            return await asyncio.gather(*(visit(number) for number in range(500)))

    for number, answers in enumerate(run(story)):
        assert answers == [(200, b"%d-%d" % (number, turn)) for turn in range(3)]


def test_among_5000_idle_connections_a_new_one_is_answered(serve: Serve) -> None:
    allow_files(12_000)
    server = serve("stage:application", "--threads", "4")

    async def story() -> None:
        async with crowd(server.port, 5000) as idle:
            answers = await asyncio.gather(*(client.ask(get("/responses/one")) for client in idle))
            assert answers == [(200, b"one piece")] * 5000
            async with crowd(server.port, 1) as (new,):
                for _ in range(20):
                    assert await new.ask(get("/responses/one")) == (200, b"one piece")
            again = await asyncio.gather(*(client.ask(get("/responses/one")) for client in idle[::50]))
            assert again == [(200, b"one piece")] * 100

    run(story)


def test_beside_200_clients_that_dribble_their_heads_others_are_answered(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    head = get("/responses/one", "X-Padding: " + "a" * 100)

    async def story() -> None:
        async with crowd(server.port, 200) as slow, crowd(server.port, 1) as (other,):
            finished = asyncio.Event()

            async def dribble() -> None:
                """One byte a second from each, until the other client has its answers."""
                for byte in head:
                    await asyncio.gather(*(client.send(bytes([byte])) for client in slow))
                    try:
                        await asyncio.wait_for(finished.wait(), 1)
                    except TimeoutError:
                        continue
                    return

            dribbling = asyncio.create_task(dribble())
            for number in range(40):
                assert await other.ask(get(f"/slow/nap?{number}")) == (200, b"%d" % number)
            finished.set()
            await dribbling
            # they were heard all the while: none of them has been closed, and each can still finish its head
            assert all([await client.is_open() for client in slow])

    run(story)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_slow_bodies_hold_no_thread(serve: Serve, framing: str) -> None:
    server = serve("stage:application", "--threads", "2")
    if framing == "length":
        begin, end = get("/slow/length", "Content-Length: 10", method="POST") + b"01234", b"56789"
    else:
        begin = get("/slow/length", "Transfer-Encoding: chunked", method="POST") + b"a\r\n01234"
        end = b"56789\r\n0\r\n\r\n"
    with ExitStack() as stack:
        slow = [stack.enter_context(conversation(server.port, begin)) for _ in range(4)]
        for _ in range(10):
            assert send(server.port, post("/slow/length", b"quick")).body == b"5"
        for opened in slow:
            opened.send(end)
            assert opened.read_response().body == b"10"


def test_slow_readers_hold_no_thread(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    with ExitStack() as stack:
        slow = []
        for _ in range(6):
            opened = stack.enter_context(Conversation(server.port, receive_buffer=4096))
            opened.send(get("/slow/large"))
            assert opened.read_head().status == 200
            slow.append(opened)
        for _ in range(10):
            assert send(server.port, get("/responses/one")).body == b"one piece"
        for opened in slow[:2]:
            assert opened.read_exactly(LARGE, "the large body") == b"x" * LARGE


PIECES = b"".join(b"%08d" % number * 1024 for number in range(LARGE // 8192))


@pytest.mark.parametrize("way", ["generator", "write"])
def test_slow_readers_of_pieces_hold_no_thread(serve: Serve, way: str) -> None:
    server = serve("stage:application", "--threads", "1")
    with ExitStack() as stack:
        slow = []
        for _ in range(3):
            opened = stack.enter_context(Conversation(server.port, receive_buffer=4096))
            opened.send(get(f"/slow/pieces?{way}", version="1.0"))
            assert opened.read_head().status == 200
            slow.append(opened)
        for _ in range(10):
            assert send(server.port, get("/responses/one")).body == b"one piece"
        for opened in slow:
            assert opened.read_exactly(LARGE, "all the pieces") == PIECES
            opened.expect_end()


def test_pieces_wait_for_a_slow_reader_where_no_file_can_take_them(serve: Serve, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    server = serve("stage:application", "--threads", "1", env={"TMPDIR": str(gone)})
    for _ in range(2):
        with Conversation(server.port, receive_buffer=4096) as opened:
            opened.send(get("/slow/pieces", version="1.0"))
            assert opened.read_head().status == 200
            server.wait_for_log(f"cannot keep a response for a slow client in a temporary file in {gone}")
            assert opened.read_exactly(LARGE, "all the pieces") == PIECES
    assert server.log().count("cannot keep a response") == 1


@pytest.mark.parametrize("spool", ["0", "3M", "256M"])
def test_an_endless_response_to_a_reader_that_stalls_is_ended(serve: Serve, spool: str) -> None:
    flags = ["--threads", "1", "--write-timeout", "300ms", "--response-spool", spool]
    server = serve("stage:application", *flags)
    with conversation(server.port, get("/slow/endless")) as opened:
        assert opened.read_head().status == 200
        server.wait_for_log("the endless one is closed")
        assert send(server.port, get("/responses/one")).body == b"one piece"


def test_a_blocked_application_leaves_the_other_threads_to_others(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "4")
    with ExitStack() as stack:
        held = [stack.enter_context(conversation(server.port, get(f"/slow/hold?{number}"))) for number in range(3)]
        for number in range(3):
            server.wait_for_log(f"holding {number}")
        for _ in range(10):
            assert send(server.port, get("/responses/one")).body == b"one piece"
        assert send(server.port, get("/slow/release")).body == b"released"
        for opened in held:
            assert opened.read_response().body == b"held"


def test_a_quick_request_that_came_with_a_blocking_one_does_not_wait_for_it(serve: Serve) -> None:
    """The leader that is stuck in the application had more ready connections: a follower takes them over."""
    server = serve("stage:application", "--threads", "2")
    with ExitStack() as stack:
        others = [stack.enter_context(conversation(server.port)) for _ in range(8)]
        held = stack.enter_context(conversation(server.port, get("/slow/hold?0")))
        for opened in others:
            opened.send(get("/responses/one"))
        for opened in others:
            assert opened.read_response().body == b"one piece"
        assert send(server.port, get("/slow/release")).body == b"released"
        assert held.read_response().body == b"held"


def test_a_body_that_came_while_the_application_was_busy_is_read_at_once(serve: Serve) -> None:
    """All of it lies in the kernel, so no event of the socket will tell of it: whoever comes back must see to it."""
    # without a deadline that would wake somebody by chance
    never = ["--head-timeout", "0", "--body-timeout", "0", "--write-timeout", "0", "--keep-alive", "1h"]
    server = serve("stage:application", "--threads", "4", *never)
    for length in [1_200_000, 1_500_000, 2_000_000] * 5:
        with conversation(server.port) as opened:
            # the first body makes the kernel give the connection a buffer that holds the second
            opened.send(post("/slow/length", b"x" * 30_000_000))
            assert opened.read_response().body == b"30000000"
            opened.send(get("/slow/nap?before") + post("/slow/length", b"x" * length))
            assert opened.read_response().body == b"before"
            assert opened.read_response().body == str(length).encode()


def test_a_deadline_that_another_thread_sets_is_kept(serve: Serve) -> None:
    """The leader may wait already, for a later one, when a thread that was held up gives its connection back."""
    server = serve("stage:application", "--threads", "4", "--keep-alive", "100ms", "--head-timeout", "1h")
    for number in range(10):
        with conversation(server.port, get(f"/slow/nap?{number}")) as opened:
            assert opened.read_response().body == b"%d" % number
            opened.expect_end()


def test_connections_over_the_limit_wait_and_are_served_in_their_turn(serve: Serve) -> None:
    server = serve("stage:application", "--limit-connections", "2")
    first = conversation(server.port, get("/responses/one"))
    second = conversation(server.port, get("/responses/one"))
    assert first.read_response().body == second.read_response().body == b"one piece"
    with conversation(server.port, get("/responses/one")) as third:
        first.close()
        assert third.read_response().body == b"one piece"
    second.close()


def test_a_reset_in_the_middle_of_anything_hurts_nobody_else(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    beginnings = [
        b"",
        b"GET / HT",
        get("/slow/length", "Content-Length: 10", method="POST") + b"01234",
        get("/slow/length", "Transfer-Encoding: chunked", method="POST") + b"a\r\n012",
        get("/slow/large"),
        get("/slow/nap?gone"),
        get("/responses/one") * 50,
    ]
    for beginning in beginnings * 5:
        conversation(server.port, beginning).reset()
    for _ in range(5):
        assert send(server.port, get("/responses/one")).body == b"one piece"
