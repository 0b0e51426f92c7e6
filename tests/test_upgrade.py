"""One supervisor after the other on the same sockets."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.conftest import Serve
from tests.support.load import Load
from tests.support.process import on_linux
from tests.support.server import APPS, run
from tests.support.wire import get, send

pytestmark = on_linux
ROUNDS = int(os.environ.get("FLEET_UPGRADES", "3"))


def named(pid: Path) -> int:
    return int(pid.read_text())


def test_upgrades_under_load_lose_no_request(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    control = ["--control", str(tmp_path / "control")]
    server = serve("fleet:app", "-w", "2", "--pid", str(file), *control)
    with Load(server) as load:
        for _ in range(ROUNDS):
            old = named(file)
            os.kill(old, signal.SIGUSR2)
            server.wait_for_log(rf"\[(?!{old}\])\d+\] INFO taking over from the supervisor with pid {old}$")
            server.wait_for_log(rf"\[{old}\] INFO the supervisor with pid \d+ serves")
            while Path(f"/proc/{old}/fd").exists() and Path(f"/proc/{old}/stat").read_text().rsplit(")")[1][1] != "Z":
                pass
            assert named(file) != old
            seen = load.total()
            while load.total() < seen + 50:
                pass
    assert load.faults == [], load.faults[:5]
    assert run("status", *control).returncode == 0
    assert run("stop", "--wait", *control).returncode == 0
    assert server.wait() == 0, server.log()
    assert list(tmp_path.iterdir()) == []


def test_an_upgrade_that_fails_changes_nothing(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text((APPS / "fleet.py").read_text())
    server = serve("shop:app", "-b", "unix:socket", "--pid", "pid", cwd=tmp_path)
    before = server.workers()
    (tmp_path / "shop.py").write_text("raise LookupError('new')\n")
    with Load(server) as load:
        server.signal(signal.SIGUSR2)
        server.wait_for_log("ERROR the upgrade failed, what served goes on serving")
    assert load.faults == []
    assert server.workers()[: len(before)] == before
    assert (named(tmp_path / "pid"), (tmp_path / "socket").is_socket()) == (server.process.pid, True)
    assert send(server.port, get("/?1")).status == 200
