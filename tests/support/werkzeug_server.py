"""A server of `whiskyjack.werkzeug.serving` on a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.server import DEADLINE
from whiskyjack.werkzeug.serving import BaseWSGIServer, make_server


@contextmanager
def in_thread(app: Any, **keywords: Any) -> Iterator[BaseWSGIServer]:
    """Serves at a free port of the loopback, with `make_server`'s arguments, and ends cleanly."""
    server = make_server("127.0.0.1", 0, app, **keywords)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        assert not thread.is_alive()
        assert server.fileno() == -1
