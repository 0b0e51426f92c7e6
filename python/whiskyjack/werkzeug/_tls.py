"""What `ssl_context` means: for handlers a context of Python's, and for the engine files. Knows no server."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from whiskyjack._whiskyjack import Server as _Server
from whiskyjack.werkzeug._certificates import adhoc_pem, load_ssl_context

TLS: TypeAlias = ssl.SSLContext | tuple[str, str | None] | Literal["adhoc"]


class Credentials:
    """A certificate and its key."""

    def __init__(self, given: TLS | None) -> None:
        self._files: tuple[str, str | None] | None = None
        # made for this server, and kept in memory alone
        self._made: bytes | None = None
        self.context: ssl.SSLContext | None = None
        if isinstance(given, tuple):
            self._files = given
            self.context = load_ssl_context(*given)
        elif given == "adhoc":
            self._made = adhoc_pem()
            with self._written() as file:
                self.context = load_ssl_context(file)
        elif given is None or isinstance(given, ssl.SSLContext):
            self.context = given
        else:
            raise TypeError(f"ssl_context={given!r}: write 'adhoc' or (cert, key), or give an SSLContext")

    @contextlib.contextmanager
    def _written(self) -> Iterator[str]:
        # The libraries read files. Nobody else can read this one, and it is there for a moment.
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(self._made or b"")
            file.flush()
            yield file.name

    @contextlib.contextmanager
    def settings(self) -> Iterator[dict[str, Any]]:
        """What the engine is given to speak TLS by itself; nothing where it is to speak none."""
        if self._made is not None:
            with self._written() as file:
                yield {"certfile": file}
        elif self._files is not None:
            certificate, key = self._files
            yield {"certfile": certificate} if key is None else {"certfile": certificate, "keyfile": key}
        else:
            yield {}

    def fits_the_engine(self, socket: Any) -> bool:
        """Whether the engine can speak TLS with it: not with a program's own context, nor a locked key."""
        with self.settings() as settings:
            try:
                if settings:
                    _Server(lambda environ, start_response: [], socket, **settings)
                return bool(settings)
            except ValueError:
                return False
