"""Threads at the same time: what an application keeps of a request stays its own, and the GIL stays off where it is.

The former is asked of every interpreter: with a GIL too, other threads have their turns at any moment."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import sysconfig
import threading

import pytest

from tests.conftest import Serve

TIMEOUT = 60
CLIENTS = 8
REQUESTS = 60
WAYS = ["/whole", "/forgotten", "/pieces", "/forgotten", "/written", "/forgotten"]

free_threaded = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter is not built for free threading"
)


def python(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    return done.stdout.strip()


@free_threaded
def test_importing_everything_leaves_the_gil_off() -> None:
    modules = "whiskyjack, whiskyjack._whiskyjack, whiskyjack.testing, whiskyjack.wsgiref.simple_server"
    # Python warns where an import turns the GIL on.
    assert python("-W", "error", "-c", f"import sys, {modules}; print(sys._is_gil_enabled())") == "False"


@free_threaded
@pytest.mark.parametrize(("variable", "said"), [("0", "GIL off"), ("1", "GIL on")])
def test_the_banner_says_whether_the_gil_is_on(serve: Serve, variable: str, said: str) -> None:
    assert said in serve("hello:app", env={"PYTHON_GIL": variable}).log()


class Client:
    """Asks over one connection, each time another body, on a thread of its own."""

    def __init__(self, port: int, number: int) -> None:
        self.port = port
        self.number = number
        self.faults: list[str] = []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            for turn in range(REQUESTS):
                # Of different lengths, so that what is another's does not even fit.
                token = f"{self.number}-{turn}-" + "x" * (turn * 7 % 50)
                path = WAYS[(self.number + turn) % len(WAYS)]
                connection.request("POST", path, token.encode(), {"X-Token": token})
                response = connection.getresponse()
                body = response.read()
                if (response.status, body) != (200, token.encode()):
                    self.faults.append(f"{path} {token}: {response.status} {body!r}")
        except (OSError, http.client.HTTPException) as fault:
            self.faults.append(f"{type(fault).__name__}: {fault}")
        finally:
            connection.close()


@pytest.mark.parametrize("flags", [(), ("--streaming-uploads",)], ids=["collected", "streaming"])
def test_what_other_threads_keep_of_a_request_reaches_no_other(serve: Serve, flags: tuple[str, ...]) -> None:
    server = serve("keepers:application", "--threads", "8", *flags)
    clients = [Client(server.port, number) for number in range(CLIENTS)]
    for client in clients:
        client.thread.join()
    assert [fault for client in clients for fault in client.faults] == []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    connection.request("GET", "/found")
    found = json.loads(connection.getresponse().read())
    connection.close()
    assert found["faults"] == []
    assert found["after"] > 0, "no keeper came after a request, which is what is asked here"
    assert "raised" not in server.log(), server.log()
