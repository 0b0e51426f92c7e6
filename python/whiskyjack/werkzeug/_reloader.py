"""Runs a program again when its files have changed, as Werkzeug does it. What watches the files is Rust.

The parent starts the program a second time, and again whenever that ends with code 3. The child serves from a thread,
and its main thread watches. Both have the listening socket, so that a browser that comes in between waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from whiskyjack._development import FailedImport
from whiskyjack._whiskyjack import FileWatcher
from whiskyjack.werkzeug._log import log
from whiskyjack.wsgiref.types import WSGIApplication

# The exit code of a child that is to be started again.
AGAIN = 3

# `watchdog` is what Werkzeug calls the one that the system tells of changes; no package of that name is needed.
TYPES = ("auto", "stat", "watchdog")


def is_child() -> bool:
    return os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def run_with_reloader(
    serve: Callable[[], None],
    stand_in: Callable[[WSGIApplication], AbstractContextManager[object]],
    extra_files: Iterable[str] | None = None,
    exclude_patterns: Iterable[str] | None = None,
    interval: float = 1,
    reloader_type: str = "auto",
) -> None:
    """Serve in a child that is replaced whenever a file has changed. Ends the process but for Ctrl-C.

    `stand_in` serves another application from the same socket, inside of a block.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def watch() -> FileWatcher:
        return FileWatcher(
            events=reloader_type != "stat",
            interval=interval,
            extra_files=[os.path.abspath(file) for file in extra_files or ()],
            exclude_patterns=list(exclude_patterns or ()),
        )

    try:
        if not is_child():
            sys.exit(_start_again_and_again(watch, stand_in))
        _ensure_echo()
        tell = _line_to_the_parent()
        tell(_SERVES)
        watcher = watch()
        threading.Thread(target=serve, name="server", daemon=True).start()
        changed = [os.path.abspath(file) for file in watcher.wait()]
        log("info", "%s", f" * Detected change in {changed[0]!r}, reloading")
        tell(*changed[:_MANY])
        sys.exit(AGAIN)
    except KeyboardInterrupt:
        pass


# Where a child tells its parent, a line each, that it has come to serve, and then what has changed.
_LINE = "WHISKYJACK_RELOADER_LINE"
_SERVES = "serves"

# More would not fit into the line, and nobody reads it before the child has ended.
_MANY = 20


def _line_to_the_parent() -> Callable[..., None]:
    descriptor = os.environ.pop(_LINE, None)

    def tell(*lines: str) -> None:
        # A parent may be another's reloader.
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(int(descriptor), b"".join(os.fsencode(f"{line}\n") for line in lines))

    if descriptor is not None:
        os.set_inheritable(int(descriptor), False)
    return tell


def _start_again_and_again(
    watch: Callable[[], FileWatcher], stand_in: Callable[[WSGIApplication], AbstractContextManager[object]]
) -> int:
    """Start the program as it was started, until it wants no more; returns its exit code."""
    name = watch().name
    changed: list[str] | None = None
    while True:
        log("info", "%s", f" * Restarting with {name}")
        code, told = _run()
        if code == AGAIN:
            changed = told[1:]
        elif code != 0 and changed is not None and not told:
            # What was saved has broken it. Its last words stand in the terminal.
            watcher = watch()
            with stand_in(_reason(code, changed)):
                changed = [os.path.abspath(file) for file in watcher.wait()]
            log("info", "%s", f" * Detected change in {changed[0]!r}, reloading")
        else:
            return code


def _run() -> tuple[int, list[str]]:
    """Run the program as a child; what it returns, and what it has told."""
    told, line = os.pipe()
    try:
        os.set_inheritable(line, True)
        command = [sys.executable, *sys.orig_argv[1:]]
        environment = os.environ | {"WERKZEUG_RUN_MAIN": "true", _LINE: str(line)}
        code = subprocess.call(command, env=environment, close_fds=False)
        # What the child has started may have the line still, so that its end is not waited for.
        os.set_blocking(told, False)
        said = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(told, 65536):
                said += piece
    finally:
        os.close(told)
        os.close(line)
    return code, os.fsdecode(said).splitlines()


def _reason(code: int, changed: list[str]) -> FailedImport:
    """What is shown in the place of a program that has ended before it served."""
    doing = f"the program ended with code {code} before it served"
    for file in changed:
        try:
            with contextlib.suppress(OSError, ValueError), open(file, "rb") as source:
                compile(source.read(), file, "exec", dont_inherit=True)
        except SyntaxError as error:
            return FailedImport(doing, error.with_traceback(None), "", ())
    return FailedImport(
        doing, None, "What it said stands in the terminal. It is started again when a file has changed.", ()
    )


def _ensure_echo() -> None:
    """A terminal shows what is typed again, where a debugger of the last child has turned that off."""
    if sys.stdin is None or not sys.stdin.isatty():
        return
    import termios

    attributes = termios.tcgetattr(sys.stdin)
    if not attributes[3] & termios.ECHO:
        attributes[3] |= termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSANOW, attributes)
