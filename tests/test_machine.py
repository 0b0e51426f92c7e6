"""The machine's faults: the server says so once, goes on with what still works, and recovers by itself."""

from __future__ import annotations

import email.utils
import errno
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.faults import Faults, compile_faults
from tests.support.process import on_linux
from tests.support.server import COMMAND, DEADLINE, Server
from tests.support.wire import Conversation, conversation, get, post, send

pytestmark = on_linux

CANNOT_ACCEPT = "cannot accept connections for now"
ACCEPTS_AGAIN = r"connections are accepted again: accepting failed [0-9]+ times"
CANNOT_KEEP = "cannot keep a request's body in a temporary file"
KEEPS_AGAIN = r"requests' bodies are kept in temporary files again: ([0-9]+) were refused"


def limited(what: str) -> list[str]:
    """The command under a limit that the shell sets."""
    return ["/bin/sh", "-c", f'ulimit {what}; exec {" ".join(COMMAND)} "$@"', "sh"]


def told(server: Server, pattern: str) -> int:
    return len(re.findall(pattern, server.log()))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_faults(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def faults(library: Path, tmp_path: Path) -> Iterator[Faults]:
    with Faults(library, tmp_path / "faults") as made:
        yield made


LEFT_OPEN = ["--threads", "1", "--limit-connections", "10"]


def take_descriptors(client: Conversation) -> None:
    """The application leaves the process without one."""
    client.send(get("/large/take"))
    assert client.read_response().body == str(errno.EMFILE).encode()


def give_descriptors(client: Conversation) -> None:
    client.send(get("/large/give"))
    assert client.read_response().body == b"given"


def test_without_descriptors_the_open_connections_go_on_and_the_others_wait(serve: Serve) -> None:
    server = serve("stage:application", *LEFT_OPEN, command=limited("-n 60"))
    with conversation(server.port) as early:
        take_descriptors(early)
        with conversation(server.port, get("/large/echo?waited")) as waiting:
            server.wait_for_log(CANNOT_ACCEPT)
            for number in range(20):
                early.send(get(f"/large/echo?{number}"))
                assert early.read_response().body == b"%d" % number
            give_descriptors(early)
            assert waiting.read_response().body == b"waited"
        assert send(server.port, get("/large/echo?after")).body == b"after"
    server.wait_for_log(ACCEPTS_AGAIN)
    assert (told(server, CANNOT_ACCEPT), told(server, ACCEPTS_AGAIN)) == (1, 1)


def test_without_descriptors_a_large_body_is_answered_with_503_and_later_ones_are_kept(serve: Serve) -> None:
    server = serve("stage:application", *LEFT_OPEN, command=limited("-n 60"))
    with ExitStack() as stack:
        early = stack.enter_context(conversation(server.port, get("/large/echo?a")))
        large = [stack.enter_context(conversation(server.port, get("/large/echo?a"))) for _ in range(2)]
        assert [client.read_response().body for client in (early, *large)] == [b"a"] * 3
        for client in large:
            take_descriptors(early)
            client.send(post("/slow/length", b"x" * 300_000))
            assert client.read_response().status == 503
            client.expect_end()
        early.send(post("/slow/length", b"x" * 1000))
        assert early.read_response().body == b"1000"
        server.wait_for_log(CANNOT_KEEP)
        assert told(server, CANNOT_KEEP) == 1
        give_descriptors(early)
        early.send(post("/slow/length", b"x" * 300_000))
        assert early.read_response().body == b"300000"
    assert server.wait_for_log(KEEPS_AGAIN)[1] == "2"
    assert told(server, CANNOT_KEEP) == 1


def test_without_descriptors_a_file_is_sent_all_the_same(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789" * 100_000)
    env = {"FILE": str(tmp_path / "file")}
    server = serve("stage:application", *LEFT_OPEN, command=limited("-n 60"), env=env)
    with conversation(server.port, get("/large/keep")) as early:
        assert early.read_response().body == b"kept"
        take_descriptors(early)
        early.send(get("/large/kept"))
        assert early.read_response().body == b"0123456789" * 100_000
        give_descriptors(early)


def test_with_few_descriptors_connections_wait_for_their_turn(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1", command=limited("-n 40"))
    with ExitStack() as stack:
        waiting = [
            stack.enter_context(conversation(server.port, get("/responses/one", "Connection: close")))
            for _ in range(100)
        ]
        for client in waiting:
            assert client.read_response().body == b"one piece"
    assert told(server, CANNOT_ACCEPT) == 0


def test_a_full_disk_is_answered_with_503_and_told_once(serve: Serve) -> None:
    # 150 KiB a file: what is larger meets EFBIG
    server = serve("stage:application", "--threads", "1", command=limited("-f 300"))
    for _ in range(5):
        with conversation(server.port, post("/slow/length", b"x" * 400_000)) as client:
            assert client.read_response().status == 503
            client.expect_end()
        assert send(server.port, post("/slow/length", b"x" * 1000)).body == b"1000"
    server.wait_for_log(CANNOT_KEEP)
    assert told(server, CANNOT_KEEP) == 1
    assert send(server.port, post("/slow/length", b"x" * 140_000)).body == b"140000"
    assert server.wait_for_log(KEEPS_AGAIN)[1] == "5"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_write_that_fails_costs_its_request_alone(serve: Serve, faults: Faults, number: int, framing: str) -> None:
    server = serve("stage:application", "--threads", "1", env=faults.env)
    request = post("/slow/length", b"x" * 200_000)
    if framing == "chunked":
        chunks = b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n"
        request = get("/slow/length", "Transfer-Encoding: chunked", method="POST") + chunks
    faults.fail_write(number, 2)
    for _ in range(2):
        with conversation(server.port) as client:
            client.send_while_it_lasts(request)
            assert client.read_response().status == 503
            client.expect_end()
        assert send(server.port, get("/large/echo?others")).body == b"others"
    assert send(server.port, request).body == b"200000"
    assert server.wait_for_log(KEEPS_AGAIN)[1] == "2"
    assert told(server, CANNOT_KEEP) == 1
    assert os.strerror(number) in server.log()


def test_a_directory_for_bodies_that_is_missing_is_told_once_and_used_once_it_is_there(
    serve: Serve, tmp_path: Path
) -> None:
    directory = tmp_path / "bodies"
    server = serve("stage:application", "--threads", "1", env={"TMPDIR": str(directory)})
    for _ in range(3):
        with conversation(server.port, post("/slow/length", b"x" * 300_000)) as client:
            assert client.read_response().status == 503
            client.expect_end()
    server.wait_for_log(re.escape(f"{CANNOT_KEEP} in {directory} (TMPDIR"))
    assert told(server, re.escape(f"{CANNOT_KEEP} in {directory} (TMPDIR")) == 1
    directory.mkdir()
    assert send(server.port, post("/slow/length", b"x" * 300_000)).body == b"300000"
    assert server.wait_for_log(KEEPS_AGAIN)[1] == "3"
    assert not list(directory.iterdir())


@pytest.mark.parametrize("place", ["/proc", "/dev/null"])
def test_a_directory_for_bodies_that_nobody_can_write_to_costs_large_bodies_alone(serve: Serve, place: str) -> None:
    server = serve("stage:application", "--threads", "1", env={"TMPDIR": place})
    assert send(server.port, post("/slow/length", b"x" * 300_000)).status == 503
    assert send(server.port, post("/slow/length", b"x" * 100_000)).body == b"100000"
    server.wait_for_log(CANNOT_KEEP)
    assert told(server, CANNOT_KEEP) == 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPROTO])
def test_an_accept_that_fails_is_told_once_and_tried_again(serve: Serve, faults: Faults, number: int) -> None:
    server = serve("stage:application", "--threads", "1", env=faults.env)
    with conversation(server.port, get("/large/echo?before")) as early:
        assert early.read_response().body == b"before"
        faults.fail_accept(number, 3)
        with conversation(server.port, get("/large/echo?late")) as late:
            server.wait_for_log(CANNOT_ACCEPT)
            early.send(get("/large/echo?still"))
            assert early.read_response().body == b"still"
            assert late.read_response().body == b"late"
    server.wait_for_log("accepting failed 3 times")
    assert told(server, CANNOT_ACCEPT) == 1
    assert os.strerror(number) in server.log()


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EINTR])
def test_a_connection_that_is_gone_before_it_is_accepted_is_nothing_to_tell(
    serve: Serve, faults: Faults, number: int
) -> None:
    server = serve("stage:application", "--threads", "1", env=faults.env)
    faults.fail_accept(number, 200)
    while faults.accept_left:
        assert send(server.port, get("/large/echo?others")).body == b"others"
    assert told(server, "accept") == 0


def exchange_all(client: Conversation) -> None:
    """Each way of reading and writing once."""
    client.send(get("/") + post("/", b"x" * 300_000))
    assert client.read_response().body.startswith(b"0 ")
    assert client.read_response().body.startswith(b"300000 ")
    client.send(get("/generated"))
    assert client.read_response().body == b"x" * 65536 * 64


def test_a_hail_of_signals_for_the_application_disturbs_nothing(serve: Serve) -> None:
    server = serve("signalled:application", "--threads", "2")
    done = threading.Event()

    def hail() -> None:
        while not done.is_set():
            for number in (signal.SIGWINCH, signal.SIGCHLD, signal.SIGALRM):
                os.kill(server.worker, number)

    hailing = threading.Thread(target=hail)
    hailing.start()
    rounds = handled = 0
    until = time.monotonic() + DEADLINE
    try:
        # The application's handlers run between two steps of its Python, so that many signals make one call.
        while rounds < 10 or handled <= 10:
            assert time.monotonic() < until, f"{handled} signals were handled in {rounds} rounds"
            with conversation(server.port) as client:
                exchange_all(client)
            length, count = send(server.port, get("/")).body.split()
            assert length == b"0"
            rounds, handled = rounds + 1, int(count)
    finally:
        done.set()
        hailing.join()


def test_calls_that_are_interrupted_are_made_again(serve: Serve, faults: Faults) -> None:
    server = serve("signalled:application", "--threads", "2", env=faults.env)
    faults.interrupt()
    for _ in range(10):
        with conversation(server.port) as client:
            exchange_all(client)
    faults.interrupt(False)
    assert faults.interrupted > 100
    assert told(server, "ERROR|error") == 0


def date(server_time: str | None) -> float:
    assert server_time is not None
    return email.utils.parsedate_to_datetime(server_time).timestamp()


@pytest.mark.parametrize("step", [86_400, -86_400], ids=["forward", "back"])
def test_a_clock_that_is_set_moves_the_date_and_no_deadline(serve: Serve, faults: Faults, step: int) -> None:
    flags = ["--threads", "1", "--head-timeout", "1h", "--keep-alive", "1h", "--body-timeout", "1h"]
    server = serve("stage:application", *flags, env=faults.env)
    with (
        conversation(server.port) as new,
        conversation(server.port, b"GET /large/echo?head HT") as in_head,
        conversation(server.port, get("/slow/length", "Content-Length: 2", method="POST") + b"1") as in_body,
        conversation(server.port, get("/large/echo?idle")) as idle,
    ):
        assert idle.read_response().body == b"idle"
        faults.step_clock(step)
        found = date(send(server.port, get("/large/echo?date")).value("Date"))
        assert abs(found - (time.time() + step)) < 3600
        in_head.send(b"TP/1.1\r\nHost: a\r\n\r\n")
        assert in_head.read_response().body == b"head"
        in_body.send(b"2")
        assert in_body.read_response().body == b"2"
        for client in (idle, new):
            client.send(get("/large/echo?still"))
            assert client.read_response().body == b"still"


def test_deadlines_go_on_while_the_clock_is_set_back(serve: Serve, faults: Faults) -> None:
    flags = ["--head-timeout", "200ms", "--keep-alive", "200ms"]
    server = serve("stage:application", "--threads", "1", *flags, env=faults.env)
    with (
        conversation(server.port, get("/large/echo?idle")) as idle,
        conversation(server.port, b"GET / HT") as in_head,
    ):
        assert idle.read_response().body == b"idle"
        faults.step_clock(-86_400)
        assert in_head.read_response().status == 408
        idle.expect_end()
