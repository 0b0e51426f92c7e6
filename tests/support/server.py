"""Runs the real program as a process, and tells what it said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

APPS = Path(__file__).resolve().parent.parent / "apps"
ROOT = APPS.parent.parent
COMMAND = [sys.executable, "-m", "whiskyjack"]

# A debug build on a busy machine takes its time; nothing that works comes near.
DEADLINE = 30.0

ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|0\.0\.0\.0|\[::1?\]|localhost):(\d+)|unix:(/\S+)")


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would set the program up, and with the changes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WHISKYJACK_") and name != "PORT"}
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    kept.update(changes or {})
    return kept


def run(
    *arguments: str,
    cwd: Path = APPS,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(env),
        pass_fds=pass_fds,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def children_of(pid: int) -> list[int]:
    """The processes that this one has forked and that have not ended, the oldest first; none where it is gone."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in children.split() if words_of(int(child))]


def words_of(pid: int) -> bytes:
    """The command line of a process; nothing where it ends or has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def is_there(pid: int) -> bool:
    """Whether the process has not ended, be it that nobody has waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Output:
    """What a stream of a process has said so far, read on a thread of its own."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._text = ""
        self._ended = False
        # Guards both, and wakes those who wait for a line.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._text += line.decode("utf-8", "backslashreplace")
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def text(self) -> str:
        with self._changed:
            return self._text

    def whole(self) -> str:
        """The text once the stream has ended."""
        self._thread.join(DEADLINE)
        return self.text()

    def wait_for(self, pattern: str | re.Pattern[str], deadline: float = DEADLINE) -> re.Match[str]:
        """Waits until the pattern is found; the stream's end or the deadline is a failure."""
        until = time.monotonic() + deadline
        compiled = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern
        with self._changed:
            while True:
                if found := compiled.search(self._text):
                    return found
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    why = "the output ended" if self._ended else f"{deadline:.0f} s passed"
                    raise AssertionError(f"{why} without {compiled.pattern!r} in:\n{self._text}")
                self._changed.wait(left)


class Server:
    """A running server."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path = APPS,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        command: Sequence[str] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [*(command or COMMAND), *arguments],
            cwd=cwd,
            env=environment(env),
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.stdout = Output(self.process.stdout)
        self.stderr = Output(self.process.stderr)
        self._ended = False
        try:
            found = self.stderr.wait_for(ADDRESS)
        except BaseException:
            self.process.kill()
            self.process.wait()
            self._ended = True
            raise
        self._port = int(found[1]) if found[1] else None
        self.path = Path(found[2]) if found[2] else None

    @property
    def port(self) -> int:
        assert self._port is not None, "the server has no TCP port"
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.stderr.text()

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        return self.stderr.wait_for(pattern)

    def workers(self) -> list[int]:
        """The process numbers of the workers that are there now, in the order of their birth."""
        children = children_of(self.process.pid)
        loaders = set(self.loaders())
        forked = [children_of(child) if child in loaders else [child] for child in children]
        return [worker for some in forked for worker in some]

    def loaders(self) -> list[int]:
        """The process numbers of those that have loaded the application for workers to be forked from."""
        return [child for child in children_of(self.process.pid) if words_of(child).startswith(b"whiskyjack: loader")]

    @property
    def worker(self) -> int:
        """The process that serves, where there is one."""
        (only,) = self.workers()
        return only

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code, once the process has ended."""
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._ended = True
            raise AssertionError(f"the server did not end:\n{self.stderr.whole()}") from None
        self._ended = True
        self.stderr.whole()
        self.stdout.whole()
        return code

    def stop(self) -> None:
        """Ends the server as an operator does, and checks that it ended well. Does nothing after `wait`."""
        if not self._ended:
            self.process.terminate()
            code = self.wait()
            assert code == 0, f"exit code {code} after SIGTERM:\n{self.log()}"
        assert "panicked" not in self.log(), self.log()
