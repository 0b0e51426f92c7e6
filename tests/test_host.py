"""The server and its host: the service manager, users, variables, names of processes, containers."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from tests.support.client import curl
from tests.support.manager import PASS, Manager, descriptors, is_root, listening
from tests.support.process import on_linux
from tests.support.server import APPS, COMMAND, Server, run

needs_root = pytest.mark.skipif(not is_root(), reason="only root can become another user")


def told(server: Server, path: str = "/", *arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(curl(*arguments, f"{server.url}{path}"))
    return answer


@pytest.fixture(params=["a file", "the abstract namespace"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "the abstract namespace" and sys.platform != "linux":
        pytest.skip("the abstract namespace is Linux's")
    address = tmp_path / "notify" if request.param == "a file" else f"@whiskyjack-test-{os.getpid()}"
    with Manager(address) as found:
        yield found


def test_the_manager_hears_when_all_workers_serve_and_when_the_end_begins(serve: Serve, manager: Manager) -> None:
    server = serve("host:app", "--workers", "2", env=manager.variables)
    assert manager.hear() == {"READY": "1", "STATUS": "2 of 2 workers serve host:app"}
    variables = told(server)["environ"]
    assert "NOTIFY_SOCKET" not in variables
    server.stop()
    assert manager.hear_until("STOPPING")["STOPPING"] == "1"


def test_the_manager_hears_of_a_reload_and_of_its_failure(serve: Serve, manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from wsgiref.simple_server import demo_app as app\n")
    server = serve("shop:app", cwd=tmp_path, env=manager.variables)
    manager.hear_until("READY")
    server.signal(signal.SIGHUP)
    reloading = manager.hear_until("RELOADING")
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.hear_until("READY")["STATUS"] == "1 of 1 workers serve shop:app"
    (tmp_path / "shop.py").write_text("raise SystemExit\n")
    server.signal(signal.SIGHUP)
    again = manager.hear_until("RELOADING")
    assert int(again["MONOTONIC_USEC"]) > int(reloading["MONOTONIC_USEC"])
    assert manager.hear_until("READY")["STATUS"].startswith("the last reload failed; 1 of 1 workers serve")


def test_the_manager_is_given_signs_of_life(serve: Serve, tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        serve("host:app", env={**manager.variables, "WATCHDOG_USEC": "100000"})
        for _ in range(4):
            assert manager.hear_until("WATCHDOG") == {"WATCHDOG": "1"}


def test_a_watchdog_that_is_for_another_process_is_let_be(serve: Serve, tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        server = serve("host:app", env={**manager.variables, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
        manager.hear_until("READY")
        server.stop()
        manager.hear_until("STOPPING")
        assert not any("WATCHDOG" in message for message in manager.heard)


def test_an_upgrade_tells_the_manager_whom_to_hear_now(serve: Serve, tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        pid = tmp_path / "pid"
        server = serve("host:app", "--pid", str(pid), env=manager.variables)
        manager.hear_until("READY")
        server.signal(signal.SIGUSR2)
        heir = int(manager.hear_until("MAINPID")["MAINPID"])
        assert server.wait() == 0
        assert heir == int(pid.read_text()) != server.process.pid
        os.kill(heir, signal.SIGTERM)
        manager.hear_until("STOPPING")


def passed(directory: Path, names: str, count: int, *flags: str, serve: Serve) -> tuple[Server, list[Any]]:
    sockets = listening(directory, count)
    command = [sys.executable, "-c", PASS, descriptors(sockets), names, *COMMAND]
    server = serve("host:app", *flags, bind=None, pass_fds=[one.fileno() for one in sockets], command=command)
    return server, sockets


def test_sockets_that_the_manager_passes_are_served_unasked(serve: Serve, tmp_path: Path) -> None:
    server, sockets = passed(tmp_path, "web:admin", 2, serve=serve)
    assert server.port == sockets[0].getsockname()[1]
    assert told(server)["length"] == 0
    path = str(tmp_path / "passed.sock")
    assert json.loads(curl("--unix-socket", path, "http://shop/"))["length"] == 0
    server.stop()
    assert Path(path).exists(), "the file is the manager's"


def test_sockets_are_chosen_by_name(serve: Serve, tmp_path: Path) -> None:
    server, sockets = passed(tmp_path, "admin:web:file", 3, "--bind", "systemd:web", serve=serve)
    assert server.port == sockets[1].getsockname()[1]
    assert "has passed sockets" not in server.log()


def test_passed_sockets_that_nobody_names_are_told_of(serve: Serve, tmp_path: Path) -> None:
    server, _ = passed(tmp_path, "", 2, "--bind", "127.0.0.1:0", serve=serve)
    assert "passed sockets that bind does not name: add `systemd`" in server.log()


def test_a_socket_that_was_not_passed_is_an_error() -> None:
    ended = run("--bind", "systemd:web", "host:app")
    assert ended.returncode == 3
    assert "cannot listen at systemd:web: the service manager has passed no such socket" in ended.stderr


def test_systemd_socket_activate_starts_it(tmp_path: Path) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("systemd-socket-activate is not installed (apt-get install systemd)")
    path = tmp_path / "activated.sock"
    command = [activate, "--listen", str(path), f"--setenv=PATH={os.environ['PATH']}", *COMMAND, "host:app"]
    process = subprocess.Popen(command, cwd=APPS, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert b"Listening" in process.stderr.readline()
        assert json.loads(curl("--unix-socket", str(path), "http://shop/"))["length"] == 0
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def identity(server: Server) -> list[str]:
    """User, group, all groups and mask, as the application has them."""
    return curl(server.url).decode().split(" ")


def reachable_for_all(path: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


# The other user may not be able to read the interpreter's library: what is needed of it is there before.
EARLY = "import ast, traceback, sys; from whiskyjack.__main__ import main; sys.exit(main())"
EARLY_COMMAND = [sys.executable, "-c", EARLY]

another_user = pytest.mark.skipif(not reachable_for_all(APPS), reason="another user cannot read this checkout")


@needs_root
@another_user
def test_it_becomes_another_user_with_that_users_groups_for_good(serve: Serve) -> None:
    nobody = pwd.getpwnam("nobody")
    server = serve("identity:app", "--user", "nobody", "--umask", "027", command=EARLY_COMMAND)
    groups = ",".join(map(str, sorted(os.getgrouplist("nobody", nobody.pw_gid))))
    assert identity(server) == [str(nobody.pw_uid), str(nobody.pw_gid), groups, "27"]
    for pid in (server.process.pid, server.worker):
        status = Path(f"/proc/{pid}/status").read_text()
        ids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert ids == [str(nobody.pw_uid)] * 4, "the saved user is a way back"


@needs_root
@another_user
def test_a_group_and_numbers_can_be_named(serve: Serve) -> None:
    group = str(grp.getgrnam("daemon").gr_gid)
    assert identity(serve("identity:app", "-u", "54321", "-g", "daemon", command=EARLY_COMMAND))[:3] == [
        "54321",
        group,
        group,
    ]


@needs_root
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--user", "no-such-user"], "--user no-such-user: there is no such user"),
        (["--group", "no-such-group"], "--group no-such-group: there is no such group"),
        (["--user", "54321"], "--user 54321: no user has this number, so name a --group as well"),
    ],
)
def test_a_user_that_is_none_is_refused(flags: list[str], said: str) -> None:
    ended = run("-b", "127.0.0.1:0", *flags, "host:app")
    assert ended.returncode == 2 and said in ended.stderr


def test_variables_come_from_files_and_from_flags_and_a_reload_reads_them_anew(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "variables"
    file.write_text("# a secret\nexport SHOP_KEY='pa$$ #1'\nSHOP_MODE=file\nSHOP_LISTS=\"a,b\"\n")
    server = serve("host:app", "--env-file", str(file), "-e", "SHOP_MODE=flag", "-e", "SHOP_HOSTS=a,b")
    variables = told(server)["environ"]
    found = {name: value for name, value in variables.items() if name.startswith("SHOP_")}
    assert found == {"SHOP_KEY": "pa$$ #1", "SHOP_MODE": "flag", "SHOP_LISTS": "a,b", "SHOP_HOSTS": "a,b"}
    file.write_text("SHOP_KEY=new\n")
    server.signal(signal.SIGHUP)
    server.wait_for_log("reloaded: 1 workers serve the new code")
    assert told(server)["environ"]["SHOP_KEY"] == "new"


def test_a_file_of_variables_with_a_slip_is_told_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "variables"
    file.write_text("A=1\nSECRET hunter2\n")
    ended = run("-b", "127.0.0.1:0", "--env-file", str(file), "host:app")
    assert ended.returncode != 0
    assert f"{file}:2: write NAME=value" in ended.stderr and "hunter2" not in ended.stderr


@on_linux
def test_processes_are_told_apart_by_their_names(serve: Serve) -> None:
    server = serve("host:app", "--workers", "2", "--name", "shop")

    def shown(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()

    assert shown(server.process.pid) == "whiskyjack: supervisor [shop]"
    assert sorted(map(shown, server.workers())) == [
        "whiskyjack: worker 0 [shop]",
        "whiskyjack: worker 1 [shop]",
    ]
    assert Path(f"/proc/{server.process.pid}/comm").read_text() == "whiskyjack\n"
    assert shown(serve("host:app").process.pid) == "whiskyjack: supervisor [host:app]"


def namespaces(*flags: str) -> list[str]:
    """The words that give a command namespaces of its own, where this machine lets us."""
    words = ["unshare", *flags]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip(f"{' '.join(words)} is not allowed here")
    return words


@on_linux
def test_only_root_becomes_another() -> None:
    # In a namespace of its own that maps nobody, root is none.
    words = [*namespaces("--user"), *COMMAND, "-b", "127.0.0.1:0", "--user", "daemon", "hello:app"]
    ended = subprocess.run(words, cwd=APPS, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "--user daemon: only root can become another, and this runs as user " in ended.stderr


@on_linux
def test_as_process_1_it_reaps_orphans_and_ends_on_sigterm(serve: Serve) -> None:
    command = [*namespaces("--pid", "--fork", "--kill-child", "--mount-proc"), *COMMAND]
    server = serve("host:app", command=command)
    assert told(server)["parent"] == 1
    for _ in range(5):
        told(server, "/orphan")
    while told(server)["zombies"]:
        pass
    (first,) = server.workers()
    os.kill(first, signal.SIGTERM)
    assert server.wait() == 0


@on_linux
def test_on_a_read_only_file_system_it_serves_and_small_bodies_are_taken(serve: Serve) -> None:
    remount = "mount -o remount,bind,ro"
    read_only = f"mount --make-rprivate / && {remount} / && for d in /tmp /var/tmp /dev/shm; do "
    read_only += f"mountpoint -q $d && {remount} $d; done; "
    script = read_only + 'touch /tmp/wj-probe 2>/dev/null && { echo writable >&2; exit 9; }; exec "$@"'
    probe = [*namespaces("--mount"), "sh", "-c", script, "sh"]
    if subprocess.run([*probe, "true"], capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted read-only here")
    server = serve("host:app", command=[*probe, *COMMAND])
    assert told(server, "/", "--data-binary", "small")["length"] == 5
    status = curl("-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", server.url, sent=b"x" * 300_000)
    assert status.startswith(b"5"), status
    assert told(server)["length"] == 0
