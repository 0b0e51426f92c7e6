"""`ssl_context` and WebSockets of `whiskyjack.werkzeug.serving`: what the engine does, and what Python's ssl."""

from __future__ import annotations

import json
import ssl
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.apps import websockets as sockets
from tests.support.certificates import Authority
from tests.support.server import DEADLINE
from tests.support.werkzeug_server import in_thread
from tests.support.wire import conversation, get, read_response
from whiskyjack.werkzeug import serving
from whiskyjack.werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

WAYS = pytest.mark.parametrize("threaded", [False, True], ids=["one by one", "threaded"])


def show(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    names = ("wsgi.url_scheme", "SSL_PROTOCOL", "REMOTE_PORT")
    return [json.dumps({name: environ.get(name) for name in names}).encode()]


def serve(app: Any = show, **keywords: Any) -> AbstractContextManager[BaseWSGIServer]:
    return in_thread(app, **keywords)


def ask(server: BaseWSGIServer, context: ssl.SSLContext, count: int) -> list[dict[str, Any]]:
    """What so many requests on one connection are shown."""
    with conversation(server.port) as peer:
        peer.secure(context)
        shown = []
        for _ in range(count):
            peer.send(get("/"))
            shown.append(json.loads(read_response(peer).body))
        return shown


@WAYS
def test_a_pair_of_files_is_spoken_by_the_engine_which_keeps_connections(tmp_path: Path, threaded: bool) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    files = (str(pair.certificate), str(pair.key))
    with serve(ssl_context=files, threaded=threaded) as server:
        assert isinstance(server.ssl_context, ssl.SSLContext)
        shown = ask(server, authority.client(), 3)
        assert [one["SSL_PROTOCOL"] for one in shown] == ["TLSv1.3"] * 3
        assert {one["wsgi.url_scheme"] for one in shown} == {"https"}
        assert len({one["REMOTE_PORT"] for one in shown}) == 1


def test_a_certificate_is_made_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with serve(ssl_context="adhoc", threaded=True) as server:
        assert ask(server, context, 2)[1]["SSL_PROTOCOL"] == "TLSv1.3"
        # The key is in memory alone.
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keywords", [{"processes": 2}, {"threaded": True, "request_handler": None}, {"context": True}])
def test_what_wants_to_have_the_connection_has_it_by_pythons_ssl(tmp_path: Path, keywords: dict[str, Any]) -> None:
    class Handler(WSGIRequestHandler):
        def run_wsgi(self) -> None:
            super().run_wsgi()

    authority = Authority(tmp_path)
    pair = authority.issue("server")
    given: Any = (str(pair.certificate), str(pair.key))
    if "request_handler" in keywords:
        keywords = {"threaded": True, "request_handler": Handler}
    if "context" in keywords:
        keywords, given = {}, serving.load_ssl_context(*given)
    with serve(ssl_context=given, **keywords) as server:
        (shown,) = ask(server, authority.client(), 1)
        assert (shown["wsgi.url_scheme"], shown["SSL_PROTOCOL"]) == ("https", None)


def test_an_ssl_context_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="write 'adhoc' or"):
        make_server("127.0.0.1", 0, show, ssl_context="other")  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@WAYS
def test_flask_sock_has_its_socket(tmp_path: Path, threaded: bool, scheme: str) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    files = (str(pair.certificate), str(pair.key)) if scheme == "wss" else None
    # See test_websockets.py for the version.
    context = authority.client(ssl.TLSVersion.TLSv1_2) if files else None
    with serve(sockets.application, ssl_context=files, threaded=threaded) as server:
        url = f"{scheme}://localhost:{server.port}/echo"
        with connect(url, ssl=context, proxy=None, open_timeout=DEADLINE) as peer:
            peer.send("x")
            assert peer.recv(DEADLINE) == "x"
            # What it holds is no turn of other requests.
            with conversation(server.port) as other:
                if files:
                    other.secure(authority.client())
                other.send(get("/until/1"))
                assert read_response(other).body == b"1"
