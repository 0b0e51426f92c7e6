"""The server inside somebody else's process: `whiskyjack._whiskyjack.Server`."""

from __future__ import annotations

import gc
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.server import DEADLINE, environment
from tests.support.sockets import listening, port_of
from tests.support.wire import conversation, get, post, read_response, send
from whiskyjack._whiskyjack import Request, Server


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [threading.current_thread().name.encode()]


@contextmanager
def serving(server: Server, name: str = "serving") -> Iterator[threading.Thread]:
    """Runs the server on a thread until the block ends."""
    thread = threading.Thread(target=server.serve, name=name)
    thread.start()
    try:
        yield thread
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def ask(listener: Any, path: str = "/") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(listener), timeout=DEADLINE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def test_the_application_is_called_on_the_thread_that_serves() -> None:
    with listening() as listener, serving(Server(hello, listener), "the one"):
        assert ask(listener) == b"the one"


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize("end", ["shutdown", "stop"])
def test_no_thread_is_left_behind(end: str) -> None:
    before = threads()
    with listening() as listener:
        server = Server(hello, listener, threads=4, on_tick=lambda: None, tick=0.01)
        thread = threading.Thread(target=server.serve)
        thread.start()
        ask(listener)
        assert len(threads()) > len(before) + 1
        getattr(server, end)()
        thread.join(DEADLINE)
    # The kernel lists a thread for a moment longer than a join of it takes.
    until = time.monotonic() + DEADLINE
    while threads() - before and time.monotonic() < until:
        os.sched_yield()
    assert not threads() - before


def test_the_socket_stays_its_owners_and_is_as_it_was() -> None:
    with listening() as listener:
        for _ in range(2):
            with serving(Server(hello, listener)):
                ask(listener)
        assert listener.gettimeout() is None
        assert os.get_blocking(listener.fileno())
        with conversation(port_of(listener)):
            accepted, _ = listener.accept()
            accepted.close()


def test_several_serve_in_one_process() -> None:
    with listening() as first, listening() as second:
        with serving(Server(hello, first), "first"), serving(Server(hello, second), "second"):
            assert [ask(first), ask(second)] == [b"first", b"second"]
            with listening() as third, serving(Server(hello, third), "third"):
                assert ask(third) == b"third"
        with serving(Server(hello, first), "first again"):
            assert ask(first) == b"first again"


def test_an_end_that_is_asked_for_too_early_is_no_deadlock() -> None:
    with listening() as listener:
        server = Server(hello, listener)
        server.shutdown()
        server.serve()
        with pytest.raises(RuntimeError, match="serves once"):
            server.serve()


def test_a_request_cannot_wait_for_its_own_end_but_can_ask_for_it() -> None:
    refused: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with pytest.raises(RuntimeError) as error:
            server.shutdown()
        refused.append(str(error.value))
        server.drain()
        return hello(environ, start_response)

    with listening() as listener:
        server = Server(application, listener)
        thread = threading.Thread(target=server.serve)
        thread.start()
        ask(listener)
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert refused == [
        "shutdown() waits for the requests under way, and was called from one of them: call it on another thread"
    ]


def test_draining_lets_what_is_under_way_finish() -> None:
    entered, leave = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        entered.set()
        assert leave.wait(DEADLINE)
        return hello(environ, start_response)

    with listening() as listener, serving(Server(application, listener)) as thread:
        answers: list[bytes] = []
        client = threading.Thread(target=lambda: answers.append(ask(listener)))
        client.start()
        assert entered.wait(DEADLINE)
        # the with statement's shutdown() would wait for the application
        threading.Timer(0, leave.set).start()
        client.join(DEADLINE)
        assert answers == [b"serving"]
        assert thread.is_alive()


def test_every_request_is_told_of_also_one_that_no_application_saw() -> None:
    told: list[tuple[str, int, int, bool]] = []
    ended = threading.Semaphore(0)

    def on_request(request: Request, status: int, length: int, seconds: float) -> None:
        told.append((request.line, status, length, request.client_address[0] == "127.0.0.1" and seconds >= 0))
        ended.release()

    with listening() as listener, serving(Server(hello, listener, on_request=on_request)):
        ask(listener, "/a?b")
        assert ended.acquire(timeout=DEADLINE)
        assert send(port_of(listener), b"no request\r\n\r\n").status == 400
        assert ended.acquire(timeout=DEADLINE)
    assert told == [("GET /a?b HTTP/1.1", 200, 7, True), ("", 400, 16, True)]


def test_a_request_is_one_object_for_all_hooks_and_knows_what_was_asked() -> None:
    seen: list[Any] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        request = Server.current()
        assert request is not None
        request.__dict__["mark"] = "here"
        raise ValueError("no")

    def on_error(request: Request, error: BaseException) -> None:
        seen.append((request.__dict__["mark"], repr(error), request.method, request.target, request.version))

    ended = threading.Event()

    def on_request(request: Request, status: int, *_: object) -> None:
        seen.append((request.__dict__["mark"], status, ("X-Latin", "caf\xe9") in request.fields))
        ended.set()

    with listening() as listener, serving(Server(application, listener, on_request=on_request, on_error=on_error)):
        assert send(port_of(listener), post("/%20", b"", "X-Latin: caf\xe9")).status == 500
        assert ended.wait(DEADLINE)
    assert seen == [("here", "ValueError('no')", "POST", "/%20", "HTTP/1.1"), ("here", 500, True)]
    assert Server.current() is None


def test_faults_of_the_application_go_to_stderr_where_no_hook_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    ends = {"/exit": SystemExit(3), "/none": None}

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if error := ends[environ["PATH_INFO"]]:
            raise error

    with listening() as listener, serving(Server(application, listener)):
        for path in ends:
            ask(listener, path)
    shown = capsys.readouterr().err
    assert "SystemExit: 3" in shown
    assert "AssertionError: the application returned None, which is not an iterable of bytes" in shown


def test_environs_stand_between_the_process_and_the_connection() -> None:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return hello(environ, start_response)

    below = {"HOME": "/home", "PATH_INFO": "/below", "HTTP_PROXY": "http://evil", "CONTENT_TYPE": "x/y"}
    above: dict[str, Any] = {"SERVER_NAME": "above", "CONTENT_LENGTH": ""}
    with listening() as listener:
        server = Server(application, listener, process_environ=below, base_environ=above, server_software="mine/1")
        with serving(server):
            above["ADDED"] = "later"
            ask(listener, "/here")
    names = ["HOME", "PATH_INFO", "SERVER_NAME", "ADDED", "SERVER_SOFTWARE"]
    assert [seen[name] for name in names] == ["/home", "/here", "above", "later", "mine/1"]
    assert not {"HTTP_PROXY", "CONTENT_TYPE", "CONTENT_LENGTH"} & seen.keys()


def test_ticks_come_on_the_serving_thread_and_their_exception_comes_out() -> None:
    names: list[str] = []

    def on_tick() -> None:
        names.append(threading.current_thread().name)
        if len(names) == 3:
            raise LookupError("enough")

    with listening() as listener:
        server = Server(hello, listener, on_tick=on_tick, tick=0.001)
        with pytest.raises(LookupError, match="enough"):
            server.serve()
    assert names == [threading.current_thread().name] * 3


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"thread": 2}, TypeError, "Server() has no setting thread: the nearest is threads"),
        ({"bind": "x"}, TypeError, "Server() does not take bind: the socket is the second argument"),
        ({"access_log": "x"}, TypeError, "Server() does not take access_log: use on_request"),
        ({"threads": 0}, ValueError, 'threads="0": write a whole number from 1 to 65535'),
        ({"keep_alive": "soon"}, ValueError, 'keep_alive="soon": write a duration'),
        ({"on_tick": print, "tick": 0}, ValueError, "tick=0: write seconds, 0.001 or more"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(arguments: Any, error: type[Exception], words: str) -> None:
    with listening() as listener, pytest.raises(error) as raised:
        Server(hello, listener, **arguments)
    assert str(raised.value).startswith(words)


def test_what_is_no_application_or_no_socket_is_refused() -> None:
    with pytest.raises(TypeError, match="must be callable"):
        Server(3, 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs a socket that listens, not int"):
        Server(hello, 4)  # type: ignore[arg-type]


INTERRUPTED = """
import select, signal, socket, sys, threading
from whiskyjack._whiskyjack import Server

def application(environ, start_response):
    if environ["PATH_INFO"] == "/inside":
        print("inside", flush=True)
        while True:
            # signal.pause() would sleep over a signal that comes right before it.
            select.select([], [], [], 0.1)
    start_response("200 OK", [])
    return [b"x"]

heard = []
signal.signal(signal.SIGUSR1, lambda *_: print("heard", threading.current_thread().name, flush=True))
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
try:
    Server(application, listener, **eval(sys.argv[1])).serve()
except KeyboardInterrupt:
    assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}
    assert signal.set_wakeup_fd(-1) == -1
    print("interrupted", threading.active_count())
"""


@pytest.mark.parametrize("where", ["idle", "inside"])
@pytest.mark.parametrize("settings", ["{}", "{'threads': 3}"])
def test_ctrl_c_comes_out_of_serve_and_other_handlers_run(where: str, settings: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, settings], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with conversation(port, get()) as client:
            assert read_response(client).status == 200
            # idle now, and asleep sooner or later: a signal must not be slept over
            process.send_signal(signal.SIGUSR1)
            assert process.stdout.readline() == "heard MainThread\n"
            if where == "inside" and settings == "{}":
                client.send(get("/inside"))
                assert process.stdout.readline() == "inside\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline().startswith("interrupted")
        assert process.wait(DEADLINE) == 0


def test_a_signal_wakeup_descriptor_goes_on_to_hear_signals() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    heard = threading.Event()
    got: list[bytes] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    wakeup = signal.set_wakeup_fd(theirs)
    try:
        with listening() as listener:
            server = Server(hello, listener)

            def client() -> None:
                ask(listener)
                os.kill(os.getpid(), signal.SIGUSR1)
                heard.wait(DEADLINE)
                got.append(os.read(ours, 1))
                server.shutdown()

            thread = threading.Thread(target=client)
            thread.start()
            server.serve()
            thread.join(DEADLINE)
        assert got == [bytes([signal.SIGUSR1])]
        assert signal.set_wakeup_fd(theirs) == theirs
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGUSR1, before)
        os.close(ours)
        os.close(theirs)


def test_a_server_that_its_hooks_keep_goes_with_them() -> None:
    class Owner:
        def __init__(self, listener: Any) -> None:
            self.server = Server(hello, listener, on_tick=self.tick)

        def tick(self) -> None:
            pass

    with listening() as listener:
        owner = weakref.ref(Owner(listener))
        gc.collect()
        assert owner() is None
