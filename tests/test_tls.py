"""HTTPS by the server itself, as real clients speak it, and as broken ones do not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import signal
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests.apps.secured import BLOCK
from tests.conftest import Serve
from tests.support.certificates import Authority, Pair
from tests.support.server import DEADLINE, Server, run
from tests.support.wire import Conversation, conversation, get, read_response

APP = "secured:application"
SIZE = 64 * len(BLOCK)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


def ask(server: Server, context: ssl.SSLContext, path: str = "/") -> dict[str, str]:
    with conversation(server.port) as peer:
        peer.secure(context)
        peer.send(get(path))
        shown: dict[str, str] = json.loads(read_response(peer).body)
        return shown


@pytest.mark.parametrize("version", VERSIONS)
def test_the_application_is_told_what_secures_the_connection(
    serve: Serve, authority: Authority, pair: Pair, version: ssl.TLSVersion
) -> None:
    server = serve(APP, *pair.flags)
    shown = ask(server, authority.client(version))
    assert shown["wsgi.url_scheme"] == "https"
    assert shown["HTTPS"] == "on"
    assert shown["SSL_PROTOCOL"] == version.name.replace("_", ".")
    assert re.fullmatch(r"TLS_[A-Z0-9_]+", shown["SSL_CIPHER"])
    assert shown["SSL_CLIENT_VERIFY"] == "NONE"
    assert shown["SERVER_PORT"] == str(server.port)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", ["whole", "pieces", "file"])
def test_large_bodies_come_whole(
    serve: Serve, authority: Authority, pair: Pair, version: ssl.TLSVersion, what: str
) -> None:
    server = serve(APP, *pair.flags)
    with conversation(server.port) as peer:
        peer.secure(authority.client(version))
        for _ in range(2):
            peer.send(get(f"/{what}/{SIZE}"))
            assert hashlib.sha256(read_response(peer).body).digest() == hashlib.sha256(BLOCK * 64).digest()
            peer.send(b"POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE, BLOCK * 64)
            assert read_response(peer).body.decode() == hashlib.sha256(BLOCK * 64).hexdigest()


def test_a_body_is_streamed_into_the_application(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags, "--streaming-uploads")
    with conversation(server.port) as peer:
        peer.secure(authority.client())
        # Bytes that were decrypted with the head must reach a reader that waits for the socket.
        peer.send(b"POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
        peer.send(b"56789")
        assert read_response(peer).body.decode() == hashlib.sha256(b"0123456789").hexdigest()


def test_pipelined_requests_in_one_record_are_all_answered(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    with conversation(server.port) as peer:
        peer.secure(authority.client())
        peer.send(b"".join(get(f"/path/{number}") for number in range(200)))
        assert [read_response(peer).body for _ in range(200)] == [b"%d" % number for number in range(200)]


def test_a_slow_handshake_holds_no_thread(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags, "--threads", "1")
    hello = client_hello(authority)
    slow = [conversation(server.port) for _ in range(20)]
    for number, peer in enumerate(slow):
        peer.send(hello[: number * 10])
    ask(server, authority.client())
    for peer in slow:
        peer.close()
    ask(server, authority.client())


def client_hello(authority: Authority) -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_handshake_in_single_bytes_is_made(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with conversation(server.port) as peer:
        is_made = False
        while not is_made:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
                is_made = True
            peer.send(*(bytes([byte]) for byte in outgoing.read()))
            if not is_made:
                incoming.write(peer.receive())
        client.write(get("/path/slow"))
        peer.send(*(bytes([byte]) for byte in outgoing.read()))
        answer = b""
        while not answer.endswith(b"slow"):
            incoming.write(peer.receive())
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += client.read(65536)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_unfinished_handshake_ends_with_the_time_of_a_head(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags, "--head-timeout", "0.3s")
    for begun in (b"", client_hello(authority)[:50]):
        with conversation(server.port) as peer:
            peer.send(begun)
            assert peer.read_to_end() == b""
    server.wait_for_log(r"INFO a TLS handshake with 127\.0\.0\.1:\d+ failed: it was not made in time")


@pytest.mark.parametrize("garbage", [b"\x00" * 500, b"\x16\x03\x01\x00\x05hello", b"\x16" * 5000, b"\xff\xfe"])
def test_garbage_ends_its_connection_alone(serve: Serve, authority: Authority, pair: Pair, garbage: bytes) -> None:
    server = serve(APP, *pair.flags)
    with conversation(server.port) as peer:
        peer.send_while_it_lasts(garbage)
        answer = peer.read_to_end()
        # Nothing, or an alert of TLS.
        assert answer == b"" or answer[0] == 21
    ask(server, authority.client())


def test_handshakes_that_fail_are_not_told_one_by_one(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    stranger = ssl.create_default_context()
    for _ in range(20):
        with conversation(server.port) as peer, pytest.raises(ssl.SSLCertVerificationError):
            peer.secure(stranger)
    ask(server, authority.client())
    server.wait_for_log(r"INFO a TLS handshake with 127\.0\.0\.1:\d+ failed: received fatal alert")
    server.stop()
    assert server.log().count("a TLS handshake with") == 1


def test_plain_http_is_told_that_the_port_speaks_https(serve: Serve, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    with conversation(server.port) as peer:
        peer.send(get("/"))
        response = read_response(peer)
        assert (response.status, response.closes) == (400, True)
        assert b"speaks HTTPS" in response.body
        assert peer.read_to_end() == b""


def test_both_ends_say_that_they_leave(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    with conversation(server.port) as peer:
        secured = peer.secure(authority.client())
        peer.send(get("/path/end", "Connection: close"))
        assert read_response(peer).body == b"end"
        # Without close_notify this were an error in the middle of the stream.
        assert secured.recv(1) == b""
    with conversation(server.port) as peer:
        secured = peer.secure(authority.client())
        peer.send(get("/path/end"))
        read_response(peer)
        # Waits for the server's answer to our own close_notify.
        secured.unwrap()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed(serve: Serve, authority: Authority, pair: Pair, version: ssl.TLSVersion) -> None:
    server = serve(APP, *pair.flags)
    context = authority.client(version)
    session = None
    for number in range(3):
        with conversation(server.port) as peer:
            secured = peer.secure(context, session)
            peer.send(get("/path/x"))
            read_response(peer)
            assert secured.session_reused == (number > 0)
            session = secured.session


def test_clients_negotiate_http_1_1_and_no_older_tls(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    context = authority.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with conversation(server.port) as peer:
        secured = peer.secure(context)
        assert secured.selected_alpn_protocol() == "http/1.1"
        assert secured.version() == "TLSv1.3"


def test_a_client_certificate_is_asked_for(serve: Serve, authority: Authority, pair: Pair) -> None:
    flags = (*pair.flags, "--ca-certs", str(authority.file))
    customer = authority.issue("customer")
    optional = serve(APP, *flags, "--cert-reqs", "optional")
    assert ask(optional, authority.client())["SSL_CLIENT_VERIFY"] == "NONE"
    shown = ask(optional, authority.client(pair=customer))
    assert shown["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert shown["SSL_CLIENT_CERT"] == customer.certificate.read_text()
    required = serve(APP, *flags, "--cert-reqs", "required")
    assert ask(required, authority.client(pair=customer))["SSL_CLIENT_CERT"] == customer.certificate.read_text()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(required, authority.client())


def test_a_certificate_of_another_authority_is_refused(
    serve: Serve, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("impostor")
    server = serve(APP, *pair.flags, "--ca-certs", str(authority.file), "--cert-reqs", "optional")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(server, authority.client(pair=stranger))


def test_requests_keeps_its_connection(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    with requests.Session() as session:
        # The variables of this machine may name authorities of their own.
        session.trust_env = False
        session.verify = str(authority.file)
        for _ in range(20):
            got = session.get(f"https://localhost:{server.port}/path/x", timeout=DEADLINE)
            assert got.text == "x"
        posted = session.post(f"https://localhost:{server.port}/sum", data=BLOCK * 16, timeout=DEADLINE)
        assert posted.text == hashlib.sha256(BLOCK * 16).hexdigest()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl(serve: Serve, authority: Authority, pair: Pair, version: str) -> None:
    server = serve(APP, *pair.flags)
    curl = ["curl", "-sS", "--cacert", str(authority.file), "--tls-max", version]
    url = f"https://localhost:{server.port}/pieces/{SIZE}"
    done = subprocess.run([*curl, url, url], capture_output=True, timeout=DEADLINE, check=True)
    assert done.stdout == BLOCK * 128


@pytest.mark.parametrize("flags", [["--workers", "0"], ["--workers", "1"], ["--preload"]])
def test_a_certificate_at_the_start(serve: Serve, authority: Authority, pair: Pair, flags: list[str]) -> None:
    # Both in one file, as many tools write them.
    both = pair.certificate.with_suffix(".pem")
    both.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    server = serve(APP, "--certfile", str(both), *flags)
    assert ask(server, authority.client())["HTTPS"] == "on"
    assert "https://" in server.log()


def test_a_reload_takes_a_renewed_certificate(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags)
    before = served_by(server, authority)
    renewed = authority.issue("server")
    assert renewed == pair
    server.signal(signal.SIGHUP)
    server.wait_for_log("INFO reloaded")
    after = served_by(server, authority)
    assert before != after
    # A broken one takes nothing down.
    pair.key.write_text("nothing")
    server.signal(signal.SIGHUP)
    server.wait_for_log(r"ERROR the reload failed.*keyfile = \S+server\.key: it has no private key")
    assert served_by(server, authority) == after


def served_by(server: Server, authority: Authority) -> bytes:
    with conversation(server.port) as peer:
        certificate = peer.secure(authority.client()).getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def test_behind_a_proxy_protocol_the_handshake_follows_the_header(
    serve: Serve, authority: Authority, pair: Pair
) -> None:
    server = serve(APP, *pair.flags, "--proxy-protocol", "v1")
    with conversation(server.port) as peer:
        peer.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n")
        peer.secure(authority.client())
        peer.send(get("/"))
        shown = json.loads(read_response(peer).body)
    assert (shown["REMOTE_ADDR"], shown["HTTPS"]) == ("192.0.2.7", "on")


def test_a_request_past_its_deadline_is_answered(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve("stuck:application", *pair.flags, "--threads", "3", "--timeout", "0.3s")
    with conversation(server.port) as peer:
        secured = peer.secure(authority.client())
        peer.send(get("/gone/patiently"))
        assert read_response(peer).status == 504
        assert secured.recv(1) == b""


def test_an_expired_certificate_is_warned_of(serve: Serve, authority: Authority) -> None:
    old = authority.issue("old", until=-timedelta(days=3))
    server = serve(APP, *old.flags)
    server.wait_for_log(r"WARN certfile = \S+old\.crt: the certificate has expired 3 days ago")


def faults(authority: Authority, tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    pair, other = authority.issue("server"), authority.issue("other")
    locked = authority.issue("locked", passphrase=b"secret")
    text = tmp_path / "text"
    text.write_text("text")
    certfile, missing = str(pair.certificate), str(tmp_path / "missing.pem")
    return {
        "missing": (["--certfile", missing], f"certfile = {missing}: cannot read the file: No such file"),
        "no key": (["--certfile", certfile], f"certfile = {certfile}: it has no private key"),
        "no pem": (["--certfile", str(text)], f"certfile = {text}: it has no certificate"),
        "mismatch": (["--certfile", certfile, "--keyfile", str(other.key)], "the key is not that of the certificate"),
        "locked": (list(locked.flags), f"keyfile = {locked.key}: the key is encrypted"),
        "key alone": (["--keyfile", str(pair.key)], f"keyfile = {pair.key}: that needs certfile as well"),
        "requests alone": ([*pair.flags, "--cert-reqs", "required"], "cert-reqs = required: that needs ca-certs"),
        "authorities alone": ([*pair.flags, "--ca-certs", certfile], f"ca-certs = {certfile}: that needs cert-reqs"),
    }  # fmt: skip


def test_what_is_wrong_is_said_at_the_start(authority: Authority, tmp_path: Path) -> None:
    for flags, message in faults(authority, tmp_path).values():
        for how in ([], ["--check-config"], ["--workers", "0"]):
            done = run("-b", "127.0.0.1:0", APP, *flags, *how)
            assert done.returncode == 2, done
            assert message in done.stderr, done.stderr


def test_a_client_that_leaves_in_a_record_is_no_error(serve: Serve, authority: Authority, pair: Pair) -> None:
    server = serve(APP, *pair.flags, "--log-level", "debug")
    for leave in (Conversation.close, Conversation.reset):
        with conversation(server.port) as peer:
            peer.secure(authority.client())
            peer.send(get(f"/pieces/{SIZE}"))
            peer.receive(1)
            leave(peer)
    ask(server, authority.client())
    server.stop()
    assert not re.search("WARN|ERROR", server.log())
