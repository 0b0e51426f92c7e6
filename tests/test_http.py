"""HTTP/1.1 as a client sees it: persistence, pipelining, framing, and what is refused (RFC 9110, RFC 9112)."""

from __future__ import annotations

import pytest

from tests.conftest import Served
from tests.support.server import Server
from tests.support.wire import Response, conversation, get, post, post_chunked, send


@pytest.fixture
def server(served: Served) -> Server:
    return served("stage:application", "--threads", "4")


def note(name: str, *fields: str, version: str = "1.1") -> bytes:
    """A request that the application remembers."""
    return get(f"/slow/note?{name}", *fields, version=version)


def seen(server: Server) -> list[str]:
    return send(server.port, get("/slow/seen")).body.decode().splitlines()


# Persistence (RFC 9112 9.3)


def test_a_connection_serves_many_requests(server: Server) -> None:
    with conversation(server.port) as opened:
        for number in range(50):
            opened.send(note(f"kept{number}"))
            answer = opened.read_response()
            assert answer.body == b"/slow/note?kept%d" % number
            assert not answer.closes


@pytest.mark.parametrize("option", ["close", "Close", "keep-alive, close", "close, TE", "foo , CLOSE"])
def test_close_of_the_client_is_honoured(server: Server, option: str) -> None:
    with conversation(server.port, get("/responses/one", f"Connection: {option}")) as opened:
        answer = opened.read_response()
        assert answer.closes and answer.body == b"one piece"
        opened.expect_end()


def test_after_close_nothing_is_read_as_a_request(server: Server) -> None:
    with conversation(server.port, note("last", "Connection: close") + note("after-close")) as opened:
        assert opened.read_response().body == b"/slow/note?last"
        opened.expect_end()
    assert "/slow/note?after-close" not in seen(server)


@pytest.mark.parametrize("name", ["one", "generator"])
def test_http_1_0_closes_by_itself(server: Server, name: str) -> None:
    with conversation(server.port, get(f"/responses/{name}", version="1.0")) as opened:
        answer = opened.read_response()
        assert answer.value("Transfer-Encoding") is None
        assert answer.body in {b"one piece", b"first second third"}
        opened.expect_end()


def test_http_1_0_keeps_the_connection_where_both_want_it(server: Server) -> None:
    with conversation(server.port) as opened:
        for _ in range(3):
            opened.send(get("/responses/one", "Connection: keep-alive", version="1.0"))
            answer = opened.read_response()
            assert answer.body == b"one piece"
            assert "keep-alive" in [value.lower() for value in answer.values("Connection")]


def test_http_1_0_cannot_keep_a_connection_whose_length_is_unknown(server: Server) -> None:
    with conversation(server.port, get("/responses/generator", "Connection: keep-alive", version="1.0")) as opened:
        answer = opened.read_response()
        assert answer.closes and answer.body == b"first second third"
        opened.expect_end()


@pytest.mark.parametrize("name", ["raises", "raises_after_start", "never_starts"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_error_of_the_application_does_not_cost_the_connection(server: Server, name: str, version: str) -> None:
    fields = ["Connection: keep-alive"]
    requests = [
        (get(f"/misuse/{name}", *fields, version=version), False),
        (get(f"/misuse/{name}", *fields, method="HEAD", version=version), True),
        (get(f"/misuse/{name}", *fields, "Content-Length: 5", method="POST", version=version) + b"hello", False),
    ]
    with conversation(server.port) as opened:
        for request, head in requests:
            opened.send(request)
            answer = opened.read_response(head)
            assert answer.status == 500
            assert ("keep-alive" in answer.values("Connection")) == (version == "1.0")
            assert "close" not in answer.values("Connection")
        opened.send(get("/responses/one"))
        assert opened.read_response().body == b"one piece"


def test_an_error_of_the_application_ends_a_connection_whose_client_waits_to_send(server: Server) -> None:
    head = get("/misuse/raises", "Expect: 100-continue", "Content-Length: 5", method="POST")
    with conversation(server.port, head) as opened:
        answer = opened.read_response()
        assert answer.status == 500 and answer.closes
        opened.expect_end()


def test_a_later_minor_version_is_answered_as_http_1_1(server: Server) -> None:
    answer = send(server.port, get("/responses/generator", version="1.9"))
    assert (answer.version, answer.value("Transfer-Encoding")) == ("HTTP/1.1", "chunked")


def test_a_client_that_finished_sending_still_gets_its_answers(server: Server) -> None:
    with conversation(server.port, note("half1") + note("half2")) as opened:
        opened.finish_sending()
        assert opened.read_response().body == b"/slow/note?half1"
        assert opened.read_response().body == b"/slow/note?half2"
        opened.expect_end()


def test_keep_alive_0_closes_after_each_response(served: Served) -> None:
    with conversation(served("stage:application", "--keep-alive", "0").port, get("/responses/one")) as opened:
        answer = opened.read_response()
        assert answer.closes and answer.body == b"one piece"
        opened.expect_end()


def test_a_connection_may_carry_only_so_many_requests(served: Served) -> None:
    server = served("stage:application", "--requests-per-connection", "3")
    with conversation(server.port, get("/responses/one") * 4) as opened:
        assert [opened.read_response().closes for _ in range(3)] == [False, False, True]
        opened.expect_end()


@pytest.mark.parametrize("flags", [("--keep-alive", "0"), ("--requests-per-connection", "1")])
def test_a_connection_that_the_server_ends_is_closed_in_stages(served: Served, flags: tuple[str, str]) -> None:
    """RFC 9112 9.6: the client may have sent more already, and a reset would cost it the answer."""
    request = get("/responses/one")
    with conversation(served("stage:application", *flags).port, request + request[:10]) as opened:
        answer = opened.read_response()
        assert answer.closes and answer.body == b"one piece"
        opened.send(request[10:20], request[20:])
        opened.expect_end()


def test_an_idle_connection_is_closed_after_the_keep_alive_time(served: Served) -> None:
    with conversation(served("stage:application", "--keep-alive", "100ms").port, get("/responses/one")) as opened:
        assert opened.read_response().body == b"one piece"
        opened.expect_end()


# Pipelining (RFC 9112 9.3.2)


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with conversation(server.port, b"".join(note(f"pipe{number}") for number in range(300))) as opened:
        for number in range(300):
            assert opened.read_response().body == b"/slow/note?pipe%d" % number


def test_a_slow_answer_comes_before_the_quick_one_that_was_asked_later(server: Server) -> None:
    with conversation(server.port, get("/slow/nap?slow") + get("/responses/one")) as opened:
        assert opened.read_response().body == b"slow"
        assert opened.read_response().body == b"one piece"


def test_pipelined_bodies_of_every_framing_stay_with_their_requests(server: Server) -> None:
    kinds = [
        (post("/inputs/echo", b"length"), b"length"),
        (post_chunked("/inputs/echo", [b"chu", b"nked"]), b"chunked"),
        (get("/responses/one"), b"one piece"),
        (post("/inputs/echo", b""), b""),
        (post_chunked("/inputs/echo", []), b""),
    ] * 10
    with conversation(server.port, b"".join(request for request, _ in kinds)) as opened:
        for _, body in kinds:
            assert opened.read_response().body == body


def test_requests_in_segments_of_one_byte_are_understood(server: Server) -> None:
    request = post_chunked("/inputs/echo", [b"hello", b" ", b"world"], "X-A: 1") + post("/inputs/echo", b"again")
    with conversation(server.port, *(bytes([byte]) for byte in request)) as opened:
        assert opened.read_response().body == b"hello world"
        assert opened.read_response().body == b"again"


def test_empty_lines_before_a_request_are_passed_over(server: Server) -> None:
    with conversation(server.port, b"\r\n" + get("/responses/one") + b"\r\n" + get("/responses/one")) as opened:
        assert opened.read_response().body == b"one piece"
        assert opened.read_response().body == b"one piece"


# Chunked bodies (RFC 9112 7.1)


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"05\r\nhello\r\n000\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"5;name=value\r\nhello\r\n0;last\r\n\r\n",
        b'5;name="a quoted; string"\r\nhello\r\n0\r\n\r\n',
        b"5\r\nhello\r\n0\r\nX-Trailer: ignored\r\n\r\n",
    ],
)
def test_a_chunked_body_is_decoded(server: Server, body: bytes) -> None:
    request = get("/inputs/echo", "Transfer-Encoding: chunked", method="POST") + body
    with conversation(server.port, request + get("/responses/one")) as opened:
        assert opened.read_response().body == b"hello"
        assert opened.read_response().body == b"one piece"


def test_chunks_of_one_byte_make_a_body(server: Server) -> None:
    body = bytes(range(256)) * 40
    answer = send(server.port, post_chunked("/inputs/echo", [bytes([byte]) for byte in body]))
    assert answer.body == body


def test_a_chunk_size_in_capitals_is_hexadecimal_too(server: Server) -> None:
    request = get("/inputs/echo", "Transfer-Encoding: Chunked", method="POST")
    assert send(server.port, request + b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n").body == b"x" * 26


# Expect (RFC 9110 10.1.1)


@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue"])
def test_100_continue_is_sent_once_before_the_body(server: Server, expectation: str) -> None:
    head = get("/inputs/echo", f"Expect: {expectation}", "Content-Length: 5", method="POST")
    with conversation(server.port, head) as opened:
        assert opened.read_response().status == 100
        opened.send(b"hello")
        answer = opened.read_response()
        assert (answer.status, answer.body) == (200, b"hello")
        opened.send(get("/responses/one"))
        assert opened.read_response().body == b"one piece"


def test_100_continue_precedes_a_chunked_body_too(server: Server) -> None:
    head = get("/inputs/echo", "Expect: 100-continue", "Transfer-Encoding: chunked", method="POST")
    with conversation(server.port, head) as opened:
        assert opened.read_response().status == 100
        opened.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert opened.read_response().body == b"hello"


def test_100_continue_is_not_sent_when_the_application_does_not_read(server: Server) -> None:
    head = get("/inputs/ignore", "Expect: 100-continue", "Content-Length: 5", method="POST")
    with conversation(server.port, head) as opened:
        answer = opened.read_response()
        assert (answer.status, answer.body) == (200, b"ignored")
        # The client may send the body or not, so what follows cannot be told from it (RFC 9110 10.1.1).
        assert answer.closes
        opened.expect_end()


def test_100_continue_is_not_sent_where_the_body_is_there_already(server: Server) -> None:
    request = get("/inputs/echo", "Expect: 100-continue", "Content-Length: 5", method="POST") + b"hello"
    with conversation(server.port, request) as opened:
        answer = opened.read_response()
        if answer.status == 100:  # allowed: the head may have been looked at before the body came
            answer = opened.read_response()
        assert answer.body == b"hello"


def test_http_1_0_is_not_told_to_continue(server: Server) -> None:
    head = get("/inputs/echo", "Expect: 100-continue", "Content-Length: 5", method="POST", version="1.0")
    with conversation(server.port, head, b"hello") as opened:
        assert opened.read_response().body == b"hello"


def test_another_expectation_is_refused(server: Server) -> None:
    assert refusal(server, get("/responses/one", "Expect: miracles")).status == 417


# Refusals


def refusal(server: Server, request: bytes) -> Response:
    """The answer to a bad request: one, then the end, and what follows the request is not read as one."""
    smuggled = f"smuggled-{abs(hash(request))}"
    with conversation(server.port) as opened:
        opened.send_while_it_lasts(request + note(smuggled))
        answer = opened.read_response()
        assert answer.closes, "a refusal says that the connection ends"
        opened.expect_end()
    assert f"/slow/note?{smuggled}" not in seen(server)
    return answer


HOST = b"Host: test.example\r\n"
BAD_HEADS = {
    "no_version": b"GET /\r\n\r\n",
    "lower_case_version": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "two_spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "tab_for_space": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "space_before_method": b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "space_after_version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "space_in_target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "control_in_target": b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n",
    "nul_in_target": b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n",
    "relative_target": b"GET a HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk_for_get": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "method_no_token": b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "bare_lf_after_request_line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare_lf_after_field": b"GET / HTTP/1.1\r\nHost: test.example\n\r\n",
    "bare_lf_everywhere": b"GET / HTTP/1.1\nHost: test.example\n\n",
    "bare_cr_in_value": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\rb\r\n\r\n",
    "nul_in_value": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\0b\r\n\r\n",
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "host_list": b"GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n",
    "host_with_path": b"GET / HTTP/1.1\r\nHost: a.example/path\r\n\r\n",
    "host_with_user": b"GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n",
    "space_before_colon": b"GET / HTTP/1.1\r\n" + HOST + b"X-A : 1\r\n\r\n",
    "empty_name": b"GET / HTTP/1.1\r\n" + HOST + b": 1\r\n\r\n",
    "no_colon": b"GET / HTTP/1.1\r\n" + HOST + b"X-A\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n 2\r\n\r\n",
    "folded_first": b"GET / HTTP/1.1\r\n X-A: 1\r\n" + HOST + b"\r\n",
    "name_no_token": b"GET / HTTP/1.1\r\n" + HOST + b"X(A): 1\r\n\r\n",
    "name_beyond_ascii": b"GET / HTTP/1.1\r\n" + HOST + b"X-\xe9: 1\r\n\r\n",
    "tls_hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD_HEADS)
def test_a_head_that_breaks_a_rule_is_refused_and_ends_the_connection(server: Server, case: str) -> None:
    assert refusal(server, BAD_HEADS[case]).status == 400


SMUGGLING = {
    "both_framings": (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 400),
    "both_framings_reversed": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n", 400),
    "two_lengths": (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello", 400),
    "same_length_twice": (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello", 400),
    "length_list": (b"Content-Length: 5, 5\r\n", b"hello", 400),
    "length_with_plus": (b"Content-Length: +5\r\n", b"hello", 400),
    "length_negative": (b"Content-Length: -5\r\n", b"hello", 400),
    "length_hexadecimal": (b"Content-Length: 0x5\r\n", b"hello", 400),
    "length_with_underscore": (b"Content-Length: 1_0\r\n", b"hellohello", 400),
    "length_empty": (b"Content-Length:\r\n", b"", 400),
    "length_overflow": (b"Content-Length: 18446744073709551621\r\n", b"hello", 400),
    "length_with_space": (b"Content-Length: 5 5\r\n", b"hello", 400),
    "length_wide_digits": (b"Content-Length: \xb2\r\n", b"he", 400),
    "chunked_twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 400),
    "chunked_not_last": (b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n", None),
    "chunked_with_vertical_tab": (b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n", 400),
    "chunked_with_parameter": (b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n", None),
    "chunked_quoted": (b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n", None),
    "unknown_coding": (b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n", 501),
    "identity": (b"Transfer-Encoding: identity\r\n", b"", 501),
    "x_chunked": (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n", 501),
    "coding_empty": (b"Transfer-Encoding:\r\n", b"0\r\n\r\n", None),
    "coding_behind_space": (b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n", 400),
    "coding_folded": (b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n", 400),
    "size_with_sign": (b"Transfer-Encoding: chunked\r\n", b"+5\r\nhello\r\n0\r\n\r\n", 400),
    "size_with_prefix": (b"Transfer-Encoding: chunked\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "size_with_space": (b"Transfer-Encoding: chunked\r\n", b" 5\r\nhello\r\n0\r\n\r\n", 400),
    "size_with_trailing_space": (b"Transfer-Encoding: chunked\r\n", b"5 \r\nhello\r\n0\r\n\r\n", 400),
    "size_with_underscore": (b"Transfer-Encoding: chunked\r\n", b"0_5\r\nhello\r\n0\r\n\r\n", 400),
    "size_empty": (b"Transfer-Encoding: chunked\r\n", b"\r\nhello\r\n0\r\n\r\n", 400),
    "size_overflow": (b"Transfer-Encoding: chunked\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n", None),
    "size_line_by_bare_lf": (b"Transfer-Encoding: chunked\r\n", b"5\nhello\r\n0\r\n\r\n", 400),
    "size_line_by_bare_cr": (b"Transfer-Encoding: chunked\r\n", b"5\rhello\r\n0\r\n\r\n", 400),
    "bare_lf_in_extension": (b"Transfer-Encoding: chunked\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    "data_longer_than_size": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello!\r\n0\r\n\r\n", 400),
    "data_without_crlf": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello0\r\n\r\n", 400),
    "trailer_folded": (b"Transfer-Encoding: chunked\r\n", b"0\r\nX-A: 1\r\n 2\r\n\r\n", 400),
    "trailer_of_framing": (b"Transfer-Encoding: chunked\r\n", b"0\r\nContent-Length: 5\r\n\r\n", 400),
    "trailer_of_host": (b"Transfer-Encoding: chunked\r\n", b"0\r\nHost: wrong.example\r\n\r\n", 400),
}


@pytest.mark.parametrize("case", SMUGGLING)
def test_a_framing_that_two_readers_could_read_differently_is_refused(server: Server, case: str) -> None:
    fields, body, status = SMUGGLING[case]
    answer = refusal(server, b"POST /inputs/echo HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body)
    assert answer.status in ({status} if status else {400, 413, 501})


def test_a_transfer_coding_on_http_1_0_is_refused(server: Server) -> None:
    request = b"POST /inputs/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert refusal(server, request).status == 400


def test_a_refusal_comes_after_the_answers_to_what_was_asked_before(server: Server) -> None:
    requests = note("before-1") + note("before-2") + BAD_HEADS["no_host"] + note("behind-a-refusal")
    with conversation(server.port, requests) as opened:
        assert opened.read_response().body == b"/slow/note?before-1"
        assert opened.read_response().body == b"/slow/note?before-2"
        assert opened.read_response().status == 400
        opened.expect_end()
    assert "/slow/note?behind-a-refusal" not in seen(server)


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9"])
def test_a_later_major_version_is_505(server: Server, version: bytes) -> None:
    assert refusal(server, b"GET / " + version + b"\r\n" + HOST + b"\r\n").status == 505


def test_the_preface_of_http_2_is_not_a_request(server: Server) -> None:
    with conversation(server.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") as opened:
        assert opened.read_response().status in {400, 505}
        opened.expect_end()


def test_connect_is_refused(server: Server) -> None:
    assert refusal(server, b"CONNECT test.example:80 HTTP/1.1\r\n" + HOST + b"\r\n").status in {405, 501}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/" + "a" * 20_000), 414),
        (get("/", "X-A: " + "a" * 20_000), 431),
        (get("/", *(f"X-{number}: 1" for number in range(500))), 431),
        (get("/", *(f"X-{number}: {'a' * 4000}" for number in range(60))), 431),
    ],
)
def test_a_head_over_a_limit_is_refused(server: Server, request_bytes: bytes, status: int) -> None:
    assert refusal(server, request_bytes).status == status


def test_a_body_over_the_limit_is_refused_before_it_is_sent(served: Served) -> None:
    server = served("stage:application", "--limit-request-body", "1000")
    assert send(server.port, post("/inputs/echo", b"x" * 1000)).body == b"x" * 1000
    with conversation(server.port, get("/inputs/echo", "Content-Length: 1001", method="POST")) as opened:
        answer = opened.read_response()
        assert answer.status == 413 and answer.closes
        opened.expect_end()


def test_a_chunked_body_over_the_limit_is_refused_when_it_gets_there(served: Served) -> None:
    server = served("stage:application", "--limit-request-body", "1000")
    assert send(server.port, post_chunked("/inputs/echo", [b"x" * 600, b"y" * 400])).status == 200
    assert refusal(server, post_chunked("/inputs/echo", [b"x" * 600, b"y" * 401])).status == 413


def test_a_client_that_expects_to_be_told_is_refused_without_a_body(served: Served) -> None:
    server = served("stage:application", "--limit-request-body", "1000")
    head = get("/inputs/echo", "Content-Length: 1001", "Expect: 100-continue", method="POST")
    with conversation(server.port, head) as opened:
        assert opened.read_response().status == 413
        opened.expect_end()


def test_the_client_can_read_a_refusal_although_it_goes_on_sending(served: Served) -> None:
    server = served("stage:application", "--limit-request-body", "1000")
    head = get("/inputs/echo", "Content-Length: 400000", method="POST")
    with conversation(server.port, head) as opened:
        opened.send_while_it_lasts(b"x" * 400_000)
        assert opened.read_response().status == 413


def test_a_refusal_of_head_has_no_body(server: Server) -> None:
    with conversation(server.port, b"HEAD / HTTP/1.1\r\n\r\n") as opened:
        assert opened.read_response(head=True).status == 400
        opened.expect_end()


def test_a_head_that_never_ends_is_given_up(served: Served) -> None:
    server = served("stage:application", "--head-timeout", "200ms")
    with conversation(server.port, b"GET / HTTP/1.1\r\nHost: a") as opened:
        rest = opened.read_to_end()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_never_ends_is_given_up(served: Served) -> None:
    server = served("stage:application", "--body-timeout", "200ms")
    with conversation(server.port, get("/inputs/echo", "Content-Length: 5", method="POST") + b"he") as opened:
        rest = opened.read_to_end()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


def test_upgrade_is_passed_over(server: Server) -> None:
    request = get("/responses/one", "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    assert send(server.port, request).body == b"one piece"


def test_head_is_as_get_without_the_body_down_to_the_wire(server: Server) -> None:
    with conversation(server.port, get("/slow/note?head", "Connection: close", method="HEAD")) as opened:
        raw = opened.read_to_end()
    assert raw.endswith(b"\r\n\r\n") and raw.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "M-SEARCH", "X!#$%&'*+.^_`|~"]
)
def test_any_method_reaches_the_application(server: Server, method: str) -> None:
    assert send(server.port, get("/responses/one", method=method)).body == b"one piece"
