"""A crowd of requests of every kind at once, and what came of each of them."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from tests.apps.bodies import MATERIAL, made, told
from tests.support.wire import Conversation, Response, get, post, post_chunked

LARGEST = 1 << 20
KINDS = {
    "get": 44,
    "head": 8,
    "post": 18,
    "chunked": 12,
    "expect": 6,
    "empty": 6,
    "slow": 2,
    "abort-download": 2,
    "abort-upload": 1,
    "reset-upload": 1,
}
HOWS = ["length", "pieces", "item", "file", "write"]


@dataclass(frozen=True)
class Request:
    identity: str
    kind: str
    head: bytes
    body: bytes
    status: int
    expected: str


def drawn(chance: random.Random, identity: str) -> Request:
    """One request, its answer included."""
    (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
    (most,) = chance.choices([0, 4096, 65_536, 300_000, LARGEST], [5, 70, 18, 6, 1])
    size = LARGEST - chance.randrange(1000) if kind in {"slow", "abort-download"} else chance.randint(most // 2, most)
    if kind == "expect":
        # RFC 9110 10.1.1: only who has content may expect
        size = max(1, size)
    start = chance.randrange(len(MATERIAL) - LARGEST)
    how = chance.choice(HOWS)
    download, upload = f"/get/{how}/{start}/{size}?id={identity}", f"/echo/{how}?id={identity}"
    body = made(start, size)
    whole = told(body)
    if kind == "head":
        return Request(identity, kind, get(download, method="HEAD"), b"", 200, told(b""))
    if kind == "empty":
        status = chance.choice([204, 304])
        return Request(identity, kind, get(f"/empty/{status}?id={identity}"), b"", status, told(b""))
    if kind == "post":
        return Request(identity, kind, post(upload, body), body, 200, whole)
    if kind == "chunked":
        cut = sorted(chance.randint(0, size) for _ in range(chance.randint(0, 4)))
        chunks = [body[first:last] for first, last in zip([0, *cut], [*cut, size], strict=True)]
        return Request(identity, kind, post_chunked(upload, chunks), body, 200, whole)
    if kind in {"expect", "abort-upload", "reset-upload"}:
        # what is cut off has to lack a byte at least
        length = f"Content-Length: {size + (kind != 'expect')}"
        expect = [] if kind == "abort-upload" else ["Expect: 100-continue"]
        return Request(identity, kind, get(upload, length, *expect, method="POST"), body, 200, whole)
    return Request(identity, kind, get(download), b"", 200, whole)


@dataclass
class Outcome:
    """How it went: the responses that were read to their end, and the requests that were given up."""

    answers: dict[str, Response] = field(default_factory=dict)
    aborted: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


class Visitor:
    """One of the crowd: a connection for what it asks in order, and others for what it is slow at or gives up."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port = port
        self._chance = chance
        self._opened: Conversation | None = None
        self._slow: list[tuple[Request, Conversation, int]] = []
        self.outcome = Outcome()

    def visit(self, requests: Sequence[Request]) -> None:
        for turn, request in enumerate(requests):
            if request.kind in {"abort-download", "abort-upload", "reset-upload"}:
                self._abort(request)
            elif request.kind == "slow":
                opened = Conversation(self._port, receive_buffer=4096)
                opened.send(request.head)
                # its response stays unread while so many others are asked for
                self._slow.append((request, opened, turn + 25))
            else:
                self._ask(request)
            self._read_slow(turn)
        self._read_slow(len(requests) + 25)

    def leave(self) -> None:
        """Closes what is still open."""
        if self._opened is not None:
            self._opened.close()
        for _, opened, _ in self._slow:
            opened.close()

    def _ask(self, request: Request) -> None:
        if self._opened is None:
            self._opened = Conversation(self._port)
        self._opened.send(request.head)
        if request.kind == "expect":
            self._send_expected(request, self._opened)
        answer = self._opened.read_response(head=request.kind == "head")
        self._check(request, answer)
        if answer.closes:
            self._opened.close()
            self._opened = None

    def _read_slow(self, turn: int) -> None:
        while self._slow and self._slow[0][2] <= turn:
            request, opened, _ = self._slow.pop(0)
            with opened:
                self._check(request, opened.read_response())

    def _abort(self, request: Request) -> None:
        opened = Conversation(self._port)
        opened.send(request.head)
        by_reset = request.kind == "reset-upload"
        if request.kind == "abort-download":
            opened.read_head()
            opened.read_exactly(self._chance.randint(0, 1000), "the beginning of a body")
            by_reset = self._chance.random() < 0.5
        elif by_reset:
            # A reset takes what was not read yet along: the 100 shows that the head was.
            self._send_expected(request, opened)
        else:
            opened.send(request.body)
        self.outcome.aborted.add(request.identity)
        if by_reset:
            opened.reset()
        else:
            opened.close()

    def _send_expected(self, request: Request, opened: Conversation) -> None:
        """Sends the body once it has been asked for."""
        interim = opened.read_head()
        if interim.status != 100:
            self.outcome.faults.append(f"{request.identity} ({request.kind}): {interim.status} instead of 100")
        opened.send(request.body)

    def _check(self, request: Request, answer: Response) -> None:
        found, wanted = (answer.status, told(answer.body)), (request.status, request.expected)
        if found != wanted:
            self.outcome.faults.append(f"{request.identity} ({request.kind}): {found} instead of {wanted}")
        elif answer.value("X-Received") != told(request.body):
            self.outcome.faults.append(f"{request.identity} ({request.kind}) came as {answer.value('X-Received')}")
        self.outcome.answers[request.identity] = answer


def visit(port: int, count: int, visitors: int = 12, seed: int = 1) -> Outcome:
    """Puts so many requests to whoever listens at the port. A fault of one visitor ends its visit, and is told."""
    chance = random.Random(seed)
    requests = (drawn(chance, f"r{number}") for number in range(count))
    guard = threading.Lock()
    whole = Outcome()

    def part(number: int) -> None:
        visitor = Visitor(port, random.Random(f"{seed} {number}"))
        try:
            while True:
                with guard:
                    mine = list(islice(requests, 100))
                if not mine:
                    return
                visitor.visit(mine)
        finally:
            visitor.leave()
            with guard:
                whole.answers |= visitor.outcome.answers
                whole.aborted |= visitor.outcome.aborted
                whole.faults += visitor.outcome.faults

    with ThreadPoolExecutor(visitors) as pool:
        for done in [pool.submit(part, number) for number in range(visitors)]:
            done.result()
    return whole
