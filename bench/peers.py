"""Which servers run side by side, how each is installed, and how each is started at its best."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass

from environment import APPS, BENCH, BUILD, Environment, UnavailableError, compile_c, has_llvm_tools
from scenarios import Scenario


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

    def script(self, code: str, first: str = "") -> list[str]:
        """Python that serves `app` on `port`, which are its two variables. `first` runs before `app` is imported."""
        load = f"from {self.module} import {self.attribute} as app; port = {self.port}\n"
        return [str(self.environment.python), "-c", first + load + code]

    def threads(self, otherwise: int) -> int:
        """As many threads as requests wait at once, or the scenario is about, or else the server's usual number."""
        return self.scenario.waiting or self.scenario.threads or otherwise

    @property
    def connections(self) -> int:
        """A limit of connections that none of the scenarios reaches."""
        return self.scenario.connections + 1000


KERNEL = "floor: kernel"
INTERPRETER = "floor: interpreter"


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
    # prepares what pip does not, and says what there is to say about how
    build: Callable[[Environment], str] | None = None
    # a program that shows what is possible, not a server
    is_floor: bool = False
    # how to get what `pip install` may lack
    hint: str = ""
    # it sends a wrapped file by sendfile(2)
    sends_files: bool = False
    # it has no way of its own to run several processes
    one_process: bool = False
    # several threads of one process of it call the application
    has_threads: bool = False

    def takes_part(self, scenario: Scenario) -> bool:
        """Servers are in every table, the programs in those that they can be compared in."""
        if self is ALONE:
            return scenario.alone
        if scenario.threads:
            return self.has_threads
        if scenario.waiting and self.name == KERNEL:
            # It waits for nothing.
            return False
        return not self.is_floor or scenario.floor_strings > 0

    def cannot(self, scenario: Scenario) -> str:
        """Why a scenario is none for it, known without trying."""
        if self.one_process and scenario.workers > 1:
            return "it has no workers of its own"
        return ""


def _build_fixed(_environment: Environment) -> str:
    compile_c("fixed", ["floor/fixed.c", "floor/loop.c"])
    return ""


def _build_embed(_environment: Environment) -> str:
    directory = sysconfig.get_config_var("LIBDIR")
    library = f"python{sysconfig.get_config_var('LDVERSION')}"
    systems = (sysconfig.get_config_var("LIBS") or "").split()
    flags = [f"-I{sysconfig.get_path('include')}", f"-L{directory}", f"-Wl,-rpath,{directory}"]
    compile_c("embed", ["floor/embed.c", "floor/loop.c"], *flags, f"-l{library}", *systems, "-lm")
    return ""


def _start_fixed(start: Start) -> list[str]:
    return [str(BUILD / "fixed"), str(start.port), str(len(start.scenario.answer))]


def _start_embed(start: Start) -> list[str]:
    return [
        str(BUILD / "embed"),
        str(start.port),
        str(start.environment.python),
        str(APPS),
        start.module,
        start.attribute,
        str(start.scenario.floor_strings),
        str(start.threads(1)),
    ]


def _build_whiskyjack(environment: Environment) -> str:
    # The checkout that this file lies in, built as `make wheel` does, apart from what `make` builds for another
    # environment. Without LLVM's tools it is a plain release build.
    guided = {"MATURIN_PGO": "true"} if has_llvm_tools() else {}
    name = environment.directory.name.replace(".venv", "bench")
    target = os.environ.get("CARGO_TARGET_DIR") or str(BENCH.parent / "target" / name)
    environment.install("maturin>=1.16,<2")
    build = ("--force-reinstall", "--no-deps", "--no-build-isolation", str(BENCH.parent))
    environment.install(*build, CARGO_TARGET_DIR=target, **guided)
    return "PGO" if guided else ""


def _start_whiskyjack(start: Start) -> list[str]:
    command = [start.environment.command("whiskyjack"), "-b", f"127.0.0.1:{start.port}"]
    if threads := start.threads(0):
        command += ["--threads", str(threads)]
    if start.scenario.threads:
        command += ["--workers", "0"]
    if start.scenario.workers > 1:
        command += ["--workers", str(start.scenario.workers)]
    return [*command, start.scenario.application]


def _start_gunicorn(start: Start, *flags: str) -> list[str]:
    command = start.environment.command("gunicorn")
    bind = ["-b", f"127.0.0.1:{start.port}", "--log-level", "warning", "--no-control-socket"]
    workers = ["--workers", str(start.scenario.workers)]
    return [command, *bind, *workers, *flags, start.scenario.application]


def _start_gthread(start: Start) -> list[str]:
    threads = ["--threads", str(start.threads(4)), "--keep-alive", "65"]
    return _start_gunicorn(start, "-k", "gthread", *threads, "--worker-connections", str(start.connections))


def _start_sync(start: Start) -> list[str]:
    return _start_gunicorn(start, "-k", "sync")


def _start_granian(start: Start) -> list[str]:
    flags = ["--interface", "wsgi", "--http", "1", "--no-ws", "--workers", str(start.scenario.workers)]
    threads = ["--runtime-threads", "1", "--runtime-mode", "st", "--blocking-threads", str(start.threads(1))]
    bind = ["--host", "127.0.0.1", "--port", str(start.port), "--log-level", "warning"]
    # It takes no more connections than these at once.
    limits = ["--backpressure", str(start.connections), "--backlog", "1024"]
    if start.scenario.pipelined > 1:
        threads.append("--http1-pipeline-flush")
    command = start.environment.command("granian")
    return [command, *flags, *threads, *bind, *limits, start.scenario.application]


def _start_uwsgi(start: Start) -> list[str]:
    # A connection that is kept has a thread of uWSGI's to itself, so that it needs one for each.
    threads = ["--threads", str(min(start.scenario.connections, 64)), "--listen", "1024"]
    flags = ["--master", "--need-app", "--single-interpreter", "--disable-logging", "--die-on-term"]
    bind = ["--http11-socket", f"127.0.0.1:{start.port}", "--buffer-size", "32768"]
    application = ["--module", start.scenario.application, "--processes", str(start.scenario.workers)]
    return [start.environment.command("uwsgi"), *bind, *flags, *threads, *application]


def _start_bjoern(start: Start) -> list[str]:
    fork = "import os; os.fork(); " if start.scenario.workers > 1 else ""
    return start.script(f"import bjoern; bjoern.listen(app, '127.0.0.1', port); {fork}bjoern.run()")


def _start_fastwsgi(start: Start) -> list[str]:
    options = f"host='127.0.0.1', port=port, workers={start.scenario.workers}"
    return start.script(f"import fastwsgi; fastwsgi.run(app, {options})")


def _start_waitress(start: Start) -> list[str]:
    options = f"threads={start.threads(4)}, connection_limit={start.connections}, asyncore_use_poll=True"
    return start.script(f"import waitress; waitress.serve(app, host='127.0.0.1', port=port, {options})")


def _start_cheroot(start: Start) -> list[str]:
    return start.script(
        "from cheroot.wsgi import Server\n"
        f"server = Server(('127.0.0.1', port), app, numthreads={start.threads(4)}, request_queue_size=1024)\n"
        "server.keep_alive_conn_limit = None\n"
        "server.timeout = 65\n"
        "server.start()"
    )


def _start_gevent(start: Start) -> list[str]:
    # What waits in the application becomes gevent's by the patch, which has to come before everything else.
    fork = "gevent.fork(); " if start.scenario.workers > 1 else ""
    return start.script(
        "from gevent.pywsgi import WSGIServer; server = WSGIServer(('127.0.0.1', port), app, log=None, backlog=1024)\n"
        f"server.init_socket(); {fork}server.serve_forever()",
        first="import gevent; from gevent import monkey; monkey.patch_all()\n",
    )


def _start_alone(start: Start) -> list[str]:
    return [str(start.environment.python), str(BENCH / "clients" / "alone.py"), start.scenario.application]


# What the application costs by itself. The rest of a server's figure is the server's.
ALONE = Peer("application alone", "no server: it is called in a loop", _start_alone, is_floor=True)

PEERS = (
    Peer(KERNEL, "C, epoll, a fixed answer", _start_fixed, build=_build_fixed, is_floor=True),
    Peer(
        INTERPRETER,
        "the same, and calls the application",
        _start_embed,
        build=_build_embed,
        is_floor=True,
        hint="it needs Python's headers and library: apt-get install python3-dev",
    ),
    ALONE,
    Peer("whiskyjack", "Rust", _start_whiskyjack, build=_build_whiskyjack, sends_files=True, has_threads=True),
    Peer(
        "bjoern",
        "C, libev",
        _start_bjoern,
        ("bjoern==3.2.2",),
        hint="it needs libev's headers: apt-get install libev-dev",
        sends_files=True,
    ),
    Peer("fastwsgi", "C, libuv", _start_fastwsgi, ("fastwsgi==0.0.9", "setuptools<81")),
    Peer("granian", "Rust, tokio and hyper", _start_granian, ("granian==2.8.7",), has_threads=True),
    Peer("uwsgi", "C", _start_uwsgi, ("uwsgi==2.0.31",), sends_files=True),
    Peer("gevent", "C and Python, libev", _start_gevent, ("gevent==26.9.0",)),
    Peer("waitress", "Python", _start_waitress, ("waitress==3.0.2",), one_process=True, has_threads=True),
    Peer("cheroot", "Python", _start_cheroot, ("cheroot==11.1.2",), one_process=True, has_threads=True),
    Peer("gunicorn gthread", "Python", _start_gthread, ("gunicorn==27.0.1",), sends_files=True, has_threads=True),
    Peer("gunicorn sync", "Python, no keep-alive", _start_sync, ("gunicorn==27.0.1",), sends_files=True),
)

# Those that the goals name, and the floors: enough for a look.
QUICK = (KERNEL, INTERPRETER, "application alone", "whiskyjack", "bjoern", "fastwsgi", "granian")


def prepare(peer: Peer, environment: Environment) -> str:
    """Installs or builds a server and says its version. Raises UnavailableError with the reason and a hint."""
    how = ""
    try:
        if peer.requirements:
            environment.install(*peer.requirements)
        if peer.build is not None:
            how = peer.build(environment)
    except UnavailableError as error:
        raise UnavailableError(f"{error} ({peer.hint})" if peer.hint else str(error)) from error
    if peer.is_floor:
        return ""
    package = peer.requirements[0].partition("==")[0] if peer.requirements else peer.name
    version = environment.run(f"from importlib.metadata import version; print(version({package!r}))")
    return f"{version} {how}".strip()
