"""nginx and HAProxy in front of a server, with the very configurations that docs/behind-a-proxy.md recommends."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import program
from tests.support.server import DEADLINE, ROOT
from tests.support.sockets import listening, port_of

PAGE = ROOT / "docs" / "behind-a-proxy.md"

# what both are told to log of a request, where HAProxy has 0 or -1 for no status; its notices stand between
LINE = re.compile(r"^(-?[0-9]+) ([A-Z]+) (/[!-~]*)$", re.MULTILINE)

NGINX = """\
daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{
    worker_connections 512;
}}
http {{
    log_format tests '$status $request_method $request_uri';
    access_log {directory}/access.log tests;
    client_body_temp_path {directory}/client;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{documented}
}}
"""


def documented(section: str, language: str | None = None) -> str:
    """The configuration that stands in this section of the page: its one block in that language, or in its own."""
    (text,) = re.findall(rf"^## {section}\n(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = re.findall(rf"^```{language or section.lower()}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert isinstance(block, str)
    return block


def changed(text: str, changes: dict[str, str]) -> str:
    """The text with each of the passages, which must stand in it once, replaced."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in:\n{text}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Line:
    """One request in the proxy's access log."""

    status: int
    method: str
    target: str


class Proxy:
    """A running proxy."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, soft_stop: signal.Signals, log: Path) -> None:
        self._process = process
        self._soft_stop = soft_stop
        self._log = log
        self.port = port

    def stop(self) -> list[Line]:
        """Lets it end what it is about, and returns its access log."""
        if self._process.returncode is None:
            self._process.send_signal(self._soft_stop)
            try:
                code = self._process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                raise AssertionError("the proxy did not end: something is still under way") from None
            assert code == 0, f"the proxy ended with {code}"
        found = LINE.findall(self._log.read_text(encoding="ascii"))
        return [Line(int(status), method, target) for status, method, target in found]


@contextlib.contextmanager
def _running(
    command: list[str], given: socket.socket, env: dict[str, str], soft_stop: signal.Signals, directory: Path, log: Path
) -> Iterator[Proxy]:
    """The proxy is given a socket that listens already, so that it can be asked from now on."""
    with (directory / "output").open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **env},
            pass_fds=[given.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # a group of its own: nginx's workers outlive a master that is killed
            start_new_session=True,
        )
    proxy = Proxy(process, port_of(given), soft_stop, log)
    given.close()
    try:
        yield proxy
        proxy.stop()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def nginx(server: int | Path, directory: Path, changes: dict[str, str] | None = None) -> Iterator[Proxy]:
    """nginx in front of a port or a socket's path."""
    command = program("nginx", package="nginx")
    upstream = f"unix:{server}" if isinstance(server, Path) else f"127.0.0.1:{server}"
    with listening() as given:
        site = changed(
            documented("nginx"),
            {
                "server unix:/run/shop/shop.sock;": f"server {upstream};",
                "listen 443 ssl;": f"listen 127.0.0.1:{port_of(given)};",
                **(changes or {}),
            },
        )
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        settings = directory / "nginx.conf"
        settings.write_text(NGINX.format(directory=directory, user=user, documented=site), encoding="utf-8")
        flags = ["-p", str(directory), "-e", str(directory / "error.log"), "-c", str(settings)]
        # how nginx hands its sockets to the one that replaces it
        env = {"NGINX": f"{given.fileno()};"}
        with _running([command, *flags], given, env, signal.SIGQUIT, directory, directory / "access.log") as proxy:
            yield proxy


@contextlib.contextmanager
def haproxy(server: int | Path, directory: Path, changes: dict[str, str] | None = None) -> Iterator[Proxy]:
    """HAProxy in front of a port or a socket's path."""
    command = program("haproxy", package="haproxy")
    upstream = f"unix@{server}" if isinstance(server, Path) else f"127.0.0.1:{server}"
    with listening() as given:
        log = "    log stdout format raw local0\n    log-format '%ST %HM %HU'\n"
        site = changed(
            documented("HAProxy"),
            {
                "server one 127.0.0.1:8000\n": f"server one {upstream}\n",
                "    bind :443 ssl crt /etc/haproxy/shop.pem\n": f"    bind fd@{given.fileno()}\n{log}",
                **(changes or {}),
            },
        )
        settings = directory / "haproxy.cfg"
        # Several threads drop lines of a log at a descriptor that another of them holds for long.
        settings.write_text("global\n    nbthread 1\n" + site, encoding="utf-8")
        flags = ["-db", "-f", str(settings)]
        with _running([command, *flags], given, {}, signal.SIGUSR1, directory, directory / "output") as proxy:
            yield proxy
