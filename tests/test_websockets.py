"""Connections that an application takes over for a WebSocket, as `flask-sock` and `simple-websocket` do."""

from __future__ import annotations

import contextlib
import re
import signal
import ssl
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.conftest import Serve
from tests.support.certificates import Authority
from tests.support.server import DEADLINE, Server
from tests.support.wire import Conversation, conversation, get, read_response, send

APP = "websockets:application"
OFFERED = "websockets:offered"
RAW = "websockets:raw"
ASKS = get(
    "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


class Way:
    """Plain or by TLS."""

    def __init__(self, authority: Authority | None) -> None:
        self.authority = authority
        self.flags = authority.issue("server").flags if authority else ()
        self.context: ssl.SSLContext | None = authority.client() if authority else None
        # That client reads and writes on two threads. Before 3.13.1 and 3.12.8 Python's ssl loses a request
        # that is written while a ticket of TLS 1.3 is read.
        self.sturdy = authority.client(ssl.TLSVersion.TLSv1_2) if authority else None

    def connect(self, server: Server, path: str = "/echo") -> ClientConnection:
        scheme = "wss" if self.context else "ws"
        # By the variables of this machine, not even localhost would be asked directly.
        url = f"{scheme}://localhost:{server.port}{path}"
        return connect(url, ssl=self.sturdy, open_timeout=DEADLINE, close_timeout=DEADLINE, proxy=None)

    def converse(self, server: Server) -> Conversation:
        opened = conversation(server.port)
        if self.context:
            opened.secure(self.context)
        return opened


@pytest.fixture(params=["plain", "tls"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    return Way(Authority(tmp_path) if request.param == "tls" else None)


def read(peer: Conversation, count: int) -> bytes:
    """So many bytes, and no more."""
    data = b""
    while len(data) < count:
        data += (piece := peer.receive(count - len(data)))
        assert piece, data
    return data


def test_messages_go_both_ways(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags, "--access-log", "-")
    with way.connect(server) as peer:
        for message in ("", "x", "é" * 100_000, "last"):
            peer.send(message)
            assert peer.recv(DEADLINE) == message
        peer.send("end")
        with pytest.raises(ConnectionClosed) as closed:
            peer.recv(DEADLINE)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000
    server.stop()
    assert re.findall(r'"GET /echo HTTP/1\.1" (\d+) (\S+)', server.stdout.whole()) == [("101", "-")]
    assert not re.search("WARN|ERROR", server.log())


def test_many_stay_open_beside_other_requests(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags, "--threads", "4")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(way.connect(server)) for _ in range(100)]
        with way.converse(server) as other:
            other.send(get("/until/100"))
            assert read_response(other).body == b"100"
            for number, peer in enumerate(peers):
                peer.send(f"to {number}")
                other.send(get("/"))
                assert read_response(other).body == b"a page"
            assert [peer.recv(DEADLINE) for peer in peers] == [f"to {number}" for number in range(100)]
            for peer in peers:
                peer.close()
            other.send(get("/until/0"))
            assert read_response(other).body == b"0"


def test_what_comes_with_the_request_is_read_from_the_socket(serve: Serve, way: Way) -> None:
    server = serve(RAW, *way.flags)
    with way.converse(server) as peer:
        peer.send(ASKS + b"early")
        assert read(peer, 5) == b"early"
        large = bytes(range(256)) * 4000
        peer.send(large[:1000])
        assert read(peer, 1000) == large[:1000]
        if way.context is None:
            peer.send(large)
            # Its end, which the application waits for.
            peer.finish_sending()
            assert peer.read_to_end() == large


def test_a_request_that_could_and_does_not_is_answered(serve: Serve, way: Way) -> None:
    server = serve(OFFERED, *way.flags)
    with way.converse(server) as peer:
        for _ in range(3):
            # Pipelined with one that could not.
            peer.send(ASKS + get("/"))
            assert [read_response(peer).body for _ in range(2)] == [b"True", b"False"]


def test_answers_before_it_are_not_lost(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags)
    with way.converse(server) as peer:
        peer.send(get("/") * 3 + ASKS.replace(b"GET /", b"GET /echo"))
        for _ in range(3):
            assert read_response(peer).body == b"a page"
        assert read_until_blank(peer).startswith(b"HTTP/1.1 101 ")


def read_until_blank(peer: Conversation) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read(peer, 1)
    return head


def test_a_client_that_vanishes_ends_the_call(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags)
    for leave in (Conversation.close, Conversation.reset):
        with way.converse(server) as peer:
            peer.send(ASKS.replace(b"GET /", b"GET /echo"))
            read_until_blank(peer)
            leave(peer)
        with way.converse(server) as other:
            other.send(get("/until/0"))
            assert read_response(other).body == b"0"


def test_pings_are_sent_and_answered(serve: Serve, way: Way) -> None:
    server = serve("websockets:pinging", *way.flags)
    with way.connect(server, "/") as peer:
        # The client answers pings by itself; ours is answered by the library at the other end.
        for _ in range(3):
            assert peer.ping().wait(DEADLINE)
        peer.send("x")
        assert peer.recv(DEADLINE) == "x"


def test_the_deadline_of_requests_is_not_theirs(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags, "--timeout", "0.3s", "--slow-log", "0.1s")
    with way.connect(server) as peer, way.converse(server) as other:
        other.send(get("/held"))
        assert read_response(other).status == 504
        peer.send("still here")
        assert peer.recv(DEADLINE) == "still here"
    with way.converse(server) as other:
        other.send(get("/release"))
        assert read_response(other).body == b"released"
    assert "GET /echo" not in server.log()


def test_a_request_that_could_is_held_to_its_deadline_until_it_does(serve: Serve) -> None:
    server = serve("stuck:application", "--timeout", "0.3s")
    assert send(server.port, ASKS.replace(b"GET /", b"GET /wait")).status == 504
    server.wait_for_log(r"WARN GET /wait: answered with 504 after.*its thread websocket-0 is at")
    assert send(server.port, get("/release")).status == 200


def test_there_are_no_more_than_may_be(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags, "--websockets", "1")
    with way.connect(server) as peer:
        with pytest.raises(InvalidStatus) as refused:
            way.connect(server)
        assert refused.value.response.status_code == 503
        peer.send("x")
        assert peer.recv(DEADLINE) == "x"


def test_none_are_offered_where_none_may_be(serve: Serve) -> None:
    server = serve(OFFERED, "--websockets", "0")
    assert send(server.port, ASKS).body == b"False"


def test_a_graceful_stop_ends_those_that_are_open(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags, "--graceful-timeout", "0.3s")
    with way.connect(server) as peer:
        server.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            peer.recv(DEADLINE)
    assert server.wait() == 0


def test_a_fault_of_the_handler_is_logged_and_ends_its_connection(serve: Serve, way: Way) -> None:
    server = serve(APP, *way.flags)
    with way.connect(server, "/fails") as peer:
        peer.send("x")
        assert peer.recv(DEADLINE) == "x"
        with pytest.raises(ConnectionClosed):
            peer.recv(DEADLINE)
    server.wait_for_log("ValueError: a fault of the handler")


@pytest.mark.parametrize("lack", ["Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "HTTP/1.1"])
def test_only_a_whole_handshake_is_offered_the_socket(serve: Serve, lack: str) -> None:
    server = serve(OFFERED)
    asks = ASKS.replace(lack.encode(), b"HTTP/1.0" if lack == "HTTP/1.1" else b"")
    assert send(server.port, asks).body == b"False"
