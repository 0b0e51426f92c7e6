"""Reloads: new code takes over without a lost request, or does not take over at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.load import Load
from tests.support.process import on_linux
from tests.support.server import APPS, Server, run
from tests.support.wire import get, send

pytestmark = on_linux
# CI does a few; the full count is FLEET_ROUNDS=200.
ROUNDS = int(os.environ.get("FLEET_ROUNDS", "6"))


def reload(server: Server, cwd: Path) -> tuple[int, str]:
    done = run("reload", "--wait", "--control", "control", cwd=cwd)
    return done.returncode, done.stderr


def test_reloads_under_load_lose_no_request(serve: Serve, tmp_path: Path) -> None:
    server = serve("fleet:app", "-w", "2", "--control", str(tmp_path / "control"))
    with Load(server) as load:
        for _ in range(ROUNDS):
            before = set(server.workers())
            assert reload(server, tmp_path) == (0, "")
            seen = load.total()
            while load.total() < seen + 20:
                pass
            assert len(set(server.workers()) - before) == 2
    assert load.faults == [], load.faults[:5]


def test_the_new_code_serves_after_a_reload(serve: Serve, tmp_path: Path) -> None:
    source = (APPS / "fleet.py").read_text()
    (tmp_path / "shop.py").write_text(source)
    server = serve("shop:app", "--control", "control", cwd=tmp_path)
    assert b"new" not in send(server.port, get("/?1")).body
    (tmp_path / "shop.py").write_text(source.replace("{os.getpid()} ", "{os.getpid()} new "))
    server.signal(signal.SIGHUP)
    server.wait_for_log("INFO reloaded")
    assert b"new" in send(server.port, get("/?1")).body


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("def app(:\n", "SyntaxError"),
        ("import no_such_module\n", "no_such_module"),
        ("import os\nos._exit(9)\n", "exited with code 9"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "killed by SIGSEGV"),
        ("while True: pass\n", "boot timeout"),
    ],
)
def test_broken_code_takes_nothing_down(serve: Serve, tmp_path: Path, broken: str, why: str) -> None:
    (tmp_path / "shop.py").write_text((APPS / "fleet.py").read_text())
    server = serve("shop:app", "-w", "2", "--control", "control", "--boot-timeout", "1s", cwd=tmp_path)
    before = server.workers()
    with Load(server) as load:
        (tmp_path / "shop.py").write_text(broken)
        code, said = reload(server, tmp_path)
    assert code == 1 and why in said, said
    assert server.workers() == before and load.faults == []
    server.wait_for_log("ERROR the reload failed, what served goes on serving: ")
    (tmp_path / "shop.py").write_text((APPS / "fleet.py").read_text())
    assert reload(server, tmp_path) == (0, "")


def test_a_worker_that_is_not_ready_gets_no_request(serve: Serve, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    flags = ["--ready-path", "/healthz", "--boot-timeout", "1s", "--control", str(tmp_path / "control")]
    server = serve("fleet:app", *flags, env={"FLEET_READY": str(ready)})
    before = server.workers()
    ready.unlink()
    with Load(server) as load:
        code, said = reload(server, tmp_path)
    assert code == 1 and "/healthz answered 503" in said
    assert (server.workers(), load.faults) == (before, [])
    assert set(load.answers) == set(before)
    ready.touch()
    assert reload(server, tmp_path) == (0, "")


def test_a_touched_file_reloads(serve: Serve, tmp_path: Path) -> None:
    touched = tmp_path / "deployed"
    touched.touch()
    server = serve("fleet:app", "--touch-reload", str(touched))
    os.utime(touched, (1, 1))
    server.wait_for_log("INFO reloaded")


def test_settings_are_read_anew_and_wrong_ones_change_nothing(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "whiskyjack.toml"
    file.write_text("server-header = 'one'\n")
    server = serve("fleet:app", "--pythonpath", str(APPS), "--pid", "pid", cwd=tmp_path)
    assert send(server.port, get("/?1")).values("Server") == ["one"]
    file.write_text("server-header = 3.5.2\n")
    assert run("reload", "--pid", "pid", "-c", os.devnull, cwd=tmp_path).returncode == 0
    server.wait_for_log("ERROR the reload failed")
    file.write_text("server-header = 'two'\n")
    server.signal(signal.SIGHUP)
    server.wait_for_log("INFO reloaded")
    assert send(server.port, get("/?1")).values("Server") == ["two"]


def test_the_access_log_is_reopened(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = serve("fleet:app", "--access-log", str(log))
    send(server.port, get("/?1"))
    while "/?1 " not in log.read_text():
        pass
    log.rename(tmp_path / "old")
    server.signal(signal.SIGUSR1)
    while not log.exists():
        pass
    send(server.port, get("/?2"))
    server.stop()
    assert "/?1 " in (tmp_path / "old").read_text() and "/?2 " in log.read_text()
