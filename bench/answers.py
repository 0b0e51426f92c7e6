"""Asks a server for a scenario's answer and compares it: a fast wrong answer is worth nothing. Measures nothing."""

from __future__ import annotations

import contextlib
import io
import socket
from typing import IO, TYPE_CHECKING

from environment import WrongAnswerError
from scenarios import Scenario

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A server that nothing else is asked of answers at once; uWSGI ends a body of unknown length after four seconds.
PATIENCE = 3.0


def check(scenario: Scenario, port: int, length_only: bool = False, patience: float = PATIENCE) -> None:
    """Raises WrongAnswerError unless every request of a batch is answered as it should be."""
    with socket.create_connection(("127.0.0.1", port), patience) as connection:
        number = 1
        try:
            connection.sendall(request(scenario, port) * scenario.pipelined)
            stream = connection.makefile("rb")
            for number in range(1, scenario.pipelined + 1):
                status, body = read_answer(stream)
                # The kernel's floor has no application, and so only the length of its answer.
                right = len(body) == len(scenario.answer) if length_only else body == scenario.answer
                if status != 200 or not right:
                    what = f"{status}, {len(body):,} bytes where {len(scenario.answer):,} are right"
                    raise WrongAnswerError(f"answer {number} of {scenario.pipelined}: {what}")
        except (OSError, ValueError, KeyError) as error:
            raise WrongAnswerError(f"answer {number} of {scenario.pipelined} did not come: {error}") from error


# What plain:gated gives: to whom nobody listens, to whom a word was said, and to whom none was said in time.
FIRST = b"before the gate, "
OPEN, OPENED, SHUT = FIRST + b"which nobody keeps", FIRST + b"which was opened", FIRST + b"which stayed shut"


def streams(port: int) -> bool:
    """Whether the first piece of plain:gated comes while it waits before its second. Raises WrongAnswerError."""
    with (
        socket.create_server(("127.0.0.1", 0)) as gate,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as connection,
    ):
        gate.settimeout(PATIENCE)
        head = f"GET /?{gate.getsockname()[1]} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        try:
            connection.sendall(head.encode())
            status, body = read_answer(io.BufferedReader(_Opening(connection, gate)))
        except (OSError, ValueError) as error:
            raise WrongAnswerError(f"the answer in two pieces did not come: {error}") from error
    if status != 200 or body not in (OPENED, SHUT):
        raise WrongAnswerError(f"the answer in two pieces was {status}, {body[:80]!r}")
    return body == OPENED


class _Opening(io.RawIOBase):
    """What comes on a connection. Says the word at the gate as soon as the first piece is there."""

    def __init__(self, connection: socket.socket, gate: socket.socket) -> None:
        self.connection, self.gate = connection, gate
        self.seen: bytes | None = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = self.connection.recv_into(buffer)
        if self.seen is not None:
            self.seen += memoryview(buffer)[:count]
            if FIRST in self.seen:
                self.seen = None
                keeper, _ = self.gate.accept()
                # Who was not let through in time is gone.
                with keeper, contextlib.suppress(OSError):
                    keeper.sendall(b"!")
        return count


def request(scenario: Scenario, port: int) -> bytes:
    """The request that wrk's script sends, without the fields that no application looks at."""
    method = "POST" if scenario.body else "GET"
    length = f"Content-Length: {len(scenario.body)}\r\n" if scenario.body else ""
    head = f"{method} {scenario.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}\r\n"
    return head.encode() + scenario.body


def read_answer(stream: IO[bytes]) -> tuple[int, bytes]:
    """One response. Its body is delimited by Content-Length, chunked, or by the end of the connection."""
    line = stream.readline()
    if not line:
        raise ValueError("the connection was closed")
    status = int(line.split()[1])
    fields: dict[bytes, bytes] = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    if fields.get(b"transfer-encoding", b"").lower() != b"chunked":
        length = fields.get(b"content-length")
        return status, stream.read() if length is None else stream.read(int(length))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return status, body
