"""Programs in a terminal of their own, as a developer runs them, and a client that asks them all the while."""

from __future__ import annotations

import contextlib
import http.client
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

from tests.support.server import DEADLINE, Output, environment


class Terminal:
    """A program that runs in a pseudo-terminal, and what stands there."""

    def __init__(self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        screen, terminal = pty.openpty()
        try:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                # Later versions of Python have tracebacks in colours, in the middle of the words that tests look for.
                env=environment({"TERM": "xterm", "PYTHON_COLORS": "0", **(env or {})}),
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
            )
        finally:
            os.close(terminal)
        self._screen = screen
        into, out_of = os.pipe()
        self._copying = threading.Thread(target=self._copy, args=(out_of,), daemon=True)
        self._copying.start()
        self.output = Output(os.fdopen(into, "rb"))

    def _copy(self, to: int) -> None:
        # The end of a terminal is an error when it is read, and Output wants an end of file.
        with contextlib.suppress(OSError):
            while read := os.read(self._screen, 4096):
                os.write(to, read.replace(b"\r\n", b"\n"))
        os.close(to)

    def text(self) -> str:
        return self.output.text()

    def wait_for(self, pattern: str, deadline: float = DEADLINE) -> str:
        """The first group, or all, of what stands there sooner or later."""
        found = self.output.wait_for(pattern, deadline)
        return found[1] if found.re.groups else found[0]

    def interrupt(self) -> int:
        """Ctrl-C, as the terminal sends it to all in front of it; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._copying.join(DEADLINE)
        os.close(self._screen)


@contextlib.contextmanager
def in_terminal(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    with closing(Terminal(command, cwd, env)) as terminal:
        yield terminal


class Poller:
    """A client that asks for a page again and again, over a new connection each time."""

    def __init__(self, port: int, path: str = "/") -> None:
        self.port = port
        self.path = path
        self.answers: list[tuple[int, str]] = []
        self.faults: list[str] = []
        # Guards both, and wakes those who wait for an answer.
        self._changed = threading.Condition()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(DEADLINE)

    def _ask(self) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request("GET", self.path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def _poll(self) -> None:
        # A pause, so that the program which is asked gets to do something else.
        while not self._is_over.wait(0.05):
            try:
                answer = self._ask()
            except (OSError, http.client.HTTPException) as fault:
                with self._changed:
                    self.faults.append(repr(fault))
                    self._changed.notify_all()
            else:
                with self._changed:
                    self.answers.append(answer)
                    self._changed.notify_all()

    def wait_for(self, status: int, text: str, deadline: float = 2 * DEADLINE) -> str:
        """The body of the next answer with this status and this in its text."""
        until = time.monotonic() + deadline
        with self._changed:
            begun = len(self.answers)
            while True:
                for got, body in self.answers[begun:]:
                    if got == status and text in body:
                        return body
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no {status} with {text!r}: {self.answers[begun:][-3:]} {self.faults}")
                self._changed.wait(left)


def save_and_see(path: Path, text: str, poller: Poller, status: int, seen: str) -> str:
    """Saves a file until its effect is there, and returns the body of that answer."""
    return _save_until(path, text, lambda patience: poller.wait_for(status, seen, patience))


def save_and_read(path: Path, text: str, terminal: Terminal, pattern: str) -> str:
    """Saves a file until its effect stands in the terminal."""
    return _save_until(path, text, lambda patience: terminal.wait_for(pattern, patience))


def _save_until(path: Path, text: str, wait: Callable[[float], str]) -> str:
    # A reloader that looks at files has to have looked once: what is saved between the import and that is never seen.
    for _ in range(9):
        save(path, text)
        with contextlib.suppress(TimeoutError, AssertionError):
            return wait(6)
    save(path, text)
    return wait(6)


def save(path: Path, text: str) -> None:
    """Saves a file as editors do: it is never there in part."""
    new = path.with_name(path.name + "~")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
