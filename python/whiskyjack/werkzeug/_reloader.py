"""Runs a program again when its files have changed, as Werkzeug does it. What watches the files is Rust.

The parent starts the program a second time, and again whenever that ends with code 3. The child serves from a thread,
and its main thread watches. Both have the listening socket, so that a browser that comes in between waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable

from whiskyjack._whiskyjack import FileWatcher
from whiskyjack.werkzeug._log import log

# The exit code of a child that is to be started again.
AGAIN = 3

# `watchdog` is what Werkzeug calls the one that the system tells of changes; no package of that name is needed.
TYPES = ("auto", "stat", "watchdog")


def is_child() -> bool:
    return os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def run_with_reloader(
    serve: Callable[[], None],
    extra_files: Iterable[str] | None = None,
    exclude_patterns: Iterable[str] | None = None,
    interval: float = 1,
    reloader_type: str = "auto",
) -> None:
    """Serve in a child that is replaced whenever a file has changed. Ends the process but for Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    watcher = FileWatcher(
        events=reloader_type != "stat",
        interval=interval,
        extra_files=[os.path.abspath(file) for file in extra_files or ()],
        exclude_patterns=list(exclude_patterns or ()),
    )
    try:
        if not is_child():
            sys.exit(_start_again_and_again(watcher.name))
        _ensure_echo()
        threading.Thread(target=serve, name="server", daemon=True).start()
        changed = watcher.wait()
        log("info", "%s", f" * Detected change in {os.path.abspath(changed[0])!r}, reloading")
        sys.exit(AGAIN)
    except KeyboardInterrupt:
        pass


def _start_again_and_again(name: str) -> int:
    """Start the program as it was started, until it wants no more; returns its exit code."""
    while True:
        log("info", "%s", f" * Restarting with {name}")
        command = [sys.executable, *sys.orig_argv[1:]]
        code = subprocess.call(command, env=os.environ | {"WERKZEUG_RUN_MAIN": "true"}, close_fds=False)
        if code != AGAIN:
            return code


def _ensure_echo() -> None:
    """A terminal shows what is typed again, where a debugger of the last child has turned that off."""
    if sys.stdin is None or not sys.stdin.isatty():
        return
    import termios

    attributes = termios.tcgetattr(sys.stdin)
    if not attributes[3] & termios.ECHO:
        attributes[3] |= termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSANOW, attributes)
