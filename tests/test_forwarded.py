"""What proxies tell of the client, on the real server: believed over TCP and Unix sockets, or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve, Served
from tests.support.server import run
from tests.support.wire import conversation, get, send

PLAIN_AND_CHECKED = pytest.mark.parametrize("app", ["environs:show", "environs:checked_show"])

X_FIELDS = (
    "X-Forwarded-For: 198.51.100.66, 203.0.113.5",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.example",
    "X-Forwarded-Prefix: /shop",
)
FORWARDED = 'Forwarded: for=198.51.100.66, for="203.0.113.5:4711";proto=https;host=shop.example'
TOLD = {
    "REMOTE_ADDR": "203.0.113.5",
    "wsgi.url_scheme": "https",
    "HTTP_HOST": "shop.example",
    "SERVER_NAME": "shop.example",
    "SERVER_PORT": "443",
}


def values(target: int | Path, *fields: str, path: str = "/x") -> dict[str, Any]:
    answer = send(target, get(path, *fields))
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)["values"]
    return found


def part(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {key: found.get(key) for key in expected}


def forwarded(found: dict[str, Any]) -> set[str]:
    return {key for key in found if "FORWARDED" in key}


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("trusted", ["127.0.0.1", "10.0.0.0/8,127.0.0.0/8", "192.0.2.1, 127.0.0.1"])
def test_a_trusted_peer_tells_of_the_client(served: Served, app: str, trusted: str) -> None:
    server = served(app, "--forwarded-allow-ips", trusted)
    found = values(server.port, *X_FIELDS)
    assert part(found, TOLD) == TOLD
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/shop", "/x")
    assert "REMOTE_PORT" not in found
    assert found["HTTP_X_FORWARDED_FOR"] == "198.51.100.66, 203.0.113.5"
    found = values(server.port, FORWARDED)
    assert part(found, TOLD) == TOLD
    assert found["REMOTE_PORT"] == "4711"


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("flags", [(), ("--forwarded-allow-ips", "10.0.0.0/8,unix:")])
def test_a_peer_that_is_not_trusted_changes_nothing(served: Served, app: str, flags: tuple[str, ...]) -> None:
    server = served(app, *flags)
    for fields in [X_FIELDS, (FORWARDED,), (*X_FIELDS, FORWARDED)]:
        found = values(server.port, *fields)
        assert forwarded(found) == set()
        expected = {
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "HTTP_HOST": "test.example",
            "SERVER_PORT": str(server.port),
            "SCRIPT_NAME": "",
        }
        assert part(found, expected) == expected


def test_the_fields_of_others_can_be_kept(served: Served) -> None:
    server = served("environs:show", "--forwarded-untrusted", "keep")
    found = values(server.port, X_FIELDS[0], FORWARDED)
    assert forwarded(found) == {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"}
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("127.0.0.1", "http")


def test_a_unix_socket_is_trusted_by_name(serve: Serve, tmp_path: Path) -> None:
    trusting, other = tmp_path / "trusting", tmp_path / "other"
    serve("environs:show", "--forwarded-allow-ips", "unix:", bind=f"unix:{trusting}")
    found = values(trusting, *X_FIELDS)
    assert part(found, TOLD) == TOLD
    assert values(trusting, "X-Forwarded-Proto: https")["SERVER_PORT"] == "443"
    serve("environs:show", "--forwarded-allow-ips", "127.0.0.1", bind=f"unix:{other}")
    found = values(other, *X_FIELDS)
    assert (found["REMOTE_ADDR"], forwarded(found)) == ("", set())


def test_anyone_can_be_trusted_by_a_variable(serve: Serve) -> None:
    server = serve("environs:show", env={"WHISKYJACK_FORWARDED_ALLOW_IPS": "*"})
    assert values(server.port, *X_FIELDS)["REMOTE_ADDR"] == "198.51.100.66", (
        "all are proxies: the left-most is the client"
    )


def test_the_requests_of_a_connection_are_told_apart(served: Served) -> None:
    server = served("environs:show", "--forwarded-allow-ips", "127.0.0.1")
    requests = [get("/", *X_FIELDS), get("/"), get("/", "X-Forwarded-For: 203.0.113.6")]
    with conversation(server.port, b"".join(requests)) as opened:
        found = [json.loads(opened.read_response().body)["values"] for _ in requests]
        assert found[1]["REMOTE_PORT"] == str(opened.local_port)
    assert [one["REMOTE_ADDR"] for one in found] == ["203.0.113.5", "127.0.0.1", "203.0.113.6"]
    assert [one["wsgi.url_scheme"] for one in found] == ["https", "http", "http"]
    assert [one["HTTP_HOST"] for one in found] == ["shop.example", "test.example", "test.example"]


def test_a_malformed_field_is_ignored_as_a_whole_and_logged_once(serve: Serve) -> None:
    server = serve("environs:show", "--forwarded-allow-ips", "127.0.0.1")
    for _ in range(3):
        found = values(server.port, "Forwarded: for=203.0.113.5;proto=gopher")
        assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    server.wait_for_log("field forwarded that is ignored")
    assert server.log().count("that is ignored") == 1


def test_a_client_cannot_spoil_what_its_proxy_appends(served: Served) -> None:
    server = served("environs:show", "--forwarded-allow-ips", "127.0.0.1")
    for written in ['for="', '"', "garbage;;=", 'for="\\']:
        assert values(server.port, f"Forwarded: {written}, for=203.0.113.5")["REMOTE_ADDR"] == "203.0.113.5"
        assert values(server.port, f"X-Forwarded-For: {written}, 203.0.113.5")["REMOTE_ADDR"] == "203.0.113.5"


def test_both_kinds_of_fields_are_refused(served: Served) -> None:
    server = served("environs:show", "--forwarded-allow-ips", "127.0.0.1")
    with conversation(server.port, get("/", *X_FIELDS, FORWARDED) + get("/")) as opened:
        answer = opened.read_response()
        assert answer.status == 400 and answer.closes
        opened.expect_end()


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "unix", "10.0.0.1:80"])
def test_who_cannot_be_trusted_is_told_at_the_start(text: str) -> None:
    done = run("--forwarded-allow-ips", text, "--print-config")
    assert done.returncode != 0
    assert f'--forwarded-allow-ips "{text}"' in done.stderr
