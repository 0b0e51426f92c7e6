"""Two servers behind a load balancer, each with a network of its own, are replaced one after the other under load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.haproxy import balancing
from tests.support.load import Load
from tests.support.namespaces import Host, hosts_behind_one, inside
from tests.support.process import on_linux
from tests.support.server import APPS, COMMAND, Server
from tests.support.sockets import listening, port_of

pytestmark = on_linux
PORT = 8000


def start(serve: Serve, host: Host, ready: Path, cwd: Path) -> Server:
    ready.touch()
    return serve(
        "shop:app",
        "-w",
        "2",
        "--drain-delay",
        "1s",
        bind=f"0.0.0.0:{PORT}",
        cwd=cwd,
        env={"FLEET_READY": str(ready)},
        command=[*host.inside, *COMMAND],
    )


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_rolling_upgrade_behind_haproxy_fails_no_request(serve: Serve, tmp_path: Path, is_announced: bool) -> None:
    """Announced: the health check fails before the server is told to end. Otherwise HAProxy finds out by itself."""
    (tmp_path / "shop.py").write_text((APPS / "fleet.py").read_text())
    with hosts_behind_one(2) as (front, hosts), listening() as made:
        behind = dict(zip(("one", "two"), hosts, strict=True))
        readies = {name: tmp_path / f"{name} is ready" for name in behind}
        servers = {name: start(serve, host, readies[name], tmp_path) for name, host in behind.items()}
        one, two = (f"{host.address}:{PORT}" for host in hosts)
        with balancing(made, one, two, tmp_path, inside(front)) as balancer:
            while balancer.up() != set(behind):
                pass
            with Load(port_of(made)) as load:
                for name, host in behind.items():
                    while not set(servers[name].workers()) & set(load.answers):
                        pass
                    if is_announced:
                        readies[name].unlink()
                        while name in balancer.up():
                            pass
                    servers[name].stop()
                    while name in balancer.up():
                        pass
                    servers[name] = start(serve, host, readies[name], tmp_path)
                    while name not in balancer.up():
                        pass
                    while not set(servers[name].workers()) & set(load.answers):
                        pass
        assert load.faults == [], load.faults[:5]
        for server in servers.values():
            server.stop()
