"""`--preload`: the application is loaded once, and workers are forked from the process that has loaded it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.load import Load
from tests.support.process import on_linux
from tests.support.server import APPS, Server, is_there, run
from tests.support.wire import conversation, get, send

pytestmark = on_linux
ROUNDS = int(os.environ.get("FLEET_ROUNDS", "6"))

# What is appended here is done once for each time that the application is loaded.
TELL = """
import os, pathlib
with open(pathlib.Path(__file__).with_name("imports"), "a") as imports:
    print(os.getpid(), file=imports)
"""


class Shop:
    """An application in a directory of its own, that writes down which processes load it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write()

    def write(self, more: str = "", change: Callable[[str], str] = str) -> None:
        source = (APPS / "fleet.py").read_text()
        (self.directory / "shop.py").write_text(change(source) + TELL + more)

    def break_with(self, code: str) -> None:
        (self.directory / "shop.py").write_text(code)

    def imports(self) -> list[int]:
        return [int(line) for line in (self.directory / "imports").read_text().split()]

    def reload(self) -> tuple[int, str]:
        done = run("reload", "--wait", "--control", "control", cwd=self.directory)
        return done.returncode, done.stderr


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def preloaded(serve: Serve, shop: Shop) -> Callable[..., Server]:
    def started(*flags: str, env: dict[str, str] | None = None) -> Server:
        return serve("shop:app", "--preload", "--control", "control", *flags, cwd=shop.directory, env=env)

    return started


Preloaded = Callable[..., Server]


def answer(server: Server, path: str = "/?x") -> str:
    return send(server.port, get(path, "Connection: close")).body.decode()


def test_the_application_is_loaded_once_for_all_workers(preloaded: Preloaded, shop: Shop) -> None:
    server = preloaded("-w", "3")
    workers = server.workers()
    assert len(workers) == 3 and shop.imports() == server.loaders()
    with Load(server) as load:
        for count in (4, 5):
            server.signal(signal.SIGTTIN)
            while len(server.workers()) < count:
                pass
        while set(load.answers) < set(server.workers()):
            pass
    assert load.faults == []
    assert shop.imports() == server.loaders()


HEAP = """
import gc
catalogue = [[number] for number in range(300_000)]
application = app
def app(environ, start_response):
    gc.collect()
    return application(environ, start_response)
"""


def private(pid: int) -> int:
    """Kilobytes of memory that the process shares with no other."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(number) for number in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.MULTILINE))


def test_workers_share_the_memory_of_what_was_loaded(serve: Serve, shop: Shop) -> None:
    shop.write(HEAP)
    took = {}
    for flags in [(), ("--preload",)]:
        server = serve("shop:app", "-w", "2", *flags, cwd=shop.directory)
        answered: set[int] = set()
        while answered < set(server.workers()):
            # A collection looks at every list that it may free, and would write to it.
            answered.add(int(answer(server).split()[0]))
        took[flags] = max(private(pid) for pid in server.workers())
    assert took[("--preload",)] * 3 < took[()], took


def test_a_reload_loads_anew_and_the_old_loader_goes(preloaded: Preloaded, shop: Shop) -> None:
    server = preloaded("-w", "2")
    (old,) = server.loaders()
    assert "new" not in answer(server)
    shop.write(change=lambda source: source.replace("{os.getpid()} ", "{os.getpid()} new "))
    assert shop.reload() == (0, "")
    assert "new" in answer(server)
    while is_there(old):
        pass
    (new,) = server.loaders()
    assert shop.imports() == [old, new] and len(server.workers()) == 2


def test_reloads_under_load_lose_no_request(preloaded: Preloaded, shop: Shop) -> None:
    server = preloaded("-w", "2")
    with Load(server) as load:
        for _ in range(ROUNDS):
            before = set(server.workers())
            assert shop.reload() == (0, "")
            seen = load.total()
            while load.total() < seen + 20:
                pass
            assert len(set(server.workers()) - before) >= 2
    assert load.faults == [], load.faults[:5]
    assert len(shop.imports()) == ROUNDS + 1


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("def app(:\n", "SyntaxError"),
        ("import no_such_module\n", "no_such_module"),
        ("import os\nos._exit(9)\n", "exited with code 9"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "killed by SIGSEGV"),
        ("while True: pass\n", "boot timeout"),
        (
            "import os\nos.register_at_fork(after_in_child=lambda: os._exit(8))\ndef app(e, s): return []\n",
            "gone before it could say a word",
        ),
        ("while True:\n    try:\n        while True: pass\n    except BaseException: pass\n", "boot timeout"),
    ],
)
def test_broken_code_takes_nothing_down(preloaded: Preloaded, shop: Shop, broken: str, why: str) -> None:
    server = preloaded("-w", "2", "--boot-timeout", "1s")
    before, loaders = server.workers(), server.loaders()
    with Load(server) as load:
        shop.break_with(broken)
        code, said = shop.reload()
    assert code == 1 and why in said, said
    assert load.faults == []
    server.wait_for_log("ERROR the reload failed, what served goes on serving: ")
    while (server.workers(), server.loaders()) != (before, loaders):
        pass
    shop.write()
    assert shop.reload() == (0, "")


def test_a_worker_that_dies_while_code_is_broken_is_replaced_with_what_was_loaded(
    preloaded: Preloaded, shop: Shop
) -> None:
    server = preloaded()
    shop.break_with("raise LookupError('half a deployment')\n")
    os.kill(server.worker, signal.SIGKILL)
    server.wait_for_log(r"worker \d+ \(pid \d+\) serves")
    assert answer(server).endswith(" x") and "LookupError" not in server.log()


def test_code_that_was_tried_and_not_ready_is_loaded_anew(preloaded: Preloaded, shop: Shop, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    server = preloaded("--ready-path", "/healthz", "--boot-timeout", "1s", env={"FLEET_READY": str(ready)})
    before = server.workers()
    ready.unlink()
    code, said = shop.reload()
    assert code == 1 and "/healthz answered 503" in said, said
    assert server.workers()[:1] == before
    ready.touch()
    assert shop.reload() == (0, "")
    while len(server.loaders()) > 1:
        pass
    assert len(shop.imports()) == 3 and server.loaders() == shop.imports()[2:]


def test_a_newer_reload_takes_the_place_of_one_that_still_loads(preloaded: Preloaded, shop: Shop) -> None:
    server = preloaded()
    fifo = shop.directory / "fifo"
    os.mkfifo(fifo)
    shop.write(f"\nprint('loads', flush=True)\nopen({str(fifo)!r}).read()\n")
    server.signal(signal.SIGHUP)
    server.stdout.wait_for("loads")
    shop.write()
    assert shop.reload() == (0, "")
    while len(server.loaders()) > 1:
        pass
    assert answer(server).endswith(" x") and len(shop.imports()) == 3


def test_a_worker_that_is_killed_is_certified_and_replaced_without_loading(
    preloaded: Preloaded, shop: Shop, tmp_path: Path
) -> None:
    server = preloaded("--threads", "2", env={"FLEET_RELEASE": str(tmp_path / "never")})
    pid = server.worker
    with conversation(server.port, get("/hang?secret")) as opened:
        server.stdout.wait_for("hanging")
        os.kill(pid, signal.SIGKILL)
        assert opened.read_to_end() == b""
    line = server.wait_for_log(rf"ERROR worker 0 \(pid {pid}\) was killed by SIGKILL.*")[0]
    assert "GET /hang (" in line, line
    server.wait_for_log(r"worker \d+ \(pid \d+\) serves")
    assert int(answer(server).split()[0]) == server.worker != pid
    assert shop.imports() == server.loaders()


def test_recycled_workers_are_forked_from_what_was_loaded(preloaded: Preloaded, shop: Shop) -> None:
    server = preloaded("-w", "2", "--max-requests", "100")
    with Load(server) as load:
        while len(load.answers) < 6:
            pass
    assert load.faults == [], load.faults[:5]
    assert shop.imports() == server.loaders()


def test_a_loader_that_is_killed_takes_no_worker_with_it(preloaded: Preloaded, shop: Shop) -> None:
    server = preloaded("-w", "2")
    workers, (loader,) = server.workers(), server.loaders()
    with Load(server) as load:
        os.kill(loader, signal.SIGKILL)
        server.wait_for_log(rf"ERROR the loader \(pid {loader}\) was killed by SIGKILL: its workers go on serving")
        while server.loaders() in ([], [loader]) or len(shop.imports()) < 2:
            pass
        seen = load.total()
        while load.total() < seen + 100:
            pass
        assert set(load.answers) <= set(workers)
    assert load.faults == []
    (second,) = server.loaders()
    # Of those that it has adopted the supervisor hears by itself how they end.
    os.kill(workers[0], signal.SIGKILL)
    server.wait_for_log(rf"\(pid {workers[0]}\) was killed by SIGKILL(?s:.*) serves")
    assert shop.imports() == [loader, second]
    assert set(server.workers()) > {workers[1]} and len(server.workers()) == 2
    assert shop.reload() == (0, "")
    while is_there(workers[1]):
        pass
    server.stop()
    assert not is_there(second)


def test_a_loader_that_does_nothing_is_replaced(preloaded: Preloaded, shop: Shop) -> None:
    server = preloaded("--boot-timeout", "1s")
    worker, (loader,) = server.worker, server.loaders()
    os.kill(loader, signal.SIGSTOP)
    server.signal(signal.SIGTTIN)
    server.wait_for_log("ERROR worker 1 failed: it did not become ready within the boot timeout")
    server.wait_for_log(r"worker 1 \(pid \d+\) serves")
    assert not is_there(loader) and is_there(worker) and len(shop.imports()) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_waits_and_leaves_nobody(
    preloaded: Preloaded, number: signal.Signals, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    server = preloaded("-w", "2", env={"FLEET_RELEASE": str(release)})
    there = [*server.workers(), *server.loaders()]
    with conversation(server.port, get("/hang?1")) as opened:
        server.stdout.wait_for("hanging")
        server.signal(number)
        server.wait_for_log("finishing what is under way")
        release.touch()
        assert opened.read_response().body.endswith(b" 1")
    assert server.wait() == 0, server.log()
    assert not any(is_there(pid) for pid in there)
    with pytest.raises(ConnectionRefusedError):
        answer(server)


def test_a_loader_holds_no_socket_open(preloaded: Preloaded) -> None:
    """Who connects once a stop was asked for is refused, not kept waiting in a queue that nobody looks after."""
    server = preloaded()
    (loader,) = server.loaders()
    ours = {os.readlink(link) for link in Path(f"/proc/{server.process.pid}/fd").iterdir()}
    listening = re.findall(rf":{server.port:04X} \S+ 0A (?:\S+ +){{5}}(\d+)", Path("/proc/net/tcp").read_text())
    assert len(listening) == 1 and f"socket:[{listening[0]}]" in ours
    its = {os.readlink(link) for link in Path(f"/proc/{loader}/fd").iterdir()}
    assert f"socket:[{listening[0]}]" not in its


def test_when_the_supervisor_is_killed_all_end(preloaded: Preloaded) -> None:
    server = preloaded("-w", "2")
    there = [*server.workers(), *server.loaders()]
    server.signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    while any(is_there(pid) for pid in there):
        pass


def test_an_upgrade_under_load_loses_no_request(preloaded: Preloaded, shop: Shop) -> None:
    file = shop.directory / "pid"
    server = preloaded("-w", "2", "--pid", "pid")
    with Load(server) as load:
        server.signal(signal.SIGUSR2)
        server.wait_for_log(rf"INFO taking over from the supervisor with pid {server.process.pid}$")
        while is_there(server.process.pid):
            pass
        seen = load.total()
        while load.total() < seen + 50:
            pass
    assert load.faults == [], load.faults[:5]
    assert int(file.read_text()) != server.process.pid and len(shop.imports()) == 2
    assert run("stop", "--wait", "--control", "control", cwd=shop.directory).returncode == 0
    assert server.wait() == 0, server.log()


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("raise LookupError('on import')\n", "LookupError: on import"),
        ("import os\nos._exit(7)\n", "exited with code 7"),
    ],
)
def test_a_boot_that_fails_is_3_and_told_once(shop: Shop, broken: str, why: str) -> None:
    shop.break_with(broken)
    done = run("-b", "127.0.0.1:0", "-w", "3", "--preload", "shop", cwd=shop.directory)
    assert done.returncode == 3 and done.stderr.count(why) == 1, done.stderr


THREADS = """
import ctypes, threading
process = ctypes.CDLL(None)
assert process.pthread_create(ctypes.byref(ctypes.c_ulong()), None, process.pause, None) == 0
nobody = threading.Event()
threading.Thread(target=nobody.wait, name="sampler", daemon=True).start()
threading.Thread(target=nobody.wait, name="flusher").start()
"""


def test_threads_that_are_started_on_import_are_named(preloaded: Preloaded, shop: Shop) -> None:
    shop.write(THREADS)
    server = preloaded()
    line = server.wait_for_log(r"WARN the application has started threads while it was loaded \((.*?)\): ")
    assert line[1] == "sampler, flusher, 1 that Python does not know, called whiskyjack"
    assert answer(server).endswith(" x")
    shop.write()
    assert shop.reload() == (0, "")
    assert server.log().count("has started threads") == 1
    # One of them keeps a program from ending. It does not keep a loader.
    while len(server.loaders()) > 1:
        pass


HOOKS = """
import os, signal
made = {}
def connect():
    made["by"] = os.getpid()
os.register_at_fork(after_in_child=connect)
def chosen(number, frame): pass
signal.signal(signal.SIGCHLD, chosen)
signal.signal(signal.SIGUSR2, chosen)
def app(environ, start_response):
    kept = [signal.getsignal(number) is chosen for number in (signal.SIGCHLD, signal.SIGUSR2)]
    body = f"{made['by'] == os.getpid()} {kept} {signal.pthread_sigmask(signal.SIG_BLOCK, [])}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_a_worker_has_what_hooks_and_handlers_make_of_it(preloaded: Preloaded, shop: Shop) -> None:
    shop.write(HOOKS)
    server = preloaded()
    assert answer(server) == "True [True, True] set()"


def test_a_reload_turns_it_on_and_off(serve: Serve, shop: Shop) -> None:
    file = shop.directory / "whiskyjack.toml"
    file.write_text("workers = 2\n")
    server = serve("shop:app", "--control", "control", cwd=shop.directory)
    assert (len(server.workers()), server.loaders(), len(shop.imports())) == (2, [], 2)
    file.write_text("workers = 2\npreload = true\n")
    assert shop.reload() == (0, "")
    while len(server.workers()) > 2:
        pass
    assert len(server.loaders()) == 1 and len(shop.imports()) == 3
    file.write_text("workers = 2\n")
    assert shop.reload() == (0, "")
    while server.loaders() or len(server.workers()) > 2:
        pass
    assert len(shop.imports()) == 5
