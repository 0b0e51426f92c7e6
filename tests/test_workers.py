"""Workers: how many there are, who gets the work, and what is known of one that dies."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.cgroup import memory_limited
from tests.support.load import Load
from tests.support.process import on_linux
from tests.support.server import COMMAND, Server, run
from tests.support.wire import Conversation, conversation, get, send

pytestmark = on_linux
SERVES = r"worker \d+ \(pid (\d+)\) serves"


def answered_by(server: Server) -> int:
    return int(send(server.port, get("/?x", "Connection: close")).body.split()[0])


def test_there_are_as_many_workers_as_were_asked_for(serve: Serve) -> None:
    assert len(serve("fleet:app", "-w", "3").workers()) == 3
    assert len(serve("fleet:app", env={"WEB_CONCURRENCY": "2"}).workers()) == 2
    assert len(serve("fleet:app", "-w", "auto").workers()) >= 1
    alone = serve("fleet:app", "-w", "0")
    assert alone.workers() == [] and answered_by(alone) == alone.process.pid


def test_kept_connections_are_spread_evenly(serve: Serve) -> None:
    server = serve("fleet:app", "-w", "3")
    with ExitStack() as stack:
        opened = [stack.enter_context(conversation(server.port)) for _ in range(60)]
        by: Counter[int] = Counter()
        for connection in opened:
            connection.send(get("/?1"))
            by[int(connection.read_response().body.split()[0])] += 1
    assert set(by) == set(server.workers())
    # Each takes a connection only if it has no more than the others; two may decide at once.
    assert min(by.values()) >= 15, by


def test_short_connections_reach_every_worker(serve: Serve) -> None:
    server = serve("fleet:app", "-w", "2")
    with Load(server, kept=0, short=6) as load:
        while load.total() < 1500:
            pass
    assert load.faults == []
    assert min(load.answers[pid] for pid in server.workers()) > 300, load.answers


def test_a_worker_whose_threads_are_all_busy_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    release = tmp_path / "release"
    server = serve("fleet:app", "-w", "2", "--threads", "2", env={"FLEET_RELEASE": str(release)})
    with ExitStack() as stack:
        hanging: list[Conversation] = []
        # Two threads of one worker: kept connections of the same worker are used for both.
        first = stack.enter_context(conversation(server.port, get("/?1")))
        busy = int(first.read_response().body.split()[0])
        while len(hanging) < 1:
            other = stack.enter_context(conversation(server.port, get("/?1")))
            if int(other.read_response().body.split()[0]) == busy:
                hanging.append(other)
        for connection in [first, *hanging]:
            connection.send(get("/hang?2"))
        server.stdout.wait_for("hanging\nhanging\n")
        by = Counter(answered_by(server) for _ in range(100))
        release.touch()
        for connection in [first, *hanging]:
            assert connection.read_response().body == f"{busy} 2".encode()
    assert by[busy] == 0, (by, busy)


def test_a_worker_that_is_killed_is_replaced_and_certified(serve: Serve, tmp_path: Path) -> None:
    release = tmp_path / "release"
    server = serve("fleet:app", "--threads", "2", env={"FLEET_RELEASE": str(release)})
    pid = answered_by(server)
    with conversation(server.port, get("/hang?secret")) as opened:
        opened.send(b"")
        status = run("status", "--pid", "missing", cwd=tmp_path)
        assert status.returncode == 3
        os.kill(pid, signal.SIGKILL)
        assert opened.read_to_end() == b""
    line = server.wait_for_log(rf"ERROR worker 0 \(pid {pid}\) was killed by SIGKILL.*")[0]
    assert re.search(r"at the age of [\d.]+m?s, after 1 requests, ", line), line
    assert "GET /hang (" in line and "secret" not in line, line
    server.wait_for_log(SERVES)
    assert answered_by(server) != pid


def test_killed_workers_fail_only_what_they_had_in_hand(serve: Serve) -> None:
    server = serve("fleet:app", "-w", "2", "--threads", "2")
    kills = 3
    with Load(server) as load:
        for _ in range(kills):
            seen = load.total()
            while load.total() < seen + 100:
                pass
            victim = server.workers()[0]
            os.kill(victim, signal.SIGKILL)
            server.wait_for_log(rf"\(pid {victim}\) was killed by SIGKILL(?s:.*) serves")
    # Of six clients, those of the one worker had a request in hand or a connection open.
    assert len(load.faults) <= kills * 6, load.faults


@pytest.mark.parametrize("flags", [(), ("--preload",)])
def test_a_worker_that_is_killed_for_want_of_memory_has_it_in_its_certificate(
    serve: Serve, flags: tuple[str, ...]
) -> None:
    with memory_limited(240 << 20) as limited:
        server = serve("fleet:app", *flags, command=[*limited, *COMMAND])
        pid = answered_by(server)
        # Each takes 64 MiB and keeps them.
        with contextlib.suppress(AssertionError, ConnectionResetError):
            for _ in range(8):
                send(server.port, get("/grow?1"))
        line = server.wait_for_log(rf"ERROR worker 0 \(pid {pid}\) was killed by SIGKILL.*")[0]
        assert "was killed by SIGKILL, for want of memory in its control group at the age of" in line, line
        assert "GET /grow (" in line, line
        server.wait_for_log(SERVES)
        second = answered_by(server)
        os.kill(second, signal.SIGKILL)
        line = server.wait_for_log(rf"ERROR worker \d \(pid {second}\) was killed by SIGKILL.*")[0]
        assert "memory in its control group" not in line and "cannot be told" not in line, line
        server.wait_for_log(rf"{SERVES}(?s:.*){SERVES}")
        server.stop()


def test_a_worker_that_is_told_to_end_is_replaced(serve: Serve) -> None:
    server = serve("fleet:app")
    pid = answered_by(server)
    os.kill(pid, signal.SIGTERM)
    server.wait_for_log(SERVES)
    assert answered_by(server) != pid
    assert "ERROR" not in server.log()


def test_when_the_supervisor_is_killed_its_workers_finish_and_end(serve: Serve, tmp_path: Path) -> None:
    release = tmp_path / "release"
    server = serve("fleet:app", env={"FLEET_RELEASE": str(release)})
    with conversation(server.port, get("/?1")) as opened:
        pid = int(opened.read_response().body.split()[0])
        opened.send(get("/hang?2"))
        server.signal(signal.SIGKILL)
        server.wait_for_log("the supervisor is gone")
        release.touch()
        assert opened.read_response().body == f"{pid} 2".encode()
        opened.expect_end()
    assert server.wait() == -signal.SIGKILL


def test_workers_can_be_added_and_taken_away(serve: Serve) -> None:
    server = serve("fleet:app")
    server.signal(signal.SIGTTIN)
    server.wait_for_log(SERVES)
    assert len(server.workers()) == 2
    with Load(server) as load:
        server.signal(signal.SIGTTOU)
        server.wait_for_log(r"drains: there should be fewer workers")
        seen = load.total()
        while load.total() < seen + 200:
            pass
    assert load.faults == []


@pytest.mark.parametrize("flags", [(), ("--preload",)])
def test_sigwinch_lets_all_workers_finish_and_keeps_the_sockets(
    serve: Serve, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    release = tmp_path / "release"
    server = serve("fleet:app", "-w", "2", *flags, env={"FLEET_RELEASE": str(release)})
    with conversation(server.port, get("/hang?1")) as opened:
        server.stdout.wait_for("hanging")
        server.signal(signal.SIGWINCH)
        server.wait_for_log("INFO workers: 0, not 2$")
        server.wait_for_log(r"(drains: there should be fewer workers(?s:.*)){2}")
        release.touch()
        assert opened.read_response().body.endswith(b" 1")
        opened.expect_end()
    while server.workers():
        pass
    # Who connects now waits in the queue until a worker is there again.
    with conversation(server.port, get("/?2")) as waiting:
        server.signal(signal.SIGTTIN)
        assert waiting.read_response().body == f"{server.worker} 2".encode()
    server.signal(signal.SIGHUP)
    server.wait_for_log("INFO reloaded: 2 workers serve the new code")


def test_at_a_terminal_sigwinch_is_only_a_window_that_changes(serve: Serve) -> None:
    ours, terminal = os.openpty()
    try:
        at_it = ["sh", "-c", f'exec "$@" </dev/fd/{terminal}', "sh"]
        server = serve("fleet:app", command=[*at_it, *COMMAND], pass_fds=[terminal])
        before = server.workers()
        server.signal(signal.SIGWINCH)
        # Signals come in their order, and this one is answered.
        server.signal(signal.SIGTTIN)
        server.wait_for_log("INFO workers: 2, not 1$")
        server.wait_for_log(SERVES)
        assert server.workers()[:1] == before
        server.stop()
    finally:
        os.close(ours)
        os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_waits_in_the_queue(serve: Serve, number: signal.Signals) -> None:
    server = serve("fleet:app", "-w", "2", "--threads", "1")
    with ExitStack() as stack:
        asked = [stack.enter_context(conversation(server.port, get("/?q"))) for _ in range(50)]
        server.signal(number)
        answers = [connection.read_response() for connection in asked]
    assert [answer.status for answer in answers] == [200] * 50
    assert server.wait() == 0, server.log()


def test_with_a_drain_delay_answers_say_close_and_connections_are_taken_still(serve: Serve) -> None:
    server = serve("fleet:app", "--drain-delay", "1h")
    server.signal(signal.SIGTERM)
    server.wait_for_log("telling clients to close their connections")
    while not send(server.port, get("/?1")).closes:
        pass
    server.signal(signal.SIGINT)
    assert server.wait() == 0, server.log()


def test_sigquit_ends_at_once(serve: Serve, tmp_path: Path) -> None:
    server = serve("fleet:app", "--graceful-timeout", "1h", env={"FLEET_RELEASE": str(tmp_path / "never")})
    with conversation(server.port, get("/?1")) as opened:
        opened.read_response()
        opened.send(get("/hang"))
        server.signal(signal.SIGQUIT)
        assert server.wait() == 130
        with contextlib.suppress(ConnectionResetError):
            assert opened.read_to_end() == b""


def test_a_boot_that_fails_is_3_and_told_once(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import os\nos._exit(7)\n")
    done = run("-b", "127.0.0.1:0", "-w", "3", "shop", cwd=tmp_path)
    assert done.returncode == 3 and "exited with code 7" in done.stderr
    (tmp_path / "shop.py").write_text("raise LookupError('on import')\n")
    done = run("-b", "127.0.0.1:0", "-w", "3", "shop", cwd=tmp_path)
    assert done.returncode == 3 and done.stderr.count("LookupError: on import") == 1, done.stderr
