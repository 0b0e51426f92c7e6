"""Clients that ask without pause, over kept and over short connections, and count what they were answered."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from tests.support.server import Server

TIMEOUT = 60


class Load:
    """Threads that ask a server, or what listens at a port, `/?<number>` for as long as the context lasts.

    The application answers with `<pid> <number>`.
    """

    def __init__(self, server: Server | int, kept: int = 3, short: int = 3, at_once: int = 25) -> None:
        self._port = server if isinstance(server, int) else server.port
        self._at_once = at_once
        self._over = threading.Event()
        # Guards what has been counted.
        self._counted = threading.Lock()
        self.answers: Counter[int] = Counter()
        self.faults: list[str] = []
        kinds = [self._keep] * kept + [self._hurry] * short
        self._threads = [threading.Thread(target=self._run, args=(kind, n)) for n, kind in enumerate(kinds)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, ask: object, number: int) -> None:
        assert callable(ask)
        while not self._over.is_set():
            try:
                ask(number)
            except (OSError, http.client.HTTPException) as fault:
                with self._counted:
                    self.faults.append(f"{type(fault).__name__}: {fault}")

    def _ask(self, connection: http.client.HTTPConnection, number: int) -> bool:
        """One request and its answer; whether the connection may carry another."""
        connection.request("GET", f"/?{number}")
        response = connection.getresponse()
        body = response.read()
        self._count(number, response.status, body)
        return not response.will_close

    def _count(self, number: int, status: int, body: bytes) -> None:
        pid, _, echo = body.decode().partition(" ")
        with self._counted:
            if status != 200 or echo != str(number):
                self.faults.append(f"{status} {body!r}")
            else:
                self.answers[int(pid)] += 1

    def _keep(self, number: int) -> None:
        """Asks over one connection until the server says that it closes it: no request crosses a close."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            for turn in range(self._at_once):
                if not self._ask(connection, number * 1000 + turn):
                    return
        finally:
            connection.close()

    def _hurry(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            connection.putrequest("GET", f"/?{number}")
            connection.putheader("Connection", "close")
            connection.endheaders()
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        self._count(number, response.status, body)

    def total(self) -> int:
        with self._counted:
            return sum(self.answers.values())
