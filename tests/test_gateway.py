"""PEP 3333 on the real server over a real socket. Each lawful application also with wsgiref.validate between."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.apps.inputs import CHECKED_WAYS, WAYS
from tests.apps.misuse import BROKEN_FIELDS, BROKEN_STATUSES
from tests.conftest import Serve, Served, start, stop_all
from tests.support.server import Server
from tests.support.sockets import listening, port_of
from tests.support.wire import Response, Truncated, conversation, get, post, post_chunked, send

PLAIN_AND_CHECKED = pytest.mark.parametrize("stage", ["stage:application", "stage:checked"])
EVERY_BYTE = bytes(range(256))
BODIES = {
    "empty": b"",
    "one_byte": b"x",
    "one_line": b"one\n",
    "lines": b"one\ntwo\r\n\n\nfive without an end",
    "every_byte": EVERY_BYTE * 3,
    "large": random.Random(3).randbytes(300_000),
}
# More than is held in memory by default, so that a file takes over.
HUGE = random.Random(4).randbytes(3_000_000)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "content.bin"
    path.write_bytes(random.Random(5).randbytes(2_500_000))
    return path


@pytest.fixture(scope="module", params=["stage:application", "stage:checked"])
def filing(request: pytest.FixtureRequest, file: Path) -> Iterator[Server]:
    """A server whose applications send the file."""
    server = start(request.param, "--threads", "4", env={"FILE": str(file)})
    yield server
    stop_all([server])


def count_of(server: Server, call: str) -> int:
    """How often the application logged an entry of this call."""
    return len(re.findall(call, server.log()))


# Input


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_every_way_to_read_gives_what_a_file_would(served: Served, way: str, body: str, coding: str) -> None:
    told = read_by(served("stage:application", "--threads", "4"), way, BODIES[body], coding)
    assert told["pieces"] == [piece.decode("latin-1") for piece in WAYS[way](io.BytesIO(BODIES[body]))]
    assert told["ends"] == [""] * 5, "the end is the end, at once and for ever"
    assert told["length"] == str(len(BODIES[body]))


@pytest.mark.parametrize("way", CHECKED_WAYS)
def test_every_way_that_the_validator_knows_passes_it(served: Served, way: str) -> None:
    told = read_by(served("stage:checked", "--threads", "4"), way, BODIES["lines"], "chunked")
    assert "".join(told["pieces"]).encode("latin-1") == BODIES["lines"]


@pytest.mark.parametrize("way", ["read", "read_some", "iterate", "readlines", "readinto", "mixed"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_body_too_large_for_memory_reads_the_same(served: Served, way: str, coding: str) -> None:
    told = read_by(served("stage:application", "--threads", "4"), way, HUGE, coding)
    assert told["pieces"] == [piece.decode("latin-1") for piece in WAYS[way](io.BytesIO(HUGE))]
    assert told["length"] == str(len(HUGE))


def read_by(server: Server, way: str, body: bytes, coding: str) -> dict[str, Any]:
    path = f"/inputs/by_way?way={way}"
    if coding == "length":
        request = post(path, body)
    else:
        cuts = [0, 1, 3, 10, 1000, 1001, 100_000, len(body)]
        request = post_chunked(path, [body[first:last] for first, last in pairwise(cuts)])
    answer = send(server.port, request)
    assert answer.status == 200, server.log()
    told: dict[str, Any] = json.loads(answer.body)
    assert told["coding"] is None
    return told


@PLAIN_AND_CHECKED
@pytest.mark.parametrize(
    "request_bytes", [post("/inputs/ignore", b"x" * 5000), post_chunked("/inputs/ignore", [b"x" * 5000])]
)
def test_a_body_that_nobody_read_is_not_the_next_request(served: Served, stage: str, request_bytes: bytes) -> None:
    with conversation(served(stage, "--threads", "4").port) as opened:
        for _ in range(3):
            opened.send(request_bytes + get("/responses/one"))
            assert opened.read_response().body == b"ignored"
            assert opened.read_response().body == b"one piece"


def test_an_input_used_after_its_request_raises_value_error(served: Served) -> None:
    server = served("stage:application", "--threads", "4")
    with conversation(server.port) as opened:
        opened.send(post("/inputs/keep", b"the body of an earlier request"))
        assert opened.read_response().body == b"kept"
        opened.send(post("/inputs/use_kept", b"the body of a later request"))
        said = json.loads(opened.read_response().body)
    assert said == dict.fromkeys(["read", "readline", "readlines", "iterate", "readinto"], "ValueError")


@pytest.mark.parametrize(
    "half",
    [
        get("/inputs/count", "Content-Length: 100", method="POST") + b"only a part",
        get("/inputs/count", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n",
    ],
)
def test_a_body_that_its_client_left_unfinished_calls_nobody(serve: Serve, half: bytes) -> None:
    server = serve("stage:application")
    with conversation(server.port, half) as opened:
        opened.finish_sending()
        opened.read_to_end()
    assert send(server.port, get("/inputs/count")).body == b"1"


def test_streaming_uploads_call_the_application_before_the_body_has_come(served: Served) -> None:
    server = served("stage:application", "--threads", "4", "--streaming-uploads")
    head = get("/inputs/echo", "Content-Length: 11", method="POST")
    with conversation(server.port, head + b"hello ") as opened:
        assert send(server.port, get("/responses/one")).body == b"one piece"
        opened.send(b"world")
        assert opened.read_response().body == b"hello world"


@pytest.mark.parametrize("way", ["read", "read_some", "readline", "readlines", "iterate", "readinto", "mixed"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_streamed_body_reads_the_same(served: Served, way: str, coding: str) -> None:
    server = served("stage:application", "--threads", "4", "--streaming-uploads")
    for body in [b"", BODIES["lines"], HUGE]:
        told = read_by(server, way, body, coding)
        assert told["pieces"] == [piece.decode("latin-1") for piece in WAYS[way](io.BytesIO(body))]
        assert told["ends"] == [""] * 5


def test_a_streamed_chunked_body_has_no_length_and_an_end(served: Served) -> None:
    server = served("stage:application", "--threads", "4", "--streaming-uploads")
    assert send(server.port, post_chunked("/inputs/told", [b"hello"])).body == b"read 5 of None True"
    assert send(server.port, post("/inputs/told", b"hello")).body == b"read 5 of 5 True"


@pytest.mark.parametrize("leave", ["half", "reset"])
@pytest.mark.parametrize(
    ("name", "fields", "part"),
    [
        ("length", "Content-Length: 100", b"only a part"),
        ("chunked", "Transfer-Encoding: chunked", b"5\r\nhello\r\n5\r\nhe"),
    ],
)
def test_a_client_that_vanishes_from_a_streamed_body_is_an_os_error(
    served: Served, leave: str, name: str, fields: str, part: bytes
) -> None:
    server = served("stage:application", "--threads", "4", "--streaming-uploads")
    opened = conversation(server.port, get(f"/inputs/told?{name}-{leave}", fields, method="POST") + part)
    if leave == "reset":
        opened.reset()
    else:
        opened.finish_sending()
        opened.read_to_end()
        opened.close()
    server.wait_for_log(rf"^{name}-{leave}: OSError of [^:]+: \S")


def test_a_streamed_body_over_the_limit_fails_when_it_gets_there(served: Served) -> None:
    server = served("stage:application", "--threads", "4", "--streaming-uploads", "--limit-request-body", "1000")
    with conversation(server.port, post_chunked("/inputs/told?over", [b"x" * 600, b"y" * 600]) + get("/x")) as opened:
        assert opened.read_response().body.startswith(b"OSError of None True: ")
        opened.expect_end()


# Answers


def test_one_piece_is_sent_with_its_length(served: Served) -> None:
    answer = send(served("stage:application", "--threads", "4").port, get("/responses/one"))
    assert (answer.value("Content-Length"), answer.body) == ("9", b"one piece")
    assert answer.value("Transfer-Encoding") is None


@PLAIN_AND_CHECKED
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("nothing", b""),
        ("as_tuple", b"a tuple of pieces"),
        ("subclassed", b"firstsecond"),
        ("generator", b"first second third"),
        ("written", b"written, written again, returned"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_whatever_is_returned_arrives_whole(served: Served, stage: str, name: str, body: bytes, version: str) -> None:
    server = served(stage, "--threads", "4")
    answer = send(server.port, get(f"/responses/{name}", version=version))
    assert (answer.status, answer.body) == (200, body), server.log()


@PLAIN_AND_CHECKED
def test_a_generator_is_one_chunk_a_piece(served: Served, stage: str) -> None:
    answer = send(served(stage, "--threads", "4").port, get("/responses/generator"))
    assert answer.chunks == [b"first ", b"second ", b"third"]


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("name", ["gated", "gated_write"])
def test_a_piece_is_sent_before_the_next_is_asked_for(served: Served, stage: str, name: str) -> None:
    server = served(stage, "--threads", "4")
    with conversation(server.port, get(f"/responses/{name}?{name}{stage}")) as opened:
        assert opened.read_head().value("Transfer-Encoding") == "chunked"
        assert opened.read_chunk() == b"before the gate"
        assert send(server.port, get(f"/responses/open_gate?{name}{stage}")).body == b"opened"
        assert opened.read_chunk() == b"after the gate"
        assert opened.read_chunk() == b""


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("name", ["burst_gated", "burst_gated_write"])
def test_pieces_close_behind_each_other_do_not_wait_for_one_that_takes_long(
    served: Served, stage: str, name: str
) -> None:
    server = served(stage, "--threads", "4")
    with conversation(server.port, get(f"/responses/{name}?{name}{stage}")) as opened:
        opened.read_head()
        assert [opened.read_chunk() for _ in range(4)] == [b"one", b"two", b"three", b"before the gate"]
        assert send(server.port, get(f"/responses/open_gate?{name}{stage}")).body == b"opened"
        assert opened.read_chunk() == b"after the gate"
        assert opened.read_chunk() == b""


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("name", ["told", "told_write"])
@pytest.mark.parametrize("stage", ["stage:application", "stage:checked"])
def test_a_first_piece_does_not_wait_for_one_that_takes_long_however_soon_it_has_come_before(
    stage: str, name: str, threads: str
) -> None:
    # A server of its own: what it expects depends on what it was asked before.
    server = start(stage, "--threads", threads)
    try:
        for _ in range(3):
            with conversation(server.port, get("/responses/generator") * 100) as quick:
                for _ in range(100):
                    assert quick.read_response().body == b"first second third"
            with (
                listening() as teller,
                conversation(server.port, get(f"/responses/{name}?{port_of(teller)}")) as slow,
            ):
                teller.settimeout(60)
                slow.read_head()
                assert slow.read_chunk() == b"before the word"
                teller.accept()[0].close()
                assert slow.read_chunk() == b"after the word"
                assert slow.read_chunk() == b""
    finally:
        stop_all([server])


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("name", ["replaced", "replaced_after_empty"])
def test_exc_info_before_the_first_byte_replaces_the_head(served: Served, stage: str, name: str) -> None:
    answer = send(served(stage, "--threads", "4").port, get(f"/responses/{name}"))
    assert (answer.status, answer.reason, answer.body) == (503, "Come Back Later", b"replaced")
    assert answer.value("X-First") is None


@PLAIN_AND_CHECKED
def test_exc_info_after_the_first_byte_raises_it_and_ends_the_connection(served: Served, stage: str) -> None:
    server = served(stage, "--threads", "4")
    with pytest.raises(Truncated) as cut:
        send(server.port, get("/responses/too_late"))
    assert cut.value.body == b"sent already"
    server.wait_for_log("LookupError: too late to replace the head")


def asked(
    served: Served, stage: str, status: str, *fields: tuple[str, str], body: str = "text", **how: str
) -> Response:
    query = urlencode([("status", status), *fields, ("body", body)], encoding="latin-1", quote_via=quote)
    server = served(stage, "--threads", "4")
    request = get(f"/responses/asked?{query}", **how)
    return send(server.port, request, head=how.get("method") == "HEAD")


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("status", ["200 OK", "299 Quite Fine", "404 Nothing Here", "200 caf\xe9"])
def test_the_status_line_is_the_applications(served: Served, stage: str, status: str) -> None:
    answer = asked(served, stage, status, ("Content-Type", "text/plain"))
    assert f"{answer.status} {answer.reason}" == status


def test_a_reason_may_be_empty(served: Served) -> None:
    answer = asked(served, "stage:application", "599 ", ("Content-Type", "text/plain"))
    assert (answer.status, answer.reason) == (599, "")


@PLAIN_AND_CHECKED
def test_early_hints_precede_the_response(served: Served, stage: str) -> None:
    server = served(stage, "--threads", "4")
    with conversation(server.port, get("/responses/hints") + get("/responses/one")) as opened:
        hints = opened.read_response()
        assert (hints.status, hints.value("Link")) == (103, "</style.css>; rel=preload")
        assert opened.read_response().body == b"hinted"
        assert opened.read_response().body == b"one piece"
    assert send(server.port, get("/responses/hints", version="1.0")).body == b"hinted", "HTTP/1.0 knows no such thing"


@PLAIN_AND_CHECKED
def test_fields_keep_their_order_their_case_and_their_repetition(served: Served, stage: str) -> None:
    fields = [
        ("Content-Type", "text/plain"),
        ("X-b", "1"),
        ("x-A", "caf\xe9"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]
    answer = asked(served, stage, "200 OK", *fields)
    assert [field for field in answer.fields if field in fields] == fields


@PLAIN_AND_CHECKED
def test_date_and_server_are_added_once(served: Served, stage: str) -> None:
    answer = asked(served, stage, "200 OK", ("Content-Type", "text/plain"))
    date = answer.value("Date")
    assert date is not None and re.fullmatch(
        r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
        r" \d\d:\d\d:\d\d GMT",
        date,
    )
    assert len(answer.values("Server")) == 1


@PLAIN_AND_CHECKED
def test_date_and_server_of_the_application_win(served: Served, stage: str) -> None:
    date = "Tue, 15 Nov 1994 08:12:31 GMT"
    answer = asked(served, stage, "200 OK", ("Content-Type", "text/plain"), ("Date", date), ("Server", "its own"))
    assert (answer.value("Date"), answer.value("Server")) == (date, "its own")


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_a_body_has_none(served: Served, stage: str, status: str) -> None:
    server = served(stage, "--threads", "4")
    query = urlencode([("status", status), ("X-A", "1")])
    body = "" if stage == "stage:checked" else "&body=a+body+that+must+not+be+sent"
    with conversation(server.port, get(f"/responses/asked?{query}{body}") + get("/responses/one")) as opened:
        answer = opened.read_response()
        assert f"{answer.status} {answer.reason}" == status
        assert answer.value("Transfer-Encoding") is None
        assert opened.read_response().body == b"one piece"


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("body", ["", "a body that must not be sent"])
def test_a_205_says_that_it_has_no_body(served: Served, stage: str, body: str) -> None:
    server = served(stage, "--threads", "4")
    query = urlencode([("status", "205 Reset Content"), ("Content-Type", "text/plain"), ("body", body)])
    with conversation(server.port, get(f"/responses/asked?{query}") + get("/responses/one")) as opened:
        answer = opened.read_response()
        assert (answer.status, answer.value("Content-Length"), answer.body) == (205, "0", b"")
        assert opened.read_response().body == b"one piece"


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("name", ["one", "generator", "written", "as_tuple"])
def test_head_is_answered_without_a_body(served: Served, stage: str, name: str) -> None:
    server = served(stage, "--threads", "4")
    request = get(f"/responses/{name}", method="HEAD") + get("/responses/one")
    with conversation(server.port, request) as opened:
        answer = opened.read_response(head=True)
        assert answer.status == 200
        if name == "one":
            assert answer.value("Content-Length") in {"9", None}
        assert opened.read_response().body == b"one piece"


@PLAIN_AND_CHECKED
def test_the_content_length_of_a_head_response_is_the_applications(served: Served, stage: str) -> None:
    answer = asked(
        served, stage, "200 OK", ("Content-Type", "text/plain"), ("Content-Length", "12345"), body="", method="HEAD"
    )
    assert answer.value("Content-Length") == "12345"


def test_close_from_the_application_is_honoured(served: Served) -> None:
    query = urlencode([("status", "200 OK"), ("Connection", "close"), ("body", "last")])
    server = served("stage:application", "--threads", "4")
    with conversation(server.port, get(f"/responses/asked?{query}") + get("/responses/one")) as opened:
        answer = opened.read_response()
        assert answer.closes and answer.body == b"last"
        opened.expect_end()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Transfer-Encoding", "chunked"),
        ("Transfer-Encoding", "gzip"),
        ("Keep-Alive", "timeout=5"),
        ("Upgrade", "websocket"),
        ("TE", "trailers"),
        ("Trailer", "X-A"),
        ("Connection", "keep-alive, X-Other"),
    ],
)
def test_hop_by_hop_fields_of_the_application_are_dropped_and_logged(served: Served, name: str, value: str) -> None:
    server = served("stage:application", "--threads", "4")
    query = urlencode([("status", "200 OK"), (name, value), ("body", "text")])
    with conversation(server.port, get(f"/responses/asked?{query}") + get("/responses/one")) as opened:
        answer = opened.read_response()
        assert value not in answer.values(name)
        assert answer.body == b"text"
        assert opened.read_response().body == b"one piece"
    server.wait_for_log(f"(?i){name}")


def test_proxy_authenticate_goes_out_as_a_407_must_have_it(served: Served) -> None:
    """RFC 9110 11.7.1, where PEP 3333 by its older list of hop-by-hop fields would forbid it."""
    answer = asked(served, "stage:application", "407 Proxy Authentication Required", ("Proxy-Authenticate", "Basic"))
    assert answer.value("Proxy-Authenticate") == "Basic"


def test_every_hop_by_hop_field_that_is_dropped_is_named(serve: Serve) -> None:
    server = serve("stage:application")
    query = urlencode([("status", "200 OK"), ("Keep-Alive", "1"), ("Upgrade", "h2c"), ("body", "text")])
    for _ in range(3):
        assert send(server.port, get(f"/responses/asked?{query}")).body == b"text"
    for name in ["Keep-Alive", "Upgrade"]:
        server.wait_for_log(f"(?i)field.*{name}")
        assert count_of(server, f"(?i){name}") == 1, "one log line a name"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("list_subclass", b"from its iterator"),
        ("subclasses", b"subclassed"),
        ("indexed", b"012"),
        ("keywords", b"by keyword"),
        ("other_thread", b"the body"),
        ("both_ways", b"began the body"),
        ("changes_fields", b"changed"),
        ("asks_itself", b"it said: one piece"),
        ("fails_after_the_last_byte", b"whole"),
        ("piped", b"through a pipe"),
        ("zipped", b"unzipped" * 1000),
    ],
)
@pytest.mark.parametrize("flags", [(), ("--streaming-uploads",)])
def test_unusual_applications_are_served_too(served: Served, name: str, body: bytes, flags: tuple[str, ...]) -> None:
    server = served("stage:application", "--threads", "4", *flags)
    answer = send(server.port, post(f"/odd/{name}", b"the body"))
    assert (answer.status, answer.body) == (200, body), server.log()
    assert answer.value("X-Late") is None


@pytest.mark.parametrize(
    ("path", "code", "is_logged"),
    [
        ("forks?ends", 0, False),
        ("forks?exits", 0, False),
        ("forks?exits_with_3", 3, False),
        ("forks?raises", 1, True),
        ("forks?returns", 1, True),
        ("forks_between?yields", 1, True),
        ("forks_between?writes", 1, True),
    ],
)
def test_a_child_that_the_application_forks_answers_nobody(serve: Serve, path: str, code: int, is_logged: bool) -> None:
    server = serve("stage:application")
    with conversation(server.port, get(f"/odd/{path}") + get("/responses/one")) as opened:
        assert opened.read_response().body.endswith(b"the child ended with %d" % code)
        assert opened.read_response().body == b"one piece", "the parent alone answers, and goes on"
    if is_logged:
        server.wait_for_log("os._exit")
    assert ("os._exit" in server.log()) == is_logged


def test_an_application_can_recurse_as_deep_as_the_interpreter_lets_it(serve: Serve) -> None:
    """Up to 3.13 CPython counts, and takes the stack to be a main thread's: on a smaller one the process ends."""
    server = serve("stage:application", "--threads", "4")
    with conversation(server.port, get("/odd/recurses")) as first, conversation(server.port) as second:
        second.send(get("/odd/recurses"))
        assert first.read_response().body == b"RecursionError"
        assert second.read_response().body == b"RecursionError"


def test_what_an_application_kept_cannot_touch_a_later_response(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "1")
    with conversation(server.port, get("/odd/keep") + get("/odd/use_kept") + get("/responses/one")) as opened:
        assert opened.read_response().body == b"kept"
        answer = opened.read_response()
        assert answer.body == b"ValueError ValueError ValueError"
        assert answer.value("X-Mixed-Up") is None
        assert opened.read_response().body == b"one piece"


# Content-Length


@PLAIN_AND_CHECKED
def test_a_body_of_the_announced_length_keeps_the_connection(served: Served, stage: str) -> None:
    with conversation(served(stage, "--threads", "4").port) as opened:
        for length in ["25", "0", "10"]:
            opened.send(get(f"/responses/sized?{length},{length}"))
            answer = opened.read_response()
            assert (answer.value("Content-Length"), len(answer.body)) == (length, int(length))


def test_a_body_shorter_than_announced_ends_the_connection_and_is_never_padded(served: Served) -> None:
    server = served("stage:application", "--threads", "4")
    with pytest.raises(Truncated) as cut:
        send(server.port, get("/responses/sized?100,25"))
    assert cut.value.body == b"0123456789" * 2 + b"01234"
    server.wait_for_log("(?i)content-length|content length|shorter|less|missing|short")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_body_longer_than_announced_is_cut_and_logged(served: Served, version: str) -> None:
    server = served("stage:application", "--threads", "4")
    request = get("/responses/sized?15,1000", "Connection: keep-alive", version=version)
    with conversation(server.port, request) as opened:
        answer = opened.read_response()
        assert answer.body == b"012345678901234"
        if answer.closes:
            opened.expect_end()
        else:
            opened.send(get("/responses/one"))
            assert opened.read_response().body == b"one piece"
    server.wait_for_log(r"sized\?15,1000|(?i:content-length|excess|more than|beyond)")


# Errors


@pytest.mark.parametrize("length", ["", "1000"])
def test_an_error_in_the_middle_can_be_told_from_the_end(served: Served, length: str) -> None:
    server = served("stage:application", "--threads", "4")
    with pytest.raises(Truncated) as cut:
        send(server.port, get(f"/responses/breaks?{length}"))
    assert cut.value.body == b"the first piece"
    server.wait_for_log("RuntimeError: a secret in the middle of the body")


def test_an_error_in_the_middle_of_a_body_that_the_end_would_end_is_a_reset(served: Served) -> None:
    """On HTTP/1.0 an orderly end would make what came look whole."""
    server = served("stage:application", "--threads", "4")
    with conversation(server.port, get("/responses/breaks?", version="1.0")) as opened:
        assert opened.read_head().status == 200
        with pytest.raises(ConnectionResetError):
            opened.read_to_end()


@pytest.mark.parametrize("name", ["returns_str", "starts_twice", "status?no_reason", "fields?tuple"])
def test_the_validator_is_really_between(serve: Serve, name: str) -> None:
    server = serve("stage:checked")
    assert send(server.port, get(f"/misuse/{name}")).status == 500
    server.wait_for_log(r"wsgiref/validate\.py|AssertionError")


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("raises", "RuntimeError: a secret before the head"),
        ("raises_after_start", "RuntimeError: a secret after start_response"),
        ("raises_first", "RuntimeError: a secret before the first piece"),
        ("exits", "SystemExit: 7"),
        ("interrupts", "KeyboardInterrupt"),
        ("leaves", "GeneratorExit"),
        ("recurses", "RecursionError"),
        ("unspeakable", "Unspeakable"),
        ("never_starts", "start_response"),
        ("starts_twice", "start_response"),
        ("starts_late", "start_response"),
        ("returns_none", "None"),
        ("returns_str", "str"),
        ("returns_int", "int"),
        ("returns_bytes", r"put it into a list, \[body\]"),
        ("is_asynchronous", "ASGI"),
        ("int_items", "item 1 of .* type int"),
        ("str_items", "item 0 of .* type str"),
        ("none_items", "None"),
        ("writes_str", "str"),
        ("bad_exc_info", "exc_info"),
    ],
)
def test_a_fault_of_the_application_is_500_told_in_the_log_and_to_nobody_else(
    serve: Serve, name: str, logged: str
) -> None:
    server = serve("stage:application")
    with conversation(server.port, get(f"/misuse/{name}?unmistakable")) as opened:
        answer = opened.read_response()
    assert (answer.status, answer.reason) == (500, "Internal Server Error")
    assert b"secret" not in answer.body and b"Traceback" not in answer.body and b"misuse" not in answer.body
    server.wait_for_log(logged)
    server.wait_for_log(rf"GET /misuse/{name}\?unmistakable")
    assert send(server.port, get("/responses/one")).body == b"one piece", "the next request is served"
    assert count_of(server, rf"GET /misuse/{name}\?unmistakable") == 1, server.log()
    assert count_of(server, r"Traceback \(most recent call last\)") <= 1, server.log()


def test_a_traceback_names_the_line_of_the_application(serve: Serve) -> None:
    server = serve("stage:application")
    send(server.port, get("/misuse/raises"))
    server.wait_for_log("RuntimeError: a secret before the head")
    assert count_of(server, r"Traceback \(most recent call last\)") == 1
    assert re.search(r'File ".*misuse\.py", line \d+, in raises', server.log())


@pytest.mark.parametrize("case", BROKEN_STATUSES)
def test_a_status_that_must_not_go_out_does_not(served: Served, case: str) -> None:
    refused(served("stage:application", "--threads", "4"), f"/misuse/status?{case}")


@pytest.mark.parametrize("case", BROKEN_FIELDS)
def test_a_field_that_must_not_go_out_does_not(served: Served, case: str) -> None:
    refused(served("stage:application", "--threads", "4"), f"/misuse/fields?{case}")


def refused(server: Server, path: str) -> None:
    with conversation(server.port, get(path, "Connection: close")) as opened:
        raw = opened.read_to_end()
    assert raw.startswith(b"HTTP/1.1 500 Internal Server Error\r\n"), raw
    assert b"Injected" not in raw and b"the body" not in raw
    server.wait_for_log(f"GET {re.escape(path)}")


# close()


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ["several", "no_body"])
def test_close_is_called_once_at_the_end(served: Served, stage: str, method: str, name: str) -> None:
    server = served(stage, "--threads", "4")
    mark = f"{name}-{method}-{stage}"
    assert send(server.port, get(f"/closing/{name}?{mark}", method=method), head=method == "HEAD").status in {200, 204}
    assert send(server.port, get(f"/closing/count?{mark}")).body == b"1"


@pytest.mark.parametrize(
    "name", ["failing", "failing_first", "excess", "short", "bad_item", "never_starts", "close_fails"]
)
def test_close_is_called_once_whatever_went_wrong(served: Served, name: str) -> None:
    server = served("stage:application", "--threads", "4")
    with conversation(server.port, get(f"/closing/{name}?{name}", "Connection: close")) as opened:
        opened.read_to_end()
    assert send(server.port, get(f"/closing/count?{name}")).body == b"1"


def test_a_failing_close_comes_too_late_to_spoil_the_body(served: Served) -> None:
    server = served("stage:application", "--threads", "4")
    assert send(server.port, get("/closing/close_fails?spoilt")).body == b"whole"
    server.wait_for_log("RuntimeError: close\\(\\) failed")


@PLAIN_AND_CHECKED
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_close_is_called_once_when_the_client_has_gone(served: Served, stage: str, leave: str) -> None:
    server = served(stage, "--threads", "4")
    mark = f"gone-{stage}-{leave}"
    opened = conversation(server.port, get(f"/closing/endless?{mark}"))
    assert opened.read_head().status == 200
    opened.read_chunk()
    opened.close() if leave == "close" else opened.reset()
    assert send(server.port, get(f"/closing/count?{mark}")).body == b"1"
    assert "endless" not in re.sub(r"File .*", "", server.log()), "a client that goes is no fault of the application"


# Files


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_file_is_sent_whole(filing: Server, file: Path, version: str) -> None:
    answer = send(filing.port, get("/files/whole", version=version))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(file.read_bytes()).digest()


def test_a_files_length_is_announced_by_the_application_and_kept(filing: Server, file: Path) -> None:
    content = file.read_bytes()
    with conversation(filing.port) as opened:
        opened.send(get(f"/files/sized?{len(content)}"))
        answer = opened.read_response()
        assert (answer.value("Content-Length"), answer.body) == (str(len(content)), content)
        opened.send(get("/responses/one"))
        assert opened.read_response().body == b"one piece"


def test_no_more_of_a_file_is_sent_than_was_announced(filing: Server, file: Path) -> None:
    with conversation(filing.port, get("/files/sized?1000", "Connection: close")) as opened:
        assert opened.read_response().body == file.read_bytes()[:1000]
        opened.expect_end()


def test_a_file_shorter_than_announced_ends_the_connection(filing: Server, file: Path) -> None:
    content = file.read_bytes()
    with pytest.raises(Truncated) as cut:
        send(filing.port, get(f"/files/sized?{len(content) + 1}"))
    assert cut.value.body == content


@pytest.mark.parametrize("name", ["positioned", "after_read"])
@pytest.mark.parametrize("position", [1, 1000, 2_499_999, 2_500_000])
def test_a_file_is_sent_from_its_position(filing: Server, file: Path, name: str, position: int) -> None:
    assert send(filing.port, get(f"/files/{name}?{position}")).body == file.read_bytes()[position:]


@pytest.mark.parametrize("name", ["iterated", "written_first"])
def test_a_wrapper_is_an_iterable_and_goes_with_write(filing: Server, file: Path, name: str) -> None:
    before = b"written first, " if name == "written_first" else b""
    assert send(filing.port, get(f"/files/{name}")).body == before + file.read_bytes()


def test_file_likes_without_a_descriptor_are_sent_by_blocks(filing: Server, file: Path) -> None:
    assert send(filing.port, get("/files/in_memory")).body == b"in memory" * 10_000
    assert send(filing.port, get("/files/only_read")).body == file.read_bytes()[::-1]


def test_head_of_a_file_sends_none_of_it(filing: Server) -> None:
    request = get("/files/sized?2500000", method="HEAD") + get("/responses/one")
    with conversation(filing.port, request) as opened:
        assert opened.read_response(head=True).value("Content-Length") == "2500000"
        assert opened.read_response().body == b"one piece"


def test_a_file_that_cannot_be_read_is_a_fault_of_the_application(filing: Server) -> None:
    assert send(filing.port, get("/files/failing")).status == 500
    filing.wait_for_log("OSError: the disk is gone")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_a_file_that_says_it_is_empty_is_read(filing: Server) -> None:
    assert send(filing.port, get("/files/of_proc")).body.startswith(b"Name:")


@pytest.mark.parametrize(
    ("name", "logged"), [("of_text", "open it in binary mode"), ("write_only", "UnsupportedOperation")]
)
def test_a_file_that_gives_no_bytes_is_a_fault_that_is_explained(
    serve: Serve, file: Path, name: str, logged: str
) -> None:
    server = serve("stage:application", env={"FILE": str(file)})
    assert send(server.port, get(f"/files/{name}")).status == 500
    server.wait_for_log(logged)


def test_nothing_of_a_file_is_sent_where_nothing_is_announced(serve: Serve, file: Path) -> None:
    server = serve("stage:application", env={"FILE": str(file)})
    with conversation(server.port, get("/files/sized?0") + get("/files/in_memory_sized?0")) as opened:
        assert opened.read_response().body == b""
        assert opened.read_response().body == b""
    assert "Content-Length" not in server.log(), "more in a file than was announced is no fault"


def test_a_file_that_becomes_shorter_while_it_is_sent_ends_the_connection(serve: Serve, file: Path) -> None:
    server = serve("stage:application", env={"FILE": str(file)})
    with conversation(server.port, get("/files/shrinking")) as opened:
        assert opened.read_head().value("Content-Length") == str(1 << 28)
        assert send(server.port, get("/files/shrink")).body == b"shrunk"
        with pytest.raises((Truncated, ConnectionResetError)):
            opened.read_exactly(1 << 28, "a body")


def test_every_file_is_closed_after_it_was_sent(serve: Serve, file: Path) -> None:
    server = serve("stage:application", env={"FILE": str(file)})
    for path in ["whole", "sized?10", "sized?9999999", "positioned?5", "written_first", "in_memory"]:
        for method in ["GET", "HEAD"]:
            with conversation(server.port, get(f"/files/{path}", "Connection: close", method=method)) as opened:
                opened.read_to_end()
    assert send(server.port, get("/files/left_open")).body == b"0"
