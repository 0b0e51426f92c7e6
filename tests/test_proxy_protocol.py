"""What a PROXY header tells of a connection, on the real server: over raw sockets, and from a real HAProxy."""

from __future__ import annotations

import ipaddress
import json
import signal
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve, Served
from tests.support.haproxy import in_front
from tests.support.server import run
from tests.support.sockets import listening, port_of
from tests.support.wire import DEADLINE, Conversation, conversation, get

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
PROXY, LOCAL = 0x21, 0x20
UNSPEC, TCP4, UDP4, TCP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x31


def line(protocol: str, *words: object) -> bytes:
    """A header of version 1."""
    return " ".join(["PROXY", protocol, *map(str, words)]).encode() + b"\r\n"


def block(command: int, family: int, *pieces: bytes) -> bytes:
    """A header of version 2."""
    payload = b"".join(pieces)
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload)) + payload


def ends(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    addresses = [ipaddress.ip_address(text).packed for text in (source, destination)]
    return b"".join(addresses) + struct.pack("!HH", source_port, destination_port)


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


CLIENT = ("192.0.2.1", "198.51.100.2", 4711, 8443)
CLIENT_6 = ("2001:db8::1", "2001:db8::2", 4711, 443)
TOLD = {"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "4711", "SERVER_NAME": "198.51.100.2", "SERVER_PORT": "8443"}
TOLD_6 = {"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "4711", "SERVER_NAME": "[2001:db8::2]", "SERVER_PORT": "443"}

LINE = line("TCP4", *CLIENT)
BLOCK = block(PROXY, TCP4, ends(*CLIENT))

# What is told, by header. None: the socket's own addresses.
ACCEPTED: dict[str, tuple[str, bytes, dict[str, str] | None]] = {
    "v1-tcp4": ("v1", LINE, TOLD),
    "v1-tcp6": ("v1", line("TCP6", *CLIENT_6), TOLD_6),
    "v1-mapped": ("v1", line("TCP6", "::ffff:192.0.2.1", "::ffff:198.51.100.2", 4711, 8443), TOLD),
    "v1-unknown": ("v1", line("UNKNOWN"), None),
    "v1-unknown-with-addresses": ("v1", line("UNKNOWN", *CLIENT), None),
    "v2-tcp4": ("v2", BLOCK, TOLD),
    "v2-tcp6": ("v2", block(PROXY, TCP6, ends(*CLIENT_6)), TOLD_6),
    "v2-extensions": (
        "v2",
        block(PROXY, TCP4, ends(*CLIENT), extension(4, bytes(700)), extension(0xEA, b"vpce")),
        TOLD,
    ),
    "v2-local": ("v2", block(LOCAL, UNSPEC), None),
    "v2-local-with-addresses": ("v2", block(LOCAL, TCP4, ends(*CLIENT)), None),
    "v2-unspec": ("v2", block(PROXY, UNSPEC, b"whatever"), None),
    "v2-unix": ("v2", block(PROXY, UNIX, bytes(216)), {"REMOTE_ADDR": ""}),
    "auto-v1": ("auto", LINE, TOLD),
    "auto-v2": ("auto", BLOCK, TOLD),
}

REFUSED: dict[str, tuple[str, bytes]] = {
    "http": ("auto", get("/")),
    "http-to-v1": ("v1", get("/")),
    "http-post": ("auto", get("/", method="POST")),
    "http-after-an-empty-line": ("auto", b"\r\n" + get("/")),
    "tls": ("auto", bytes.fromhex("16030100a5010000a1")),
    "v2-to-v1": ("v1", BLOCK),
    "v1-to-v2": ("v2", LINE),
    "line-of-lf": ("v1", LINE.replace(b"\r\n", b"\n")),
    "line-in-small-letters": ("v1", LINE.lower()),
    "line-without-a-port": ("v1", line("TCP4", *CLIENT[:3])),
    "line-of-names": ("v1", line("TCP4", "localhost", "localhost", 1, 2)),
    "line-of-the-other-family": ("v1", line("TCP4", *CLIENT_6)),
    "line-of-udp": ("v1", line("UDP4", *CLIENT)),
    "line-too-long": ("v1", line("UNKNOWN", "x" * 100)),
    "block-of-datagrams": ("v2", block(PROXY, UDP4, ends(*CLIENT))),
    "block-of-version-3": ("v2", block(0x31, TCP4, ends(*CLIENT))),
    "block-too-short": ("v2", block(PROXY, TCP4, ends(*CLIENT)[:11])),
    "block-too-long": ("v2", SIGNATURE + struct.pack("!BBH", PROXY, TCP4, 4097)),
    "block-with-a-cut-extension": ("v2", block(PROXY, TCP4, ends(*CLIENT), extension(4, b"abc")[:-1])),
    "block-with-a-wrong-checksum": ("v2", block(PROXY, TCP4, ends(*CLIENT), extension(3, bytes(4)))),
}


def values(opened: Conversation) -> dict[str, Any]:
    answer = opened.read_response()
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)["values"]
    return found


def told(target: int | Path, *pieces: bytes) -> dict[str, Any]:
    with conversation(target, *pieces) as opened:
        return values(opened)


def part(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {key: found.get(key) for key in expected}


def is_closed(opened: Conversation) -> bool:
    """Whether the server has ended the connection without a word, however abruptly."""
    try:
        return opened.read_to_end() == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_header_tells_whose_connection_it_is(served: Served, case: str) -> None:
    versions, header, expected = ACCEPTED[case]
    server = served("environs:show", "--proxy-protocol", versions)
    with conversation(server.port, header + get("/") + get("/again")) as opened:
        own = {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": str(opened.local_port), "SERVER_PORT": str(server.port)}
        expected = own if expected is None else expected
        for path in ["/", "/again"]:
            found = values(opened)
            assert part(found, expected) == expected
            assert (found["PATH_INFO"], found["wsgi.url_scheme"]) == (path, "http")
            if not expected["REMOTE_ADDR"]:
                assert "REMOTE_PORT" not in found


@pytest.mark.parametrize("header", [LINE, BLOCK, ACCEPTED["v2-extensions"][1]], ids=["line", "block", "extensions"])
def test_a_header_may_come_in_any_pieces(served: Served, header: bytes) -> None:
    server = served("environs:show", "--proxy-protocol", "auto")
    stream = header + get("/")
    assert part(told(server.port, *(bytes([byte]) for byte in stream)), TOLD) == TOLD
    for cut in range(1, len(header) + 1, 7):
        assert part(told(server.port, stream[:cut], stream[cut:]), TOLD) == TOLD


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_header_is_closed_without_an_answer(served: Served, case: str) -> None:
    versions, sent = REFUSED[case]
    server = served("environs:show", "--proxy-protocol", versions, "--log-level", "debug", "--access-log", "-")
    with conversation(server.port, sent) as opened:
        # What follows is no request, whatever it looks like.
        opened.send_while_it_lasts(get("/"))
        assert is_closed(opened)
    server.wait_for_log(r"closed .*: .*PROXY")
    assert server.stdout.text() == ""


def test_a_connection_that_ends_before_its_header_is_no_fault(served: Served) -> None:
    server = served("environs:show", "--proxy-protocol", "auto")
    for sent in [b"", LINE[:20], BLOCK[:14]]:
        with conversation(server.port, sent) as opened:
            opened.finish_sending()
            assert is_closed(opened)
    assert part(told(server.port, LINE + get("/")), TOLD) == TOLD
    assert "PROXY" not in server.log()


def test_a_second_header_is_no_request(served: Served) -> None:
    server = served("environs:show", "--proxy-protocol", "auto")
    with conversation(server.port, LINE + LINE + get("/")) as opened:
        assert opened.read_response().status == 400
        opened.expect_end()


def test_without_the_setting_a_header_is_a_bad_request(served: Served) -> None:
    server = served("environs:show")
    for header in [LINE, BLOCK]:
        with conversation(server.port, header + get("/")) as opened:
            assert opened.read_response().status == 400
            opened.expect_end()


def test_nobody_else_may_send_one(serve: Serve) -> None:
    server = serve("environs:show", "--proxy-protocol", "auto", "--proxy-allow-from", "192.0.2.0/24,::1")
    for sent in [LINE + get("/"), BLOCK + get("/"), get("/")]:
        with Conversation(server.port) as opened:
            opened.send_while_it_lasts(sent)
            assert is_closed(opened)
    server.wait_for_log(r"127\.0\.0\.1:\d+.* may not send a PROXY header")
    assert len([text for text in server.log().splitlines() if "PROXY" in text]) == 1


def test_networks_may_be_allowed(serve: Serve) -> None:
    server = serve("environs:show", "--proxy-protocol", "v1", "--proxy-allow-from", "10.0.0.0/8,127.0.0.0/8")
    assert part(told(server.port, LINE + get("/")), TOLD) == TOLD


def test_a_unix_socket_takes_headers_where_it_is_allowed(serve: Serve, tmp_path: Path) -> None:
    at = tmp_path / "socket"
    serve("environs:show", "--proxy-protocol", "v2", "--proxy-allow-from", "unix:", bind=f"unix:{at}")
    assert part(told(at, BLOCK + get("/")), TOLD) == TOLD
    own = {"REMOTE_ADDR": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    assert part(told(at, block(LOCAL, UNSPEC) + get("/")), own) == own


@pytest.mark.parametrize(
    ("bind", "allowed", "remedy"), [("unix:{}/socket", "127.0.0.1", "add unix:"), ("127.0.0.1:0", "unix:", "address")]
)
def test_a_socket_that_would_serve_nobody_is_refused(tmp_path: Path, bind: str, allowed: str, remedy: str) -> None:
    flags = ("--bind", bind.format(tmp_path), "--proxy-protocol", "auto", "--proxy-allow-from", allowed)
    done = run("environs:show", *flags)
    assert done.returncode == 2
    assert f'proxy-allow-from = "{allowed}"' in done.stderr
    assert remedy in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_does_not_come_in_time_is_waited_for_no_longer(serve: Serve) -> None:
    flags = ("--proxy-protocol", "auto", "--proxy-timeout", "100ms", "--log-level", "debug")
    server = serve("environs:show", *flags)
    for sent in [b"", LINE[:-1], BLOCK[:-1]]:
        with conversation(server.port, sent) as opened:
            assert is_closed(opened)
    server.wait_for_log("no whole PROXY header came in time")
    # The time of the header is over with the header.
    with conversation(server.port, LINE) as opened, conversation(server.port, LINE[:-1]) as late:
        assert is_closed(late)
        opened.send(get("/"))
        assert part(values(opened), TOLD) == TOLD


def test_who_has_sent_no_header_does_not_hold_up_the_end(serve: Serve) -> None:
    server = serve("environs:show", "--proxy-protocol", "auto", "--proxy-timeout", "0", "--graceful-timeout", "1h")
    with conversation(server.port) as silent, conversation(server.port, BLOCK[:-1]) as midway:
        assert part(told(server.port, LINE + get("/")), TOLD) == TOLD
        server.signal(signal.SIGTERM)
        assert is_closed(silent)
        assert is_closed(midway)
        assert server.wait() == 0


def test_the_access_log_names_the_client(serve: Serve) -> None:
    server = serve("environs:show", "--proxy-protocol", "auto", "--access-log", "-")
    told(server.port, LINE + get("/first"))
    told(server.port, block(PROXY, TCP6, ends(*CLIENT_6)) + get("/second"))
    told(server.port, line("UNKNOWN") + get("/third"))
    for client, path in [("192.0.2.1", "first"), ("2001:db8::1", "second"), ("127.0.0.1", "third")]:
        server.stdout.wait_for(rf"^{client} .*/{path} ")


def test_forwarded_fields_are_the_clients_not_the_proxys(serve: Serve) -> None:
    fields = ["X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https"]
    # A proxy that speaks TCP hands on what its client wrote: to trust the proxy is not to trust the client.
    server = serve("environs:show", "--proxy-protocol", "auto", "--forwarded-allow-ips", "127.0.0.1")
    found = told(server.port, LINE + get("/", *fields))
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("192.0.2.1", "http")
    assert "HTTP_X_FORWARDED_FOR" not in found
    found = told(server.port, line("UNKNOWN") + get("/", *fields))
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("203.0.113.5", "https")
    server = serve("environs:show", "--proxy-protocol", "auto", "--forwarded-allow-ips", "192.0.2.0/24,unix:")
    found = told(server.port, LINE + get("/", *fields))
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("203.0.113.5", "https")
    # A socket of the proxy's is not ours.
    found = told(server.port, block(PROXY, UNIX, bytes(216)) + get("/", *fields))
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("", "http")


def test_the_limit_per_address_counts_clients(serve: Serve) -> None:
    server = serve("environs:show", "--proxy-protocol", "auto", "--limit-connections-per-address", "1")
    with conversation(server.port, LINE + get("/")) as first, conversation(server.port) as silent:
        values(first)
        with conversation(server.port, line("TCP4", "192.0.2.2", *CLIENT[1:]) + get("/")) as other:
            values(other)
            with conversation(server.port, BLOCK + get("/")) as second:
                assert is_closed(second)
            for _ in range(3):
                told(server.port, line("UNKNOWN") + get("/"))
        silent.send(line("TCP4", "192.0.2.3", *CLIENT[1:]) + get("/"))
        values(silent)
    # Whoever has left counts no more, as soon as the server knows of it.
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        with conversation(server.port, LINE + get("/")) as again:
            try:
                values(again)
                return
            except (AssertionError, ConnectionResetError):
                continue
    raise AssertionError("the connection that was closed is counted still")


@pytest.mark.parametrize(
    ("sends", "versions"), [("send-proxy", "v1"), ("send-proxy-v2", "v2"), ("send-proxy-v2", "auto")]
)
def test_haproxy_tells_of_its_client(served: Served, tmp_path: Path, sends: str, versions: str) -> None:
    server = served("environs:show", "--proxy-protocol", versions)
    with (
        listening() as front,
        in_front(front, f"127.0.0.1:{server.port}", sends, tmp_path),
        conversation(port_of(front), get("/")) as opened,
    ):
        expected = {
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": str(opened.local_port),
            "SERVER_PORT": str(port_of(front)),
        }
        assert part(values(opened), expected) == expected
        opened.send(get("/again"))
        assert part(values(opened), expected) == expected


def test_haproxy_sends_all_that_it_can_of_version_2(served: Served, tmp_path: Path) -> None:
    server = served("environs:show", "--proxy-protocol", "v2")
    sends = "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"
    options = 'unique-id-format "%{+X}o %ci:%cp_%fi:%fp_%Ts_%rt:%pid"'
    with (
        listening() as front,
        in_front(front, f"127.0.0.1:{server.port}", sends, tmp_path, mode="http", options=options),
        conversation(port_of(front), get("/")) as opened,
    ):
        expected = {"REMOTE_PORT": str(opened.local_port), "SERVER_PORT": str(port_of(front))}
        assert part(values(opened), expected) == expected


@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2"])
def test_haproxy_finds_the_server_healthy(serve: Serve, tmp_path: Path, sends: str) -> None:
    server = serve("environs:show", "--proxy-protocol", "auto", "--access-log", "-")
    with listening() as front:
        options = "option httpchk GET /health"
        target = f"127.0.0.1:{server.port}"
        with in_front(front, target, f"{sends} check inter 100ms", tmp_path, options=options):
            server.stdout.wait_for(r'^127\.0\.0\.1 .*"GET /health HTTP/1\.0" 200 ')


@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2"])
def test_a_client_on_a_unix_socket_of_haproxy_is_served(served: Served, tmp_path: Path, sends: str) -> None:
    server = served("environs:show", "--proxy-protocol", "auto")
    at = tmp_path / "front"
    with listening(at) as front, in_front(front, f"127.0.0.1:{server.port}", sends, tmp_path):
        assert told(at, get("/"))["PATH_INFO"] == "/"
