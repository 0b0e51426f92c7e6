"""Headless Chromium, driven over its pipe: pages that are opened, read, used and photographed. Knows no server."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.programs import program
from tests.support.server import DEADLINE

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]

# Looks until there is something to see, as whoever sits in front of it.
SOONER_OR_LATER = """
new Promise(resolve => {
  const look = () => { const seen = (%s); seen ? resolve(seen) : setTimeout(look, 20); };
  look();
})
"""


class Page:
    """One tab."""

    def __init__(self, directory: Path) -> None:
        chromium = program("chromium", "chromium-browser", "google-chrome", package="chromium")
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # Chromium looks for them at 3 and 4. They are moved away first, so that neither is put in the other's place.
        moved = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]

        def give() -> None:
            os.dup2(moved[0], 3)
            os.dup2(moved[1], 4)

        self._process = subprocess.Popen(
            [chromium, *FLAGS, f"--user-data-dir={directory}/profile"],
            preexec_fn=give,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (theirs_in, theirs_out, *moved):
            os.close(end)
        self._in, self._out = ours_in, ours_out
        self._numbers = itertools.count(1)
        self._read = b""
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")

    def open(self, url: str) -> None:
        self._events.clear()
        self._call("Page.navigate", url=url)
        self._wait(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """What a script on the page comes to."""
        told = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_until(self, expression: str) -> Any:
        return self.evaluate(SOONER_OR_LATER % expression)

    def text(self) -> str:
        """What stands on the page for whoever looks at it."""
        return str(self.evaluate("document.body.innerText"))

    def photograph(self, path: Path, width: int, height: int, dark: bool = False) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._out)
        # It ends when nobody is at the other end of its pipe.
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda message: message.get("id") == number)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def _wait(self, is_meant: Any) -> dict[str, Any]:
        until = time.monotonic() + 2 * DEADLINE
        while True:
            for index, message in enumerate(self._events):
                if is_meant(message):
                    return self._events.pop(index)
            left = max(0.0, until - time.monotonic())
            assert select.select([self._in], [], [], left)[0], f"Chromium says nothing more: {self._events[-3:]}"
            read = os.read(self._in, 65536)
            assert read, "Chromium has ended"
            *messages, self._read = (self._read + read).split(b"\0")
            self._events += map(json.loads, messages)


@contextlib.contextmanager
def browsing(directory: Path) -> Iterator[Page]:
    with contextlib.closing(Page(directory)) as page:
        yield page
