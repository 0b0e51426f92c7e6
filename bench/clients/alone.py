"""Calls an application in a loop, without a server. `alone.py MODULE:ATTRIBUTE PATH SECONDS`"""

from __future__ import annotations

import importlib
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults


def main() -> None:
    """Prints the calls and the seconds of processor time that they took, as JSON."""
    spec, path, seconds = sys.argv[1:]
    module, _, attribute = spec.partition(":")
    application: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    template: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1"}
    setup_testing_defaults(template)
    template["SERVER_PROTOCOL"] = "HTTP/1.1"
    empty = io.BytesIO()

    def start_response(_status: str, _headers: list[tuple[str, str]], _exc_info: object = None) -> Callable[..., None]:
        return print

    calls = 0
    length = 0
    # The first second warms what caches there are.
    for limit in (min(1.0, float(seconds)), float(seconds)):
        calls = 0
        began = time.process_time()
        while (spent := time.process_time() - began) < limit:
            for _ in range(50):
                environ = template.copy()
                environ["wsgi.input"] = empty
                result = application(environ, start_response)
                length = sum(map(len, result))
                if hasattr(result, "close"):
                    result.close()
            calls += 50
    print(json.dumps({"calls": calls, "seconds": spent, "length": length}))


main()
