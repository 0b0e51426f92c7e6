"""What pytest finds where Whiskyjack is installed: the fixture `whiskyjack_server`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from whiskyjack.testing import LiveServer


@pytest.fixture
def whiskyjack_server() -> Iterator[Callable[..., LiveServer]]:
    """`whiskyjack_server(app)` starts a real server of a WSGI application, a `LiveServer`, which ends with the test."""
    # Every run of pytest imports this file, and few need the server.
    from whiskyjack.testing import LiveServer

    with ExitStack() as servers:

        def start(app: Callable[..., Any], *arguments: Any, **settings: Any) -> LiveServer:
            return servers.enter_context(LiveServer(app, *arguments, **settings))

        yield start
