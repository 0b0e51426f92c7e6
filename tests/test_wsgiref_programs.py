"""Packages that serve with the standard library's `wsgiref`, as they are, with the import led to ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import CLIENTS, ask
from tests.support.programs import program
from tests.support.programs import run as run_program
from tests.support.server import APPS, DEADLINE, ROOT, environment
from tests.support.wire import conversation, get, read_response

PROGRAMS = Path(__file__).with_name("programs")


@contextmanager
def running(name: str, *arguments: str | Path, env: dict[str, str] | None = None) -> Iterator[int]:
    """Runs a program until the block ends, and says where it serves."""
    command: list[str | Path] = [sys.executable, "-m", "tests.support.redirected", PROGRAMS / name, *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            port, module = process.stdout.readline().split()
            assert module == "whiskyjack.wsgiref.simple_server"
            yield int(port)
        finally:
            process.terminate()
            process.wait(DEADLINE)


@pytest.mark.parametrize("client", CLIENTS)
def test_prometheus_client_serves_its_metrics(client: str) -> None:
    with running("metrics.py") as port:
        answer = ask(client, f"http://127.0.0.1:{port}/metrics")
    assert answer.status == 200
    assert b"\norders_total 3.0\n" in answer.body


def test_prometheus_client_ends_when_it_is_told_to() -> None:
    command: list[str | Path] = [sys.executable, "-m", "tests.support.redirected", PROGRAMS / "metrics.py"]
    subprocess.run(command, cwd=ROOT, env=environment(), input="", text=True, timeout=DEADLINE, check=True)


@pytest.mark.parametrize("client", CLIENTS)
def test_bottle_runs_on_its_default_server(client: str) -> None:
    with running("bottle_site.py") as port:
        url = f"http://127.0.0.1:{port}"
        assert ask(client, f"{url}/hello/w%C3%B6rld").body.decode() == "hello wörld"
        fields = {"Content-Type": "application/json"}
        answer = ask(client, f"{url}/sum", method="POST", fields=fields, body=b"[1, 2, 3]")
        assert json.loads(answer.body) == {"sum": 6}
        assert ask(client, f"{url}/error").status == 500
        assert ask(client, f"{url}/nowhere").status == 404
        with conversation(port, get("/hello/a")) as opened:
            assert read_response(opened).body == b"hello a"
            opened.send(get("/hello/b"))
            assert read_response(opened).body == b"hello b"


def git(*arguments: str | Path, cwd: Path) -> bytes:
    settings = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "no_proxy": "*",
    }
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), program("git", package="git")]
    return run_program([*command, *author, *arguments], cwd=cwd)


def test_git_clones_from_the_daemon_of_dulwich(tmp_path: Path) -> None:
    git("init", "--quiet", "--initial-branch=main", "made", cwd=tmp_path)
    made = tmp_path / "made"
    (made / "file").write_bytes(os.urandom(300_000))
    git("add", "file", cwd=made)
    git("commit", "--quiet", "-m", "a file", cwd=made)
    with running("git_daemon.py", made) as port:
        git("clone", "--quiet", f"http://127.0.0.1:{port}/", "cloned", cwd=tmp_path)
    assert (tmp_path / "cloned/file").read_bytes() == (made / "file").read_bytes()


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    data = tmp_path_factory.mktemp("runserver")
    (data / "file").write_bytes(bytes(range(256)) * 2000)
    project = APPS / "django_site"
    variables = {"SITE_DATA": str(data), "FILE": str(data / "file")}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=project,
        env=environment(variables),
        check=True,
        timeout=120,
    )
    with running("django_runserver.py", project, env=variables) as port:
        yield port


@pytest.mark.parametrize("client", CLIENTS)
def test_the_classes_of_djangos_runserver_serve_rebased_onto_ours(django: int, client: str) -> None:
    url = f"http://127.0.0.1:{django}"
    assert b"Django administration" in ask(client, f"{url}/admin/login/").body
    assert ask(client, f"{url}/file/").body == bytes(range(256)) * 2000
    assert ask(client, f"{url}/static/admin/css/base.css").status == 200
    assert ask(client, f"{url}/crash/").status == 500
    assert ask(client, f"{url}/form/", method="POST", body=b"a=b").status == 403


def test_djangos_handler_keeps_its_connections_alive_and_leaves_out_what_it_wants_to(django: int) -> None:
    with conversation(django, get("/static/admin/css/base.css", "X_Real: 1")) as opened:
        first = read_response(opened)
        assert (first.version, first.status) == ("HTTP/1.1", 200)
        opened.send(get("/static/admin/css/base.css"))
        assert read_response(opened).body == first.body
