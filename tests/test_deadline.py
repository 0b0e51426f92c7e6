"""Requests that take too long in the application, or wait too long for it: what clients get, and what the log says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.interpreter import HAS_GIL
from tests.support.server import Server
from tests.support.wire import Truncated, conversation, get, read_response, send

APP = "stuck:application"


def ask(server: Server, path: str) -> str:
    """The body of a request that is answered as it should be."""
    response = send(server.port, get(path))
    assert response.status == 200, (path, response)
    return response.body.decode()


def record(server: Server, path: str, what: str) -> str:
    """The log's record of a request, the stack included, once it is there."""
    line = rf"^\S+ \S+ \S+ \[\d+\] WARN GET {path}: {what}[^\n]*(\n  .*)*"
    return server.wait_for_log(line)[0]


@pytest.mark.parametrize(
    ("path", "function", "sources"),
    [
        ("/wait", "waits", {"_released.wait()"}),
        ("/spin", "spins", {"while not _released.is_set():", "pass"}),
        ("/lock", "locks", {"with _lock:"}),
        ("/nap", "naps", {"while not _released.is_set():", "time.sleep(0.01)"}),
    ],
)
def test_a_stuck_request_is_answered_and_explained(serve: Serve, path: str, function: str, sources: set[str]) -> None:
    server = serve(APP, "--threads", "3")
    ask(server, "/acquire")
    response = send(server.port, get(path))
    assert response.status == 504
    assert response.body == b"504 Gateway Timeout\n"
    assert response.closes and response.value("Date") and response.value("Server") == "whiskyjack"
    said = record(server, path, "answered with 504")
    assert re.search(r"after \d+\.\d s in the application and \d+\.\d s in the queue; its thread \S+ is at\n", said)
    lines = said.splitlines()[1:]
    # The outermost frame is the application's, also on the main thread; where it is stuck stands below.
    lines = [line.strip() for line in said.splitlines()[1:]]
    assert re.search(r'File ".*stuck\.py", line \d+, in application$', lines[0]), said
    place = next(number for number, line in enumerate(lines) if line.endswith(f"in {function}"))
    assert lines[place + 1] in sources, said
    # The others go on, and the thread is of use again once it has come back.
    ask(server, "/release")
    server.wait_for_log(rf"WARN GET {path}: came back after \d+\.\d s, past its deadline; its thread is free again$")


def test_the_deadline_of_the_settings_is_meant_where_nothing_else_is_said(serve: Serve) -> None:
    server = serve(APP, "--timeout", "0.2")
    assert send(server.port, get("/gone/patiently")).status == 504
    record(server, "/gone/patiently", "answered with 504")
    # client_disconnected() says so to a call that nobody listens to any more.
    server.wait_for_log("knows that the client has gone")


def test_without_a_deadline_a_request_may_take_for_ever(serve: Serve) -> None:
    server = serve(APP, "-t", "0", "--slow-log", "0.1")
    with conversation(server.port, get("/wait/patiently")) as opened:
        record(server, "/wait/patiently", "is slow: so far")
        ask(server, "/release")
        assert read_response(opened).status == 200
    assert "answered with 504" not in server.log()


def test_a_thread_that_holds_the_interpreter_is_answered_all_the_same(serve: Serve) -> None:
    server = serve(APP, "--threads", "2", "--workers", "0")
    with conversation(server.port, get("/hold")) as opened:
        response = read_response(opened)
        assert response.status == 504
        # Connections are accepted and answered all the while, as far as no Python is needed for it.
        assert send(server.port, b"bad\r\n\r\n").status == 400
        assert "came back" not in server.log()
    said = record(server, "/hold", "answered with 504")
    if HAS_GIL:
        assert "the interpreter is held" in said
        assert "by this thread, as no other is inside the application" in said
    if sys.platform == "linux":
        frames = re.findall(r"^  File \"(.*)\", line \d+, in (.*)$", said, re.MULTILINE)
        assert [function for _, function in frames] == ["application", "holds"], "the innermost last, and none of ours"
        assert all(path.endswith("stuck.py") for path, _ in frames)
    server.wait_for_log("WARN GET /hold: came back after")
    ask(server, "/note/after")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a real-time signal")
def test_a_signal_that_the_application_uses_is_left_to_it(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("""\
import signal
from stuck import application as app

signal.signal(signal.SIGRTMAX, lambda number, frame: None)
""")
    apps = str(Path(__file__).parent / "apps")
    server = serve("shop:app", "--workers", "0", "--pythonpath", apps, cwd=tmp_path)
    with conversation(server.port, get("/hold")) as opened:
        assert read_response(opened).status == 504
    said = record(server, "/hold", "answered with 504")
    assert ("its stack cannot be seen" if HAS_GIL else "what its thread main does cannot be seen") in said
    server.wait_for_log("WARN GET /hold: came back after")


def test_a_response_that_has_begun_is_broken_off(serve: Serve) -> None:
    server = serve(APP)
    with conversation(server.port, get("/begun/wait")) as opened, pytest.raises((Truncated, ConnectionResetError)):
        read_response(opened)
    assert "in waits" in record(server, "/begun/wait", "broken off after")
    ask(server, "/release")
    server.wait_for_log("GET /begun/wait: came back after")
    assert ask(server, "/seen").splitlines() == ["closed"]


def test_answers_before_it_on_the_connection_are_whole_and_none_comes_after_it(serve: Serve) -> None:
    server = serve(APP)
    with conversation(server.port, get("/note/1"), get("/note/2"), get("/wait"), get("/note/3")) as opened:
        assert [read_response(opened).status for _ in range(3)] == [200, 200, 504]
        opened.expect_end()
    ask(server, "/release")
    server.wait_for_log("GET /wait: came back after")
    assert ask(server, "/seen").splitlines() == ["note 1", "note 2"]


def test_a_connection_is_kept_over_a_request_in_time(serve: Serve) -> None:
    server = serve(APP, "--timeout", "5")
    with conversation(server.port) as opened:
        for number in range(3):
            opened.send(get(f"/note/{number}"))
            assert read_response(opened).status == 200


def test_the_exception_ends_the_request_that_is_late_and_no_other(serve: Serve) -> None:
    # Nobody replaces the process, so that it can be asked what it has seen.
    server = serve(APP, "--threads", "2", "--timeout-action", "raise", "--workers", "0")
    for path in ("/nap", "/spin", "/wait"):
        assert send(server.port, get(path)).status == 504
        assert (
            "an exception was raised in the thread"
            in server.wait_for_log(
                rf"GET {path}: answered with 504[^\n]*(\n  .*)*\nan exception was raised in the thread"
            )[0]
        )
        if path == "/wait":
            # It comes out once the C code that waits has come back.
            ask(server, "/release")
        server.wait_for_log(rf"GET {path}: came back after")
    for number in range(40):
        ask(server, f"/note/{number}")
    seen = ask(server, "/seen").splitlines()
    assert seen[:3] == [f"{way} whiskyjack.RequestTimeout False" for way in ("nap", "spin", "wait")]
    assert len(seen) == 43
    # What it was doing was told at the deadline: no traceback besides.
    assert "the application raised" not in server.log()


def test_stuck_threads_ask_for_a_fresh_process_once(serve: Serve) -> None:
    server = serve(APP, "--threads", "4", "--workers", "0")
    asked = r"ERROR 2 of 4 threads do not come back from the application"
    assert send(server.port, get("/wait")).status == 504
    assert not re.search(asked, server.log())
    assert send(server.port, get("/wait")).status == 504
    server.wait_for_log(asked)
    assert send(server.port, get("/wait")).status == 504
    ask(server, "/release")
    server.stop()
    assert len(re.findall("threads do not come back", server.log())) == 1


def test_a_slow_request_is_told_of_once_and_goes_on(serve: Serve) -> None:
    server = serve(APP, "--slow-log", "0.1", "--access-log", "-")
    with conversation(server.port, get("/wait/patiently")) as opened:
        assert "in waits" in record(server, "/wait/patiently", "is slow: so far")
        # Another one becomes slow meanwhile: that the first was looked at again is certain.
        with conversation(server.port, get("/nap/patiently")) as other:
            record(server, "/nap/patiently", "is slow: so far")
            ask(server, "/release")
            assert read_response(other).status == 200
        assert read_response(opened).status == 200
    server.stop()
    assert len(re.findall(r"GET /wait/patiently: is slow", server.log())) == 1


def test_the_access_log_has_one_line_for_it_at_the_deadline(serve: Serve) -> None:
    server = serve(APP, "--access-log", "-")
    assert send(server.port, get("/wait")).status == 504
    server.stdout.wait_for(r'"GET /wait HTTP/1\.1" 504 20$')
    ask(server, "/release")
    server.wait_for_log("GET /wait: came back after")
    server.stop()
    assert len(re.findall("GET /wait ", server.stdout.text())) == 1


def test_a_request_that_waits_too_long_for_a_thread_is_told_to_come_again(serve: Serve) -> None:
    server = serve(APP, "--threads", "1", "--queue-timeout", "0.2")
    with conversation(server.port, get("/gone/first")):
        server.wait_for_log("asks first")
        with conversation(server.port, get("/note/1")) as one, conversation(server.port, get("/note/2")) as two:
            for opened in (one, two):
                response = read_response(opened)
                assert response.status == 503
                assert int(response.value("Retry-After") or "") > 0
                assert response.closes
    server.wait_for_log("knows that the client has gone")
    server.wait_for_log("WARN requests that waited for a thread: 1 answered with 503 after the queue timeout")
    server.stop()
    # The second came within a few seconds of the first, and is told of at the end.
    assert len(re.findall("answered with 503 after the queue timeout", server.log())) == 2


def test_a_request_whose_client_has_gone_is_dropped_before_it_is_called(serve: Serve) -> None:
    server = serve(APP, "--threads", "1", "--queue-timeout", "0")
    with conversation(server.port, get("/gone/first")):
        server.wait_for_log("asks first")
        with conversation(server.port, get("/note/gone")) as gone:
            # Who is answered now was read after it.
            assert send(server.port, b"bad\r\n\r\n").status == 400
            gone.reset()
    server.wait_for_log("requests that waited for a thread: 1 dropped because the client had gone")
    assert ask(server, "/seen") == ""


def test_an_application_on_another_thread_cannot_move_the_deadline(serve: Serve) -> None:
    server = serve("stuck:elsewhere")
    assert "on a thread that answers no request" in ask(server, "/")
    assert "must be 0 or more seconds, not -1" in ask(server, "/-1")
