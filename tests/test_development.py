"""Development mode: saves are served, errors are seen where one looks, and the debugger debugs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.process import on_linux
from tests.support.server import COMMAND, run
from tests.support.terminal import Poller, Terminal, in_terminal, save, save_and_see
from tests.support.wire import conversation, get, read_response, send

pytestmark = on_linux
HELD = """
import os, threading
def app(environ, start_response):
    if environ["PATH_INFO"] == "/held":
        os.close(os.open(os.environ["HELD"], os.O_WRONLY))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%s"]
"""


def page(text: str, *before: str) -> str:
    first = ["def app(environ, start_response):", "    start_response('200 OK', [('Content-Type', 'text/plain')])"]
    return "\n".join([*before, *first, f"    return [{text.encode()!r}]", ""])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    save(tmp_path / "shop.py", page("one"))
    return tmp_path


@contextmanager
def developing(project: Path, *flags: str, app: str = "shop:app") -> Iterator[tuple[Terminal, Poller]]:
    """The command in a terminal, and a client that asks it all the while."""
    command = [*COMMAND, app, "-b", "127.0.0.1:0", *flags]
    with in_terminal(command, project, {"NO_COLOR": "1"}) as terminal:
        port = int(terminal.wait_for(r"http://127\.0\.0\.1:(\d+)"))
        with Poller(port) as poller:
            yield terminal, poller
        assert poller.faults == [], poller.faults
        assert terminal.interrupt() == 0, terminal.text()
        assert "panicked" not in terminal.text()


@pytest.mark.parametrize("flags", [[], ["--reload-engine", "poll"], ["--workers", "2"]], ids=["auto", "poll", "two"])
def test_what_is_saved_is_served_and_what_is_broken_is_shown_until_it_is_mended(
    project: Path, flags: list[str]
) -> None:
    with developing(project, "--reload", *flags) as (terminal, poller):
        terminal.wait_for("development mode, not for production: changed files reload the application")
        poller.wait_for(200, "one")
        save(project / "shop.py", page("two"))
        poller.wait_for(200, "two")
        terminal.wait_for(r"detected a change in \S+/shop\.py")
        save(project / "shop.py", page("three") + "def (:\n")
        assert "def (:" in poller.wait_for(500, "SyntaxError: invalid syntax")
        terminal.wait_for("SyntaxError: invalid syntax")
        save(project / "shop.py", page("four"))
        poller.wait_for(200, "four")


def test_it_starts_with_a_broken_import_and_sees_the_module_that_comes(project: Path) -> None:
    save(project / "shop.py", page("one", "import late"))
    with developing(project, "--reload") as (_, poller):
        poller.wait_for(500, "No module named 'late'")
        save(project / "late.py", "from later import x")
        poller.wait_for(500, "No module named 'later'")
        (project / "later").mkdir()
        save(project / "later" / "__init__.py", "x = 1")
        poller.wait_for(200, "one")


def test_an_application_that_is_not_there_comes(project: Path) -> None:
    with developing(project, "--reload", app="other:app") as (_, poller):
        poller.wait_for(500, "there is no module `other`")
        save(project / "other.py", page("here"))
        poller.wait_for(200, "here")


def test_modules_that_are_imported_late_are_watched(tmp_path: Path, project: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    save(elsewhere / "bird.py", "song = b'one'\n")
    save(
        project / "shop.py",
        "import importlib.util, sys\n"
        "def app(environ, start_response):\n"
        "    if 'bird' not in sys.modules:\n"
        f"        spec = importlib.util.spec_from_file_location('bird', {str(elsewhere / 'bird.py')!r})\n"
        "        sys.modules['bird'] = importlib.util.module_from_spec(spec)\n"
        "        spec.loader.exec_module(sys.modules['bird'])\n"
        "    start_response('200 OK', [])\n"
        "    return [sys.modules['bird'].song]\n",
    )
    save(project / "nothing.py", "")
    with developing(project, "--reload", "--reload-exclude", "nothing.py") as (terminal, poller):
        poller.wait_for(200, "one")
        save(project / "nothing.py", "changed = 1")
        save(elsewhere / "bird.py", "song = b'two'\n")
        poller.wait_for(200, "two")
        assert "nothing.py" not in terminal.text()


def test_files_that_are_named_reload_too(project: Path) -> None:
    read = "import pathlib\nTEXT = pathlib.Path('texts/birds/jay.txt').read_text()"
    (project / "texts/birds").mkdir(parents=True)
    save(project / "texts/birds/jay.txt", "one")
    save(project / "shop.py", page("x", read).replace("b'x'", "TEXT.encode()"))
    with developing(project, "--reload", "--reload-include", "texts/**/*.txt") as (_, poller):
        poller.wait_for(200, "one")
        save(project / "texts/birds/jay.txt", "two")
        poller.wait_for(200, "two")


def test_who_asks_while_the_new_code_is_loaded_waits_for_it(project: Path, serve: Serve) -> None:
    gate = project / "gate"
    os.mkfifo(gate)
    server = serve("shop:app", "--reload", "--log-level", "debug", cwd=project, env={"GATE": str(gate)})
    assert send(server.port, get("/")).body == b"one"
    save(project / "shop.py", page("two", "import os", "open(os.environ['GATE']).close()"))
    server.wait_for_log("boots, generation 2")
    with conversation(server.port) as connection:
        connection.send(get("/"))
        # Opens as soon as the import has opened the other end, which is what it waits for.
        gate.open("w").close()
        assert read_response(connection).body == b"two"


def test_what_served_goes_on_where_the_new_code_ends_its_process(project: Path, serve: Serve) -> None:
    server = serve("shop:app", "--reload", cwd=project)
    save(project / "shop.py", "import os\nos._exit(9)\n")
    server.wait_for_log("ERROR the reload failed, what served goes on serving: .* exited with code 9")
    assert send(server.port, get("/")).body == b"one"
    save(project / "shop.py", page("two"))
    server.wait_for_log("INFO reloaded")
    assert send(server.port, get("/")).body == b"two"


def test_a_request_under_way_finishes_with_the_code_that_it_began_with(project: Path, serve: Serve) -> None:
    gate = project / "gate"
    os.mkfifo(gate)
    save(project / "shop.py", HELD % "one")
    server = serve("shop:app", "--reload", cwd=project, env={"HELD": str(gate)})
    with conversation(server.port) as connection:
        connection.send(get("/held"))
        # Opens as soon as the application has opened the other end.
        held = os.open(gate, os.O_RDWR)
        try:
            before = server.worker
            save(project / "shop.py", HELD % "two")
            server.wait_for_log("INFO reloaded")
        finally:
            os.close(os.open(gate, os.O_RDONLY | os.O_NONBLOCK))
            os.close(held)
        assert read_response(connection).body == b"one"
    assert send(server.port, get("/")).body == b"two"
    assert before not in server.workers() or len(server.workers()) == 2


RUN = """
if __name__ == "__main__":
    from whiskyjack.werkzeug.serving import run_simple
    run_simple("127.0.0.1", 0, app, use_reloader=True, threaded=True)
"""


@pytest.mark.parametrize(
    "without", ["", "import sys; sys.modules['werkzeug'] = None"], ids=["with", "without Werkzeug"]
)
def test_a_program_that_is_broken_comes_back_when_it_is_mended(project: Path, without: str) -> None:
    path = project / "shop.py"
    save(path, page("one", without) + RUN)
    with in_terminal([sys.executable, "shop.py"], project, {"NO_COLOR": "1"}) as terminal:
        port = int(terminal.wait_for(r"http://127\.0\.0\.1:(\d+)"))
        terminal.wait_for(r" \* Restarting with \w+")
        with Poller(port) as poller:
            poller.wait_for(200, "one")
            save_and_see(path, page("two", without) + "def (:\n" + RUN, poller, 500, "def (:")
            terminal.wait_for("SyntaxError: invalid syntax")
            save_and_see(
                path, page("three", without, "import no_such_bird") + RUN, poller, 500, "stands in the terminal"
            )
            terminal.wait_for("No module named 'no_such_bird'")
            save_and_see(path, page("four", without) + RUN, poller, 200, "four")
        assert poller.faults == [], poller.faults
        assert terminal.interrupt() == 0, terminal.text()


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--reload", "--workers", "0"], "reload needs a supervisor"),
        (["--reload", "--preload"], "leave one of them out"),
        (["--debug", "--workers", "2"], "debug works in one process, and workers = 2"),
        (["--debug", "-b", "0.0.0.0:0"], "bind = 0.0.0.0:0 is not on loopback"),
        (["--reload-include", "a["], "write a pattern such as"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(flags: list[str], why: str) -> None:
    ended = run("hello:application", *flags)
    assert ended.returncode == 2 and why in ended.stderr, ended.stderr


def test_without_development_mode_nothing_is_shown_and_nothing_is_watched(project: Path, serve: Serve) -> None:
    save(project / "shop.py", "def app(environ, start_response):\n    raise LookupError('secret of mine')\n")
    server = serve("shop:app", cwd=project)
    answer = send(server.port, get("/"))
    assert answer.status == 500 and b"secret of mine" not in answer.body
    threads = Path(f"/proc/{server.worker}/task").glob("*/comm")
    assert not [name for name in threads if "notify" in name.read_text() or "reloader" in name.read_text()]
