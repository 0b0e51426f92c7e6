"""Sends a case over a socket and reads what comes back. Judges nothing."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

from corpus import Case

# Without a byte for so long, a server is taken to say no more.
SILENCE = 4.0
# A connection that is answered, but never ends, ends here.
TOGETHER = 10.0

# Whatever minor version it claims: the tests of our own responses are strict, this reader is not.
STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")


@dataclass(frozen=True)
class Answer:
    """A final response: its status, and what the application saw if the application made it."""

    status: int
    by_application: bool
    saw: dict[str, Any] | None = None


@dataclass(frozen=True)
class Heard:
    """All that a server said on a connection."""

    answers: list[Answer]
    # bytes that are no response, or a part of one
    rest: bytes
    ended: bool


def play(case: Case, port: int) -> Heard:
    """Sends a case whole. A request stands behind one that must be refused; after the answers of one that must be
    accepted our side is closed."""
    requests = case.requests
    sent = case.bytes
    if not case.accepted:
        sent += f"GET {case.mark} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n".encode()
    received = b""
    until = time.monotonic() + TOGETHER
    with socket.create_connection(("127.0.0.1", port), SILENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # it may have refused and closed before it has all
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        ended = finished = False
        while not ended and time.monotonic() < until:
            if case.accepted and not finished and len(_read(received, case, ended=False)[0]) >= len(requests):
                finished = True
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                break
            except ConnectionError:
                piece = b""
            received += piece
            ended = not piece
    answers, rest = _read(received, case, ended)
    return Heard(answers, rest, ended)


def ask(port: int, path: str) -> Any:
    """What the application says to a plain GET."""
    with socket.create_connection(("127.0.0.1", port), SILENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
    taken = _take(received, to_head=False, ended=True)
    if taken is None or not taken.by_application:
        raise ConnectionError(f"no answer to {path}: {received[:80]!r}")
    return json.loads(taken.body)


@dataclass(frozen=True)
class _Taken:
    """The first response of some bytes."""

    status: int
    by_application: bool
    body: bytes
    end: int


def _read(received: bytes, case: Case, ended: bool) -> tuple[list[Answer], bytes]:
    """The complete final responses, and what is left."""
    requests = case.requests
    answers: list[Answer] = []
    while received:
        number = len(answers)
        to_head = requests[number].startswith("HEAD ") if number < len(requests) else False
        if number == 0 and case.bytes.startswith(b"HEAD "):
            to_head = True
        try:
            taken = _take(received, to_head, ended)
        except ValueError:
            # a length or a chunk's size that is none
            break
        if taken is None:
            break
        received = received[taken.end :]
        if taken.status >= 200:
            saw = json.loads(taken.body) if taken.by_application and taken.body else None
            answers.append(Answer(taken.status, taken.by_application, saw))
    return answers, received


def _take(received: bytes, to_head: bool, ended: bool) -> _Taken | None:
    """A response by its framing (RFC 9112 6.3), or None where it is not whole."""
    status_line = STATUS_LINE.match(received)
    head, gap, rest = received.partition(b"\r\n\r\n")
    if status_line is None or not gap:
        return None
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    status = int(status_line[1])
    start = len(head) + len(gap)
    body: bytes | None
    if to_head or status < 200 or status in (204, 304):
        body, end = b"", start
    elif fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        body, end = _dechunk(received, start)
    elif b"content-length" in fields:
        end = start + int(fields[b"content-length"])
        body = received[start:end] if len(received) >= end else None
    else:
        body, end = (rest if ended else None), len(received)
    if body is None:
        return None
    return _Taken(status, fields.get(b"answered-by") == b"application", body, end)


def _dechunk(received: bytes, at: int) -> tuple[bytes | None, int]:
    """A chunked body and where it ends; None where it is not whole."""
    body = b""
    while (line_end := received.find(b"\r\n", at)) >= 0:
        size = int(received[at:line_end].partition(b";")[0], 16)
        at = line_end + 2
        if len(received) < at + size + 2:
            break
        if size == 0:
            return body, at + 2
        body += received[at : at + size]
        at += size + 2
    return None, at
