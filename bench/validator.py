"""What the validator costs: calls a second of one small application, in this process, without a server.

    python bench/validator.py [SECONDS]

The application is called bare, under `whiskyjack.wsgiref.validate` and under the standard library's `wsgiref.validate`,
in turns; the best of several rounds of each counts. The environ is copied for each call, as a server makes one.
"""

from __future__ import annotations

import sys
import time
import warnings
import wsgiref.validate
from collections.abc import Callable
from typing import Any

from whiskyjack.wsgiref import validate
from whiskyjack.wsgiref.util import setup_testing_defaults

ROUNDS = 5
BATCH = 500


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]


def template() -> dict[str, Any]:
    """An environ of the size that a browser's request makes."""
    environ: dict[str, Any] = {"QUERY_STRING": "a=1", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1"}
    for name in ("USER_AGENT", "ACCEPT", "ACCEPT_LANGUAGE", "ACCEPT_ENCODING", "COOKIE", "REFERER", "CONNECTION"):
        environ[f"HTTP_{name}"] = "a value of some length, as they are"
    setup_testing_defaults(environ)
    return environ


def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
    return lambda data: None


def call(app: Callable[..., Any], environ: dict[str, Any]) -> None:
    result = app(dict(environ), start_response)
    for _ in result:
        pass
    if hasattr(result, "close"):
        result.close()


def rate(app: Callable[..., Any], environ: dict[str, Any], seconds: float) -> float:
    calls = 0
    started = time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        for _ in range(BATCH):
            call(app, environ)
        calls += BATCH
    return calls / took


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    warnings.simplefilter("error")
    ways: dict[str, Callable[..., Any]] = {
        "bare": application,
        "whiskyjack.wsgiref.validate": validate.validator(application),
        "wsgiref.validate": wsgiref.validate.validator(application),
    }
    environ = template()
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, app in ways.items():
            best[name] = max(best[name], rate(app, environ, seconds))
    for name, calls in best.items():
        cost = 1e6 / calls - 1e6 / best["bare"]
        print(f"{name:30} {calls:12,.0f} calls/s   {cost:6.2f} us for each request more than bare")


if __name__ == "__main__":
    main()
