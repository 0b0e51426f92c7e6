"""Conversations over raw sockets, and a reader that takes a response to the letter of RFC 9112.

Every byte that a test sends or reads by itself goes through here: no test opens its own socket.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

# Long enough for a debug build on a busy machine; nothing that works waits for it.
DEADLINE = 30.0

STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)\r\n")
FIELD_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*((?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[\t ]*\r\n"
)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")


class Malformed(AssertionError):
    """The server sent something that RFC 9112 does not allow."""


class Truncated(AssertionError):
    """The connection ended before the response did."""

    def __init__(self, what: str, body: bytes = b"") -> None:
        super().__init__(f"the connection ended inside {what}, after {len(body)} bytes of body")
        self.body = body


@dataclass(frozen=True)
class Response:
    """A response as it came: fields in order, the body without its framing."""

    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.fields if found.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The one value of a field; a second line of the same name is a fault."""
        values = self.values(name)
        if len(values) > 1:
            raise Malformed(f"{name} stands {len(values)} times: {values}")
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        options = [option.strip().lower() for value in self.values("Connection") for option in value.split(",")]
        if self.version == "HTTP/1.0":
            return "keep-alive" not in options
        return "close" in options


class Conversation:
    """One connection to the server."""

    def __init__(self, target: int | str | Path, receive_buffer: int | None = None) -> None:
        if isinstance(target, int):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            address: tuple[str, int] | str = ("127.0.0.1", target)
        else:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            address = str(target)
        self._socket.settimeout(DEADLINE)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise
        if isinstance(target, int):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def secure(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """Makes a TLS handshake; from here on all bytes are encrypted."""
        secured = context.wrap_socket(self._socket, server_hostname="localhost", session=session)
        self._socket = secured
        return secured

    @property
    def local_port(self) -> int:
        port = self._socket.getsockname()[1]
        assert isinstance(port, int)
        return port

    def send(self, *pieces: bytes) -> None:
        """Sends each piece by a write of its own."""
        for piece in pieces:
            self._socket.sendall(piece)

    def send_while_it_lasts(self, piece: bytes) -> None:
        """Sends to a server that may have stopped listening, as one that refused the head does."""
        try:
            self._socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def finish_sending(self) -> None:
        """Closes this side's direction only."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Ends the connection by a reset, as a client that crashed does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._socket.close()

    def receive(self, most: int = 65536) -> bytes:
        """What has come, at least a byte; empty at the end of the connection."""
        if self._buffer:
            taken, self._buffer = self._buffer[:most], self._buffer[most:]
            return taken
        return self._socket.recv(most)

    def read_to_end(self) -> bytes:
        """Everything up to the end of the connection."""
        pieces = []
        while piece := self.receive():
            pieces.append(piece)
        return b"".join(pieces)

    def read_line(self, what: str) -> bytes:
        while b"\n" not in self._buffer:
            piece = self._socket.recv(65536)
            if not piece:
                raise Truncated(what)
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def read_exactly(self, count: int, what: str) -> bytes:
        pieces: list[bytes] = []
        missing = count
        while missing:
            piece = self.receive(min(missing, 1 << 20))
            if not piece:
                raise Truncated(what, b"".join(pieces))
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def read_chunk(self) -> bytes:
        """One chunk of a chunked body; empty is the last one, whose trailer section is read too."""
        line = self.read_line("a chunk's size")
        size = CHUNK_LINE.fullmatch(line)
        if size is None:
            raise Malformed(f"chunk size {line!r}")
        length = int(size[1], 16)
        if length == 0:
            if (end := self.read_line("the trailer section")) != b"\r\n":
                raise Malformed(f"trailer section {end!r}")
            return b""
        data = self.read_exactly(length, "a chunk")
        if (end := self.read_exactly(2, "a chunk's end")) != b"\r\n":
            raise Malformed(f"a chunk of {length} ends with {end!r}")
        return data

    def read_head(self) -> Response:
        """A response's head; its body is still to be read."""
        line = self.read_line("the status line")
        status = STATUS_LINE.fullmatch(line)
        if status is None:
            raise Malformed(f"status line {line!r}")
        fields = []
        while (line := self.read_line("the head")) != b"\r\n":
            found = FIELD_LINE.fullmatch(line)
            if found is None:
                raise Malformed(f"field line {line!r}")
            fields.append((found[1].decode("latin-1"), found[2].decode("latin-1")))
        return Response(status[1].decode(), int(status[2]), status[3].decode("latin-1"), fields)

    def read_response(self, head: bool = False) -> Response:
        """A response, its body by its framing. `head` says that the request was HEAD."""
        response = self.read_head()
        coding = response.value("Transfer-Encoding")
        length = response.value("Content-Length")
        if coding is not None and length is not None:
            raise Malformed("Content-Length and Transfer-Encoding together (RFC 9112 6.2)")
        if coding is not None and coding.lower() != "chunked":
            raise Malformed(f"transfer coding {coding!r}")
        if length is not None and not re.fullmatch("[0-9]+", length):
            raise Malformed(f"content length {length!r}")
        if response.status < 200 or response.status == 204:
            if coding is not None or length is not None:
                raise Malformed(f"{response.status} with framing (RFC 9110 8.6, RFC 9112 6.1)")
            return response
        if head or response.status == 304:
            return response
        chunks: list[bytes] = []
        if coding is not None:
            if response.version != "HTTP/1.1":
                raise Malformed("a transfer coding on HTTP/1.0 (RFC 9112 6.1)")
            try:
                while chunk := self.read_chunk():
                    chunks.append(chunk)
            except Truncated as cut:
                raise Truncated("a chunked body", b"".join(chunks) + cut.body) from cut
            body = b"".join(chunks)
        elif length is not None:
            body = self.read_exactly(int(length), "a body")
        else:
            body = self.read_to_end()
        return Response(response.version, response.status, response.reason, response.fields, body, chunks)

    def expect_end(self) -> None:
        """The server has closed, in order, and sent nothing before that."""
        if rest := self.read_to_end():
            raise Malformed(f"bytes after the last response: {rest[:200]!r}")


def conversation(target: int | str | Path, *pieces: bytes) -> Conversation:
    """Opens a connection to a port or a socket's path and sends the pieces."""
    opened = Conversation(target)
    opened.send(*pieces)
    return opened


def read_response(opened: Conversation, head: bool = False) -> Response:
    return opened.read_response(head)


def send(target: int | str | Path, *pieces: bytes, head: bool = False) -> Response:
    """The response to one request on a connection of its own."""
    with conversation(target, *pieces) as opened:
        return opened.read_response(head)


def get(path: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: test.example", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(path: str, body: bytes, *fields: str) -> bytes:
    """A request with a body of announced length."""
    return get(path, *fields, f"Content-Length: {len(body)}", method="POST") + body


def post_chunked(path: str, chunks: list[bytes], *fields: str) -> bytes:
    """A request with a chunked body, one chunk for each piece that is not empty."""
    head = get(path, *fields, "Transfer-Encoding: chunked", method="POST")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
