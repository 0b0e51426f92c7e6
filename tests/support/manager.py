"""A service manager of the test's own: what a server tells it by sd_notify(3), and the sockets that it hands over."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE = 60.0


class Manager:
    """Listens where NOTIFY_SOCKET says. A name that begins with @ is one of Linux's abstract namespace."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)
        self._socket.settimeout(DEADLINE)
        self.heard: list[dict[str, str]] = []

    @property
    def variables(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address}

    def hear(self) -> dict[str, str]:
        """The next message, by its names."""
        lines = self._socket.recv(4096).decode().split("\n")
        message = dict(line.split("=", 1) for line in lines)
        self.heard.append(message)
        return message

    def hear_until(self, name: str, value: str | None = None) -> dict[str, str]:
        """The next message that has this name."""
        while True:
            message = self.hear()
            if name in message and value in (None, message[name]):
                return message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()


def listening(directory: Path, count: int) -> list[socket.socket]:
    """Sockets that listen, the last at a Unix path and the others at free ports."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(count - 1)]
    last = socket.socket(socket.AF_UNIX)
    last.bind(str(directory / "passed.sock"))
    last.listen()
    return [*made, last]


# Makes descriptors 3, 4 and so on of those it was given, and becomes the program: what a service manager does.
PASS = """\
import os, sys
numbers, names, words = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
kept = [os.dup2(int(number), 100 + place) for place, number in enumerate(numbers)]
for place, number in enumerate(kept):
    os.dup2(number, 3 + place, inheritable=True)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=names)
os.execv(words[0], words)
"""


def descriptors(sockets: list[socket.socket]) -> str:
    return ",".join(str(one.fileno()) for one in sockets)


def is_root() -> bool:
    return os.geteuid() == 0
