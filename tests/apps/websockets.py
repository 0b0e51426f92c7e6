"""Flask with `flask-sock`: a WebSocket that echoes, and pages beside it."""

from __future__ import annotations

import threading

import flask
import flask_sock  # type: ignore[import-untyped]
from simple_websocket import ConnectionClosed  # type: ignore[import-untyped]

application = flask.Flask(__name__)
sock = flask_sock.Sock(application)

_open = 0
# Guards the count, and tells of each change.
_changed = threading.Condition()


def _count(change: int) -> None:
    global _open
    with _changed:
        _open += change
        _changed.notify_all()


@sock.route("/echo")  # type: ignore[untyped-decorator]
def echo(ws: flask_sock.Server) -> None:
    _count(1)
    try:
        while (message := ws.receive()) != "end":
            ws.send(message)
    finally:
        _count(-1)


@sock.route("/fails")  # type: ignore[untyped-decorator]
def fails(ws: flask_sock.Server) -> None:
    ws.send(ws.receive())
    raise ValueError("a fault of the handler")


@application.route("/until/<int:count>")
def until(count: int) -> str:
    """Waits until so many are open."""
    with _changed:
        assert _changed.wait_for(lambda: _open == count, 20)
    return str(count)


_released = threading.Event()


@application.route("/held")
def held() -> str:
    _released.wait(20)
    return "released"


@application.route("/release")
def release() -> str:
    _released.set()
    return "released"


@application.route("/")
def index() -> str:
    return "a page"


def offered(environ, start_response):  # type: ignore[no-untyped-def]
    """Says whether it could have the socket, and leaves it alone."""
    start_response("200 OK", [])
    return [repr("werkzeug.socket" in environ).encode()]


def pinging(environ, start_response):  # type: ignore[no-untyped-def]
    """Without Flask: pings its client, which takes `selectors`."""
    from simple_websocket import Server

    ws = Server(environ, ping_interval=0.05)
    try:
        while True:
            ws.send(ws.receive())
    except ConnectionClosed:
        return []


def raw(environ, start_response):  # type: ignore[no-untyped-def]
    """Takes the socket and sends back what comes, whatever that is."""
    with environ["werkzeug.socket"] as taken:
        assert taken.gettimeout() is None
        while data := taken.recv(1000):
            taken.sendall(data)
    raise StopIteration
