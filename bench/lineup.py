"""Who takes part in which table, and out of which environment: servers without a GIL have one of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from environment import BENCH, Environment, UnavailableError, free_threaded
from peers import Peer, prepare
from report import Row, Table
from scenarios import Scenario

Part = list[tuple[Scenario, Table]]


def free_threaded_environment(part: Part) -> tuple[Environment | None, str]:
    """The environment of what is measured without a GIL, or why there is none."""
    if not part:
        return None, ""
    try:
        environment = Environment(BENCH / ".venv-free-threaded", free_threaded())
        environment.create()
    except (UnavailableError, subprocess.CalledProcessError) as error:
        return None, str(error)
    version = environment.run("import platform; print(platform.python_version())")
    for _, table in part:
        table.title += f" (free-threaded CPython {version})"
    return environment, ""


def install(
    peers: list[Peer], environment: Environment | None, part: Part, reason: str = "", *, say: Callable[[str], None]
) -> set[Peer]:
    """Installs who takes part, and gives each a row in its tables. Those that can be measured are returned."""
    prepared = set()
    for peer in peers:
        tables = [table for scenario, table in part if peer.takes_part(scenario)]
        if not tables:
            continue
        version, missing = "", reason
        if environment is not None:
            say(f"preparing {peer.name} in {environment.directory.name}")
            try:
                version = prepare(peer, environment)
                prepared.add(peer)
            except UnavailableError as error:
                missing = str(error)
        for table in tables:
            why = f"not measured: {missing}" if missing else ""
            table.rows.append(Row(peer.name, peer.kind, version, peer.is_floor, missing=why))
    return prepared
