"""nginx and HAProxy in front, configured as docs/behind-a-proxy.md says: every request is answered once, and whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.mixed import visit
from tests.support.proxies import Proxy, haproxy, nginx
from tests.support.server import Server
from tests.support.wire import get, send

Front = Callable[[int | Path, Path, dict[str, str]], AbstractContextManager[Proxy]]

UNBUFFERED = {"proxy_http_version 1.1;": "proxy_http_version 1.1; proxy_request_buffering off;"}
# nginx speaks it to us, on a connection for each request, where it is told nothing
HTTP_1_0 = {"proxy_http_version 1.1;": "", 'proxy_set_header Connection "";': ""}


def where(server: Server) -> int | Path:
    return server.path or server.port


@pytest.mark.parametrize(
    ("front", "changes", "unix", "count"),
    [
        pytest.param(nginx, {}, True, 10_000, id="nginx-unix"),
        pytest.param(nginx, UNBUFFERED, False, 3000, id="nginx-unbuffered"),
        pytest.param(nginx, HTTP_1_0, False, 2000, id="nginx-http-1.0"),
        pytest.param(haproxy, {}, False, 10_000, id="haproxy"),
    ],
)
def test_every_request_is_answered_once_and_whole(
    serve: Serve, front: Front, changes: dict[str, str], unix: bool, count: int, tmp_path: Path
) -> None:
    log = tmp_path / "whiskyjack.log"
    bind = f"unix:{tmp_path}/server.sock" if unix else "127.0.0.1:0"
    server = serve("bodies:application", "--threads", "8", "--access-log", str(log), bind=bind)
    with front(where(server), tmp_path, changes) as proxy:
        outcome = visit(proxy.port, count)
        at_the_proxy = proxy.stop()
    assert not outcome.faults, "\n".join([*outcome.faults[:10], server.log()])
    assert len(outcome.answers) + len(outcome.aborted) == count

    # the application was called once for each answer, and at most once for what was given up
    calls = json.loads(send(where(server), get("/calls")).body)
    assert set(outcome.answers) <= set(calls) <= set(outcome.answers) | outcome.aborted
    assert set(calls.values()) == {1}

    # each request has one line in the proxy's log, and each that came to us has one in ours
    logged = Counter(identity(line.target) for line in at_the_proxy)
    assert logged == Counter([*outcome.answers, *outcome.aborted])
    assert not [line for line in at_the_proxy if line.status >= 500 and identity(line.target) in outcome.answers]
    server.stop()
    ours = Counter(re.findall(r"[?]id=(r[0-9]+) ", log.read_text()))
    assert set(ours.values()) == {1}
    assert set(calls) <= set(ours) <= set(outcome.answers) | outcome.aborted
    assert log.read_text().count("\n") == len(ours) + 1

    ports = Counter(answer.value("X-Port") for answer in outcome.answers.values())
    spoken = {answer.value("X-Protocol") for answer in outcome.answers.values()}
    assert spoken == {"HTTP/1.0" if changes is HTTP_1_0 else "HTTP/1.1"}
    if not unix and changes is not HTTP_1_0:
        assert len(ports) < len(outcome.answers) / 5, "the proxy's connections are not used again"


def identity(target: str) -> str:
    return target.rpartition("=")[2]


@pytest.mark.parametrize("front", [nginx, haproxy])
@pytest.mark.parametrize("unix", [False, True])
def test_what_a_proxy_tells_is_believed_and_what_its_client_claims_is_not(
    serve: Serve, front: Front, unix: bool, tmp_path: Path
) -> None:
    bind = f"unix:{tmp_path}/server.sock" if unix else "127.0.0.1:0"
    server = serve("environs:show", "--forwarded-allow-ips", "unix:" if unix else "127.0.0.1", bind=bind)
    claims = [
        "X-Forwarded-For: 192.0.2.66",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: claimed.example",
        "X-Forwarded-Port: 666",
        "X-Forwarded-Prefix: /claimed",
        "Forwarded: for=192.0.2.66;proto=https;host=claimed.example",
    ]
    with front(where(server), tmp_path, {}) as proxy:
        answer = send(proxy.port, get("/a%20b?c", *claims))
    assert answer.status == 200
    found = json.loads(answer.body)["values"]
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"], found["HTTP_HOST"]) == ("127.0.0.1", "http", "test.example")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["QUERY_STRING"]) == ("", "/a b", "c")
    assert "claimed" not in str(found) and "192.0.2.66" not in str(found) and "666" not in found["SERVER_PORT"]
