"""Connections that stay alive where a handler's own methods answer: forked, overridden, or with an SSLContext."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.werkzeug_server import in_thread
from tests.support.wire import Conversation, conversation, get, post, send
from whiskyjack.werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


class Own(WSGIRequestHandler):
    """Keeps its server from the engine."""

    def run_wsgi(self) -> None:
        super().run_wsgi()


MODES = pytest.mark.parametrize(
    "mode",
    [{"request_handler": Own}, {"request_handler": Own, "threaded": True}, {"processes": 2}],
    ids=["one by one", "threaded", "forking"],
)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    match environ["PATH_INFO"]:
        case "/broken":
            raise LookupError("no such bird")
        case "/pieces":
            start_response("200 OK", [])
            return iter([b"one, ", b"", b"two"])
        case "/short":
            start_response("200 OK", [("Content-Length", "10")])
            return [b"nine byte"]
        case "/long":
            start_response("200 OK", [("Content-Length", "3")])
            return iter([b"on", b"e, and more"])
        case "/empty":
            start_response("204 No Content", [])
            return []
        case "/unread":
            body = b"unread"
        case _:
            body = environ["PATH_INFO"].encode() + environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def serve(**keywords: Any) -> AbstractContextManager[BaseWSGIServer]:
    return in_thread(application, **keywords)


def expect(opened: Conversation, body: bytes) -> None:
    response = opened.read_response()
    assert response.status in (200, 204) and response.value("Connection") is None
    assert response.body == body


@MODES
def test_a_connection_carries_one_request_after_another(mode: dict[str, Any]) -> None:
    with serve(**mode) as server:
        assert server._override() is not None or "processes" in mode
        with conversation(server.port) as opened:
            for number in range(3):
                opened.send(get(f"/{number}"))
                expect(opened, b"/%d" % number)
            opened.send(post("/x", b" body"))
            expect(opened, b"/x body")
            opened.send(get("/empty") + get("/pieces") + get("/last", "Connection: close"))
            expect(opened, b"")
            expect(opened, b"one, two")
            response = opened.read_response()
            assert (response.body, response.value("Connection")) == (b"/last", "close")
            opened.expect_end()


@MODES
def test_a_body_that_nobody_read_is_no_request(mode: dict[str, Any]) -> None:
    smuggled = get("/smuggled")
    with serve(**mode) as server, conversation(server.port) as opened:
        opened.send(post("/unread", smuggled) + get("/next"))
        expect(opened, b"unread")
        expect(opened, b"/next")
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled)
        opened.send(get("/unread", "Transfer-Encoding: chunked", method="POST") + chunked)
        assert opened.read_response().value("Connection") == "close"
        opened.expect_end()


@MODES
@pytest.mark.parametrize(
    ("head", "body"),
    [
        (post("/unread", b"x" * 200_000), b"unread"),
        (get("/short"), None),
        (get("/broken"), b"500 Internal Server Error\n"),
        (get("/x", "Upgrade: bird", "Connection: upgrade"), b"/x"),
        (get("/x", version="1.0"), b"/x"),
        (get("/pieces", version="1.0"), b"one, two"),
    ],
    ids=["much unread", "short", "broken", "upgrade", "1.0", "1.0 without a length"],
)
def test_some_connections_end(mode: dict[str, Any], head: bytes, body: bytes | None) -> None:
    with serve(**mode) as server, conversation(server.port, head) as opened:
        if body is None:
            assert opened.read_head().status == 200
            assert opened.read_exactly(9, "what there is") == b"nine byte"
        else:
            assert opened.read_response().body == body
        opened.expect_end()


@MODES
def test_a_response_to_head_has_no_body_and_a_length_where_it_is_known(mode: dict[str, Any]) -> None:
    with serve(**mode) as server, conversation(server.port) as opened:
        for path, length in (("/x", "2"), ("/pieces", None), ("/empty", None), ("/y", "2")):
            opened.send(get(path, method="HEAD"))
            response = opened.read_response(head=True)
            assert (response.value("Content-Length"), response.value("Connection")) == (length, None)


@MODES
def test_what_is_too_long_does_not_reach_the_next_response(mode: dict[str, Any]) -> None:
    with serve(**mode) as server, conversation(server.port, get("/long") + get("/next")) as opened:
        expect(opened, b"one")
        expect(opened, b"/next")


@MODES
def test_idle_connections_give_way_to_who_waits(mode: dict[str, Any]) -> None:
    """More of them than there are threads or processes."""
    with serve(**mode) as server, ExitStack() as stack:
        for number in range(6):
            opened = stack.enter_context(conversation(server.port, get(f"/{number}")))
            expect(opened, b"/%d" % number)
        assert send(server.port, get("/last")).body == b"/last"


@MODES
def test_a_single_request_is_handled_alone(mode: dict[str, Any]) -> None:
    server = make_server("127.0.0.1", 0, application, **mode)
    with contextlib.closing(server.socket), conversation(server.port, get("/x")) as opened:
        server.handle_request()
        assert opened.read_response().value("Connection") == "close"


@pytest.mark.parametrize("keywords", [{}, {"threaded": True}, {"processes": 2}])
def test_a_context_of_the_programs_own_keeps_connections(tmp_path: Path, keywords: dict[str, Any]) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with serve(ssl_context=context, **keywords) as server, conversation(server.port) as opened:
        opened.secure(authority.client())
        for number in range(3):
            opened.send(get(f"/{number}"))
            expect(opened, b"/%d" % number)
        opened.send(get("/three") + get("/four"))
        expect(opened, b"/three")
        expect(opened, b"/four")
