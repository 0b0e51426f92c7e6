"""The corpus through h11's server side: where it judges otherwise than we do, a table says why we mean it.

What we say of a case is in the index, and tests/test_corpus.py holds the running server to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import h11
import pytest

from tests.test_corpus import ACCEPTED, REFUSED, Case


@dataclass(frozen=True)
class Difference:
    """Cases (a pattern for their names, and our verdict: a fault or `ok`) that h11 judges otherwise, and why."""

    names: str
    ours: str
    reason: str


DIFFERENCES = [
    # h11 is stricter.
    Difference("chunk-extension-bad-space", "ok", "RFC 9112 7.1.1: white space may stand around a `;` and a `=`"),
    Difference("empty-line*", "ok", "RFC 9112 2.2: empty lines before a request line are to be skipped"),
    Difference("length-many-zeros", "ok", "RFC 9110 8.6: 1*DIGIT, leading zeros or not; h11 takes 20 digits at most"),
    # RFC 9112 9.3
    Difference("connection-1-0-keep-alive", "ok", "RFC 9112 9.3: HTTP/1.0 may ask to stay, which h11 does not offer"),
    # We are stricter about where a message ends.
    Difference("both-*", "ContentLengthWithTransferEncoding", "RFC 9112 6.1: may be refused, and is likely an attack"),
    Difference("websocket-smuggling", "ContentLengthWithTransferEncoding", "RFC 9112 6.1: as above"),
    Difference(
        "coding-1-0*", "TransferEncodingInHttp10", "RFC 9112 6.1: framing in HTTP/1.0 that must be taken as faulty"
    ),
    Difference("length-bad-list*", "ContentLength", "RFC 9110 8.6: a list of equal lengths may be refused"),
    Difference("length-twice-same", "ContentLengthRepeated", "RFC 9112 6.3: equal lengths may be refused"),
    Difference(
        "*-lf*", "BareLineFeed", "RFC 9112 2.2: LF alone may end a line, and whoever disagrees is smuggled past"
    ),
    Difference("*fold*", "Folding", "RFC 9112 5.2: a server must refuse a folded line, or unfold it"),
    Difference(
        "chunk-extension-*", "ChunkExtension", "RFC 9112 7.1.1: the grammar of extensions, which h11 does not read"
    ),
    Difference(
        "chunk-size-trailing-*", "ChunkExtension", "RFC 9112 7.1.1: white space stands before an extension only"
    ),
    Difference("chunk-extension-cr", "ChunkLineEnd", "RFC 9112 2.2: a CR without LF ends nothing"),
    Difference(
        "chunk-size-seventeen-digits", "ChunkSize", "RFC 9112 7.1: sizes must not overflow; 16 digits are 64 bits"
    ),
    # We are stricter about what a message says.
    Difference("trailer-forbidden-*", "ForbiddenTrailer", "RFC 9110 6.5.1: h11 hands these on as trailers"),
    Difference("field-value-*", "FieldValue", "RFC 9110 5.5: control bytes are invalid; h11 stops the worst of them"),
    Difference("host-bad-*", "Host", "RFC 9112 3.2: an invalid Host is answered with 400; h11 leaves it to others"),
    Difference("target-absolute-bad-host-field", "Host", "RFC 9112 3.2: likewise, although the target wins"),
    Difference("target-absolute-*", "Authority", "RFC 9110 4.2.1: h11 hands targets on unread"),
    Difference("target-*", "PercentEncoding", "RFC 3986 2.1: h11 hands targets on unread"),
    Difference("target-*", "TargetForm", "RFC 9112 3.2: h11 hands targets on unread"),
    Difference("target-*", "TargetByte", "RFC 9112 3.2: h11 hands targets on unread"),
    Difference("expect-*", "Expectation", "RFC 9110 10.1.1: may be answered with 417; h11 leaves it to others"),
    Difference("connect*", "Connect", "RFC 9110 9.3.6: this server opens no tunnels; h11 leaves it to others"),
    Difference("version-*", "Version", "RFC 9110 15.6.6: h11 leaves it to others"),
    Difference("http-0-9-with-version", "Version", "RFC 9110 15.6.6: h11 leaves it to others"),
    Difference("http2-preface", "Version", "RFC 9113 3.4: h11 reads a request before it sees the second line"),
    # Our limits, which h11 does not have, or has for what it waits for only.
    Difference("limit-request-line", "RequestLineTooLong", "RFC 9112 3: a limit"),
    Difference("limit-field", "FieldTooLong", "RFC 9110 5.4: a limit"),
    Difference("limit-fields", "TooManyFields", "RFC 6585 5: a limit"),
    Difference("limit-head", "HeadTooLarge", "RFC 6585 5: a limit"),
    Difference("chunk-extension-long*", "ChunkExtensionsTooLong", "RFC 9112 7.1.1: a limit, and one that is asked for"),
    Difference("trailer-*", "TrailersTooLong", "RFC 9112 7.1.2: a limit"),
]


def ours(case: Case) -> tuple[list[str], str]:
    """The requests that we understand, and `ok` or the fault that ends them."""
    return case.requests, "ok" if case.expected == "ok" else case.outcome.split(", ")[-1]


def theirs(sent: bytes) -> tuple[list[str], str]:
    """The requests that h11 understands, and `ok`, what it says against the rest, or that it waits for more."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=32768)
    connection.receive_data(sent)
    understood: list[str] = []
    try:
        for request in requests(connection):
            understood.append(request)
            # A tunnel is refused, so that the connection goes on.
            connection.send(h11.Response(status_code=405, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE:
                break
            connection.start_next_cycle()
    except h11.RemoteProtocolError as fault:
        return understood, str(fault)
    waits = connection.their_state is h11.SEND_BODY or (
        connection.their_state is h11.IDLE and connection.trailing_data[0] != b""
    )
    return understood, "incomplete" if waits else "ok"


def requests(connection: h11.Connection) -> Iterator[str]:
    """Whole requests, each in the words of the index."""
    start, length = "", 0
    while True:
        match connection.next_event():
            case h11.Request(method=method, target=target):
                shown = target.decode("latin-1")
                start = f"{method.decode()} {shown if len(shown) <= 80 else shown[:16] + '...'}"
                length = 0
            case h11.Data(data=data):
                length += len(data)
            case h11.EndOfMessage():
                yield f"{start} {length}"
            case _:
                return


def judged_otherwise(case: Case) -> bool:
    understood, end = ours(case)
    found, their_end = theirs(case.path.read_bytes())
    return found != understood or (end == "ok") != (their_end == "ok")


@pytest.mark.parametrize("case", [*REFUSED, *ACCEPTED], ids=lambda case: case.name)
def test_where_h11_judges_otherwise_we_mean_it(case: Case) -> None:
    _, end = ours(case)
    reasons = [row for row in DIFFERENCES if fnmatchcase(case.path.stem, row.names) and row.ours == end]
    if judged_otherwise(case):
        assert reasons, f"{case.rule}: we say {ours(case)}, h11 {theirs(case.path.read_bytes())}"


def test_every_explanation_explains_something() -> None:
    otherwise = [case for case in [*REFUSED, *ACCEPTED] if judged_otherwise(case)]
    for row in DIFFERENCES:
        assert any(fnmatchcase(case.path.stem, row.names) and ours(case)[1] == row.ours for case in otherwise), row
        assert row.reason.startswith("RFC ")
