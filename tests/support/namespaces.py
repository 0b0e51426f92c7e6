"""Networks of the test's own: namespaces with a line between them. Linux, and only where the test may make them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.programs import program


@dataclass(frozen=True)
class Host:
    """A namespace that one line leads into."""

    name: str
    address: str

    @property
    def inside(self) -> list[str]:
        """Words to put before a command that is to run there; it is the same process."""
        return inside(self.name)


def inside(name: str) -> list[str]:
    return [program("ip", package="iproute2"), "netns", "exec", name]


def _ip(*words: str) -> None:
    done = subprocess.run([program("ip", package="iproute2"), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermissionError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def hosts_behind_one(count: int) -> Iterator[tuple[str, list[Host]]]:
    """The name of a namespace from which lines lead to so many others, and those.

    The network of this machine is left as it is.
    """
    mark = f"wj{os.getpid()}"
    front = f"{mark}-front"
    with contextlib.ExitStack() as stack:

        def add(name: str) -> None:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")

        hosts = []
        try:
            add(front)
            for number in range(1, count + 1):
                # RFC 2544 has set these addresses aside for tests.
                near, far = f"198.18.{number}.1", f"198.18.{number}.2"
                host = Host(f"{mark}-{number}", far)
                add(host.name)
                line = f"line{number}"
                _ip("-n", front, "link", "add", line, "type", "veth", "peer", "name", "line", "netns", host.name)
                for name, end, address in [(front, line, near), (host.name, "line", far)]:
                    _ip("-n", name, "address", "add", f"{address}/30", "dev", end)
                    _ip("-n", name, "link", "set", end, "up")
                hosts.append(host)
        except PermissionError as error:
            pytest.skip(f"no network namespaces can be made here: {error}")
        yield front, hosts
