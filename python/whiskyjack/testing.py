"""A real server for tests: `with LiveServer(app) as server: requests.get(server.url)`. `docs/testing.md` tells more."""

from __future__ import annotations

import logging
import math
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from whiskyjack._ending import ended_with_the_program
from whiskyjack._whiskyjack import Request as _Request
from whiskyjack._whiskyjack import Server as _Server

__all__ = ["ApplicationError", "LiveServer"]

_log = logging.getLogger(__name__)


class ApplicationError(NamedTuple):
    """What the application raised, and the line of the request that it raised it for."""

    line: str
    exception: BaseException


class LiveServer:
    """Serves `app` on a socket of its own, in threads of this process, from `start()` to `stop()` or in a `with` block.

    `port` 0 is any free one. `settings` are those of the `whiskyjack` command, with `_` for `-`. Each request is logged
    by the logger `whiskyjack.testing`, and so is what the application raises, with its traceback.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        threads: int = 4,
        graceful_timeout: float = 2.0,
        **settings: str | float | bool,
    ) -> None:
        if not callable(app):
            raise TypeError(f"a WSGI application must be callable with (environ, start_response), not {type(app)!r}")
        self.app = app
        self.host = host
        self.port = port
        self._graceful_timeout = graceful_timeout
        # It is this server's to end requests, not the engine's before it.
        later = f"{math.ceil(graceful_timeout) + 1}s"
        self._settings: dict[str, Any] = {"threads": threads, "graceful_timeout": later, **settings}
        self._asked_port = port
        self._running: _Running | None = None
        self._errors: list[ApplicationError] = []

    @property
    def url(self) -> str:
        """Where it serves, such as `http://127.0.0.1:40123`: no slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def errors(self) -> list[ApplicationError]:
        """What the application has raised since `start()`, first things first."""
        return list(self._errors)

    def start(self) -> None:
        """Listen, and serve. A request can be sent as soon as this returns."""
        if self._running is not None:
            raise RuntimeError(f"the server at {self.url} was started already: stop() it first")
        self._errors = []
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self._asked_port), family=family)
        try:
            server = _Server(self.app, listener, on_request=self._on_request, on_error=self._on_error, **self._settings)
        except BaseException:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._running = _Running(server, listener, self.url)
        self._running.thread.start()

    def stop(self) -> None:
        """Let requests under way finish within `graceful_timeout` seconds, and end.

        What is inside the application then is cut off from its client, and its thread left to itself, with a warning in
        the log. What ended the server itself is raised.
        """
        running, self._running = self._running, None
        if running is not None:
            running.end(self._graceful_timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<LiveServer {self.url if self._running else 'stopped'}>"

    def _on_request(self, request: _Request, status: int, length: int, _: float) -> None:
        told = "the client left" if status == 0 else f"{status} {length}"
        _log.info('"%s" %s', request.line, told)

    def _on_error(self, request: _Request, error: BaseException) -> None:
        # Who looks when the response is there finds it: the server answers after this.
        self._errors.append(ApplicationError(request.line, error))
        _log.error("%s: the application raised", request.line, exc_info=error)


class _Running:
    """A server's thread, from its first moment to its last."""

    def __init__(self, server: _Server, listener: socket.socket, url: str) -> None:
        self.server = server
        self.listener = listener
        self.fault: BaseException | None = None
        # A test run that is broken off does not wait for it.
        self.thread = threading.Thread(target=self._serve, name=f"LiveServer {url}", daemon=True)

    def _serve(self) -> None:
        try:
            with ended_with_the_program(self.server):
                self.server.serve()
        except BaseException as fault:
            self.fault = fault

    def end(self, patience: float) -> None:
        if threading.current_thread() is self.thread:
            raise RuntimeError("stop() waits for the requests under way, and was called from one of them")
        try:
            self.server.drain()
            self.thread.join(patience)
            if self.thread.is_alive():
                self.server.stop()
                # Whoever has been cut off may come back at once, or never.
                self.thread.join(1)
                if self.thread.is_alive():
                    _log.warning("%s: the application is still inside a request, and stays there", self.thread.name)
        finally:
            self.listener.close()
        if self.fault is not None:
            raise self.fault
