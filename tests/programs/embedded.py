"""A server of the module that is named, in a program of somebody's. It says where it listens, and ends by SIGTERM."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Iterable
from typing import Any

module = importlib.import_module(sys.argv[1])


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server = module.make_server("127.0.0.1", 0, hello)
print(f"http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
