"""Which servers run side by side, how each is installed, and how each is started at its best."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scenarios import Scenario

BENCH = Path(__file__).resolve().parent
APPS = BENCH / "apps"
BUILD = BENCH / "build"


class UnavailableError(Exception):
    """Why a server can't be measured here, or not in this scenario."""


class Environment:
    """The virtual environment that holds every server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / "bin" / "python"

    def create(self) -> None:
        """Makes it anew where it is missing or of another Python."""
        version = sysconfig.get_python_version()
        if self.python.exists() and (self.directory / "lib" / f"python{version}").exists():
            return
        arguments = [sys.executable, "-m", "venv", "--clear", str(self.directory)]
        subprocess.run(arguments, check=True)

    def install(self, *requirements: str) -> None:
        """Installs packages. Raises UnavailableError with what pip said."""
        command = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"pip install {' '.join(requirements)} failed: {_reason(done.stderr)}")

    def run(self, code: str, *arguments: str) -> str:
        """What a line of Python prints in it."""
        command = [str(self.python), "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def command(self, name: str) -> str:
        """The path of a command that a package brought."""
        return str(self.directory / "bin" / name)


def _reason(stderr: str) -> str:
    """The line of an installer's or compiler's output that says most: its first error, else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() and "subprocess" not in line.lower()]
    return (errors or lines or ["it said nothing"])[0 if errors else -1]


@dataclass(frozen=True)
class Start:
    """What a start command may depend on."""

    environment: Environment
    scenario: Scenario
    port: int

    @property
    def module(self) -> str:
        """The module of the application."""
        return self.scenario.application.partition(":")[0]

    @property
    def attribute(self) -> str:
        """The application's name in its module."""
        return self.scenario.application.partition(":")[2]

    def script(self, code: str) -> list[str]:
        """Python that serves `app` on `port`, which are its two variables."""
        load = f"from {self.module} import {self.attribute} as app; port = {self.port}\n"
        return [str(self.environment.python), "-c", load + code]


@dataclass(frozen=True)
class Peer:
    """A server."""

    name: str
    # shown beside the name: what it is
    kind: str
    # the settings it runs with, for bench/README.md and the saved runs
    start: Callable[[Start], list[str]]
    # what pip installs; the first one's version is shown
    requirements: tuple[str, ...] = ()
    # prepares what pip does not
    build: Callable[[Environment], None] | None = None
    # a program that shows what is possible, not a server
    is_floor: bool = False
    # how to get what `pip install` may lack
    hint: str = ""
    # scenarios it is known not to answer
    skips: dict[str, str] = field(default_factory=dict)


def _compile(name: str, *flags: str) -> None:
    BUILD.mkdir(exist_ok=True)
    sources = [str(BENCH / "floor" / f"{name}.c"), str(BENCH / "floor" / "loop.c")]
    command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(BUILD / name), *sources, *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UnavailableError("there is no C compiler: apt-get install gcc") from error
    if done.returncode != 0:
        raise UnavailableError(f"cc failed: {_reason(done.stderr)}")


def _build_fixed(_environment: Environment) -> None:
    _compile("fixed")


def _build_embed(_environment: Environment) -> None:
    directory = sysconfig.get_config_var("LIBDIR")
    library = f"python{sysconfig.get_config_var('LDVERSION')}"
    systems = (sysconfig.get_config_var("LIBS") or "").split()
    flags = [f"-I{sysconfig.get_path('include')}", f"-L{directory}", f"-Wl,-rpath,{directory}"]
    _compile("embed", *flags, f"-l{library}", *systems, "-lm")


def _start_fixed(start: Start) -> list[str]:
    return [str(BUILD / "fixed"), str(start.port), str(start.scenario.length)]


def _start_embed(start: Start) -> list[str]:
    return [
        str(BUILD / "embed"),
        str(start.port),
        str(start.environment.python),
        str(APPS),
        start.module,
        start.attribute,
        str(start.scenario.floor_strings),
    ]


def _build_whiskyjack(environment: Environment) -> None:
    # A release build of the checkout that this file lies in, apart from what `make` builds for another environment.
    os.environ.setdefault("CARGO_TARGET_DIR", str(BENCH.parent / "target" / "bench"))
    environment.install("--force-reinstall", "--no-deps", str(BENCH.parent))


def _start_whiskyjack(start: Start) -> list[str]:
    command = start.environment.command("whiskyjack")
    return [command, "-b", f"127.0.0.1:{start.port}", start.scenario.application]


def _start_gunicorn(start: Start, *flags: str) -> list[str]:
    command = start.environment.command("gunicorn")
    bind = ["-b", f"127.0.0.1:{start.port}", "--log-level", "warning", "--no-control-socket"]
    return [command, *bind, *flags, start.scenario.application]


def _start_gthread(start: Start) -> list[str]:
    return _start_gunicorn(start, "-k", "gthread", "--threads", "4", "--keep-alive", "65")


def _start_sync(start: Start) -> list[str]:
    return _start_gunicorn(start, "-k", "sync")


def _start_granian(start: Start) -> list[str]:
    flags = ["--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "1"]
    threads = ["--runtime-threads", "1", "--runtime-mode", "st", "--blocking-threads", "1"]
    bind = ["--host", "127.0.0.1", "--port", str(start.port), "--log-level", "warning"]
    if start.scenario.pipelined > 1:
        threads.append("--http1-pipeline-flush")
    command = start.environment.command("granian")
    return [command, *flags, *threads, *bind, start.scenario.application]


def _start_bjoern(start: Start) -> list[str]:
    return start.script("import bjoern; bjoern.run(app, '127.0.0.1', port)")


def _start_fastwsgi(start: Start) -> list[str]:
    return start.script("import fastwsgi; fastwsgi.run(app, host='127.0.0.1', port=port)")


def _start_waitress(start: Start) -> list[str]:
    return start.script(
        "import waitress; waitress.serve(app, host='127.0.0.1', port=port, threads=4, connection_limit=1000)"
    )


def _start_cheroot(start: Start) -> list[str]:
    return start.script("from cheroot.wsgi import Server; Server(('127.0.0.1', port), app, numthreads=4).start()")


def _start_gevent(start: Start) -> list[str]:
    return start.script(
        "from gevent.pywsgi import WSGIServer; WSGIServer(('127.0.0.1', port), app, log=None).serve_forever()"
    )


PEERS = (
    Peer("floor: kernel", "C, epoll, a fixed answer", _start_fixed, build=_build_fixed, is_floor=True),
    Peer(
        "floor: interpreter",
        "the same, and calls the application",
        _start_embed,
        build=_build_embed,
        is_floor=True,
        hint="it needs Python's headers and library: apt-get install python3-dev",
    ),
    Peer("whiskyjack", "Rust", _start_whiskyjack, build=_build_whiskyjack),
    Peer(
        "bjoern",
        "C, libev",
        _start_bjoern,
        ("bjoern==3.2.2",),
        hint="it needs libev's headers: apt-get install libev-dev",
    ),
    Peer("fastwsgi", "C, libuv", _start_fastwsgi, ("fastwsgi==0.0.9", "setuptools<81")),
    Peer("granian", "Rust, tokio and hyper", _start_granian, ("granian==2.8.7",)),
    Peer("gevent", "C and Python, libev", _start_gevent, ("gevent==26.9.0",)),
    Peer("waitress", "Python", _start_waitress, ("waitress==3.0.2",)),
    Peer("cheroot", "Python", _start_cheroot, ("cheroot==11.1.2",)),
    Peer("gunicorn gthread", "Python", _start_gthread, ("gunicorn==27.0.1",)),
    Peer("gunicorn sync", "Python, no keep-alive", _start_sync, ("gunicorn==27.0.1",)),
)


def prepare(peer: Peer, environment: Environment) -> str:
    """Installs or builds a server and says its version. Raises UnavailableError with the reason and a hint."""
    try:
        if peer.requirements:
            environment.install(*peer.requirements)
        if peer.build is not None:
            peer.build(environment)
    except UnavailableError as error:
        raise UnavailableError(f"{error} ({peer.hint})" if peer.hint else str(error)) from error
    if peer.is_floor:
        return ""
    package = peer.requirements[0].partition("==")[0] if peer.requirements else peer.name
    return environment.run(f"from importlib.metadata import version; print(version({package!r}))")
