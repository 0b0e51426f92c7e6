"""What the server does while a profile of it is taken, for a build that is guided by the profile.

`maturin build --release --pgo` installs a build that counts, runs this with its interpreter, and builds once more with
the counts (`pgo-command` in pyproject.toml). Clients of every usual kind ask servers of every usual kind. What is not
asked here is taken for rare by the compiler, and made small instead of fast. Needs nothing but the installed package;
TLS is left out where there is no `openssl` command. `train.py 0.1` does a tenth of it. Exits with 1, and says what
was wrong, if an answer is not as it should be.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

# Connections at a time, as many requests as a server finds ready in one go. `simple_server` takes one at a time, and
# lets few wait.
CONNECTIONS = 32
FEW = 4
# For an answer, and for a server's start and end.
PATIENCE = 60.0

SHORT = (b"Host: 127.0.0.1:8000",)
BROWSER = (
    b"Host: shop.example.com",
    b"Connection: keep-alive",
    b"Cache-Control: max-age=0",
    b'sec-ch-ua: "Chromium";v="142", "Not_A Brand";v="24"',
    b"sec-ch-ua-mobile: ?0",
    b'sec-ch-ua-platform: "Linux"',
    b"Upgrade-Insecure-Requests: 1",
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari",
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    b"Sec-Fetch-Site: same-origin",
    b"Sec-Fetch-Mode: navigate",
    b"Sec-Fetch-Dest: document",
    b"Referer: https://shop.example.com/birds?page=2",
    b"Accept-Encoding: gzip, deflate, br, zstd",
    b"Accept-Language: de-CH,de;q=0.9,en;q=0.8",
    b"Cookie: session=eyJ1c2VyIjoxN30.aSFxYg.q8yYV2s9dXw0r0m5Vd3mJp1kQ2E; csrftoken=Yx0hVJQ3W8vYB1pLrCq4mZ7d",
)
PROXIED = (*BROWSER, b"X-Forwarded-For: 203.0.113.7", b"X-Forwarded-Proto: https")
BODY = b"name=Perisoreus+canadensis&" * 38
UPLOAD = bytes(100 << 10)
CHUNKS = b"400\r\n" + bytes(1 << 10) + b"\r\n" + b"0400\r\n" + bytes(1 << 10) + b"\r\n0\r\n\r\n"

# Beside it lies a file for /file.
APPLICATION = """
import time

PAGE = b"<p>whiskyjack</p>" * 640

def application(environ, start_response):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    headers = [("Content-Type", "text/html; charset=utf-8")]
    if path in ("/", "/wait", "/birds"):
        if path == "/wait":
            time.sleep(0.001)
        headers += [("Content-Length", "13"), ("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff"),
                    ("Referrer-Policy", "same-origin"), ("Vary", "Cookie")][: 1 if path == "/" else None]
        start_response("200 OK", headers)
        return [b"Hello, world!"]
    if path == "/page":
        start_response("200 OK", headers)
        return [PAGE]
    if path == "/big":
        start_response("200 OK", headers)
        return [PAGE * 10]
    if path == "/pieces":
        start_response("200 OK", headers)
        return (PAGE[:1024] for _ in range(10))
    if path == "/written":
        write = start_response("200 OK", headers)
        write(PAGE[:1024])
        return [b"the rest"]
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "/lines":
        lines = sum(1 for _ in environ["wsgi.input"])
        start_response("200 OK", headers)
        return [b"%d" % lines]
    if path == "/file":
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](open("file", "rb"))
    if path == "/same":
        start_response("304 Not Modified", [("ETag", '"1"')])
        return []
    start_response("404 Not Found", headers)
    return [b"not here"]
"""

# The same on the standard library's names, with the validator.
SIMPLE_SERVER = """
import sys, threading
from wsgi import application
from whiskyjack.wsgiref.simple_server import WSGIRequestHandler, make_server
from whiskyjack.wsgiref.validate import validator

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

with make_server("127.0.0.1", 0, validator(application), handler_class=Quiet) as server:
    print(server.server_port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown())).start()
    server.serve_forever()
"""


@dataclass(frozen=True)
class Request:
    """What one client sends, and what it must get."""

    path: str
    rounds: int
    method: str = "GET"
    fields: tuple[bytes, ...] = SHORT
    body: bytes = b""
    version: str = "HTTP/1.1"
    # so many in one write
    pipelined: int = 1
    status: int = 200

    def text(self) -> bytes:
        line = f"{self.method} {self.path} {self.version}".encode()
        fields = self.fields
        if self.body.endswith(b"0\r\n\r\n"):
            fields = (*fields, b"Transfer-Encoding: chunked")
        elif self.body:
            fields = (*fields, b"Content-Length: %d" % len(self.body))
        return b"\r\n".join((line, *fields, b"", self.body)) * self.pipelined

    def part(self, share: float) -> Request:
        """The same, for such a share of the rounds, but one at least."""
        return replace(self, rounds=max(1, int(self.rounds * share)))

    @property
    def persists(self) -> bool:
        return b"Connection: close" not in self.fields


USUAL = (
    Request("/", 120),
    Request("/birds?page=2&q=jay%20grey", 120, fields=BROWSER),
    Request("/page", 25, fields=BROWSER),
    Request("/big", 10),
    Request("/pieces", 15),
    Request("/written", 5),
    Request("/echo", 20, "POST", body=BODY),
    Request("/echo", 5, "POST", body=UPLOAD),
    Request("/echo", 5, "POST", body=CHUNKS),
    Request("/lines", 5, "POST", BROWSER, BODY),
    Request("/file", 3),
    Request("/page", 5, "HEAD"),
    Request("/same", 10, fields=(*BROWSER, b'If-None-Match: "1"'), status=304),
    Request("/nowhere", 5, fields=BROWSER, status=404),
    Request("/", 10, pipelined=16),
    Request("/", 5, version="HTTP/1.0", fields=(b"Connection: keep-alive",)),
    Request("/", 5, fields=(*SHORT, b"Connection: close")),
)


def main(share: float = 1.0) -> int:
    """Runs all courses, one after the other: the whole of each, or such a share."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "wsgi.py").write_text(APPLICATION)
        (directory / "file").write_bytes(bytes(1 << 20))
        try:
            for what, course in _courses(directory, share):
                print(f"training: {what}", flush=True)
                course()
        except (OSError, ValueError, EOFError, subprocess.SubprocessError) as error:
            print(f"training: {error}", file=sys.stderr)
            return 1
    return 0


def _courses(directory: Path, share: float) -> Iterator[tuple[str, Callable[[], None]]]:
    def course(requests: tuple[Request, ...], *flags: str, context: ssl.SSLContext | None = None) -> Callable[[], None]:
        def run() -> None:
            with _server(directory, *flags) as port:
                _ask(port, [request.part(share) for request in requests], context)

        return run

    yield "a worker", course(USUAL * 10)
    yield (
        "behind a proxy, with an access log",
        course(
            (Request("/birds", 200, fields=PROXIED), Request("/echo", 50, "POST", PROXIED, BODY)),
            *("--workers", "0", "--forwarded-allow-ips", "127.0.0.1", "--access-log", "access.log"),
        ),
    )
    yield (
        "an application that waits",
        course((Request("/wait", 200), Request("/wait", 100, fields=BROWSER)), "--threads", "16"),
    )
    yield "two workers", course((Request("/", 200), Request("/birds", 200, fields=BROWSER)), "--workers", "2")
    if shutil.which("openssl") is None:
        print("training: without TLS, since there is no openssl command", file=sys.stderr)
    else:
        context = _certified(directory)
        yield "TLS", course(USUAL, "--certfile", "cert.pem", "--keyfile", "key.pem", context=context)
    yield "wsgiref.simple_server with the validator", lambda: _simple_server(directory, share)


def _certified(directory: Path) -> ssl.SSLContext:
    """Makes a certificate for an hour or so, and gives what a client needs to trust it."""
    # fmt: off
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
    ]
    # fmt: on
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return ssl.create_default_context(cafile=str(directory / "cert.pem"))


@contextlib.contextmanager
def _server(directory: Path, *flags: str) -> Iterator[int]:
    """A server on a free port of 127.0.0.1. It must end well: the counts are written then."""
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS * 2) as listener:
        command = [sys.executable, "-m", "whiskyjack", "--bind", f"fd://{listener.fileno()}", "--log-level", "warning"]
        process = subprocess.Popen(
            [*command, *flags, "wsgi:application"],
            cwd=directory,
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        with _ended(process, process.terminate):
            yield listener.getsockname()[1]


def _simple_server(directory: Path, share: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SIMPLE_SERVER], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with _ended(process, process.stdin.close):
        port = int(process.stdout.readline())
        close = (*BROWSER[:1], b"Connection: close", *BROWSER[2:])
        requests = [Request("/", 60, fields=close), Request("/pieces", 20, fields=close)]
        _ask(port, [request.part(share) for request in requests], connections=FEW)
    process.stdout.close()


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str] | subprocess.Popen[bytes], end: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        end()
        try:
            code = process.wait(PATIENCE)
        finally:
            process.kill()
    if code:
        raise ValueError(f"the server ended with {code}")


def _ask(
    port: int, requests: list[Request], context: ssl.SSLContext | None = None, connections: int = CONNECTIONS
) -> None:
    """All clients send, then all read, so that the server finds many requests ready, and again."""
    clients = [_connected(port, context) for _ in range(connections)]
    try:
        for request in requests:
            text = request.text()
            for _ in range(request.rounds):
                # More than a socket takes is sent by one client at a time: the server reads it meanwhile.
                for client, _ in clients:
                    client.sendall(text)
                for _, stream in clients:
                    for _ in range(request.pipelined):
                        _read(stream, request)
                if not request.persists:
                    _close(clients)
                    clients = [_connected(port, context) for _ in range(connections)]
    finally:
        _close(clients)


def _connected(port: int, context: ssl.SSLContext | None) -> tuple[socket.socket, IO[bytes]]:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", port), PATIENCE)
            break
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
    if context is not None:
        client = context.wrap_socket(client, server_hostname="127.0.0.1")
    return client, client.makefile("rb")


def _close(clients: list[tuple[socket.socket, IO[bytes]]]) -> None:
    for client, stream in clients:
        stream.close()
        client.close()


def _read(stream: IO[bytes], request: Request) -> None:
    """Reads one answer. Raises ValueError if it is not what the request is for, EOFError if there is none."""
    line = stream.readline()
    if not line:
        raise EOFError(f"no answer to {request.method} {request.path}")
    if line.split(maxsplit=2)[1] != b"%d" % request.status:
        raise ValueError(f"{request.method} {request.path} was answered with {line!r}")
    length: int | None = None
    is_chunked = False
    while (field := stream.readline()) not in (b"\r\n", b""):
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        elif name.lower() == b"transfer-encoding":
            is_chunked = True
    if request.method == "HEAD" or request.status == 304:
        return
    if is_chunked:
        while size := int(stream.readline(), 16):
            stream.read(size + 2)
        stream.readline()
    else:
        stream.read(-1 if length is None else length)


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2])))
