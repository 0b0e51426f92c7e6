"""Flask's own command line, with Whiskyjack as its server, in a terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import flask.cli
import pytest
import werkzeug.serving
from click.testing import CliRunner

from tests.support.client import ask
from tests.support.programs import chromium
from tests.support.server import DEADLINE, environment
from tests.support.terminal import Poller, Terminal, in_terminal, save, save_and_see
from whiskyjack.contrib.flask import Whiskyjack, run_command

FLASK = [sys.executable, "-m", "flask"]
OURS = {"FLASK_RUN_SERVER": "whiskyjack"}
RUNNING = r"Running on https?://127\.0\.0\.1:(\d+)"


def page(text: str, *more: str) -> str:
    first = "from flask import Flask"
    return "\n".join(
        [first, "app = Flask(__name__)", *more, "@app.get('/')", "def page():", f"    return {text!r}", ""]
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    save(tmp_path / "app.py", page("one"))
    return tmp_path


def port_in(terminal: Terminal) -> int:
    return int(terminal.wait_for(RUNNING))


def server_of(terminal: Terminal) -> str:
    return ask("requests", f"http://127.0.0.1:{port_in(terminal)}/").fields["server"]


def test_a_save_is_seen_and_an_error_recovers_without_a_refused_connection(project: Path) -> None:
    with in_terminal([*FLASK, "--app", "app", "run", "--debug", "-p", "0"], project, OURS) as terminal:
        assert terminal.wait_for(r" \* Serving Flask app '(\w+)'") == "app"
        terminal.wait_for(r" \* Debug mode: on")
        with Poller(port_in(terminal)) as poller:
            terminal.wait_for(r"Press CTRL\+C to quit")
            terminal.wait_for(r" \* Restarting with ")
            terminal.wait_for(r" \* Debugger PIN: ")
            poller.wait_for(200, "one")
            save_and_see(project / "app.py", page("two"), poller, 200, "two")
            terminal.wait_for(r" \* Detected change in '.*app\.py.*, reloading")
            # in the browser, and in the terminal
            broken = page("three") + "def (:\n"
            assert "def (:" in save_and_see(project / "app.py", broken, poller, 500, "SyntaxError")
            terminal.wait_for(r"SyntaxError")
            save_and_see(project / "app.py", page("four"), poller, 200, "four")
        assert poller.faults == []
        assert {status for status, _ in poller.answers} == {200, 500}
        assert "Whiskyjack" in ask("requests", f"http://127.0.0.1:{poller.port}/").fields["server"]
        terminal.interrupt()


def test_a_browser_shows_what_cannot_be_imported_and_then_the_page_again(project: Path, tmp_path: Path) -> None:
    with in_terminal([*FLASK, "run", "--debug", "-p", "0"], project, OURS) as terminal:
        port = port_in(terminal)
        with Poller(port) as poller:
            save_and_see(project / "app.py", "def (:\n", poller, 500, "SyntaxError")
        url = f"http://127.0.0.1:{port}/"
        shown = chromium(url, tmp_path)
        assert "SyntaxError" in shown and "def (:" in shown
        with Poller(port) as poller:
            save_and_see(project / "app.py", page("mended"), poller, 200, "mended")
        assert "mended" in chromium(url, tmp_path)


def test_it_is_flasks_server_where_nobody_chose(project: Path) -> None:
    with in_terminal([*FLASK, "run", "-p", "0"], project) as terminal:
        assert server_of(terminal).startswith("Werkzeug/")


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        (["--server", "whiskyjack", "-p", "0"], {}),
        (["-p", "0"], OURS),
        ([], {**OURS, "FLASK_RUN_PORT": "0", "FLASK_RUN_RELOAD": "false", "FLASK_DEBUG": "1"}),
        (["--without-threads", "-p", "0"], OURS),
    ],
    ids=["flag", "variable", "variables of Flask", "one thread"],
)
def test_it_is_ours_where_it_was_chosen(project: Path, flags: list[str], env: Mapping[str, str]) -> None:
    with in_terminal([*FLASK, "run", *flags], project, env) as terminal:
        assert server_of(terminal).startswith("Whiskyjack/")
        # Ctrl-C is how it ends every day.
        assert terminal.interrupt() == 0, terminal.text()
        assert "Traceback" not in terminal.text()


def test_the_flag_wins_over_the_application(project: Path) -> None:
    save(project / "app.py", page("one", "from whiskyjack.contrib.flask import Whiskyjack", "Whiskyjack(app)"))
    with in_terminal([*FLASK, "run", "-p", "0"], project) as terminal:
        assert server_of(terminal).startswith("Whiskyjack/")
    with in_terminal([*FLASK, "run", "--server", "werkzeug", "-p", "0"], project) as terminal:
        assert server_of(terminal).startswith("Werkzeug/")


def test_an_application_that_chose_us_need_not_be_importable_for_the_next_save(project: Path) -> None:
    ours = page("one", "from whiskyjack.contrib.flask import Whiskyjack", "Whiskyjack(app)")
    save(project / "app.py", ours)
    with in_terminal([*FLASK, "run", "--debug", "-p", "0"], project) as terminal, Poller(port_in(terminal)) as poller:
        poller.wait_for(200, "one")
        save_and_see(project / "app.py", "def (:\n", poller, 500, "SyntaxError")
        assert server_of(terminal).startswith("Whiskyjack/")
        save_and_see(project / "app.py", ours.replace("one", "two"), poller, 200, "two")
    assert poller.faults == []


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_app_run_is_ours_where_the_application_says_so(project: Path, debug: bool) -> None:
    more = "from whiskyjack.contrib.flask import Whiskyjack", "Whiskyjack(app)"
    program = page("one", *more) + f"if __name__ == '__main__':\n    app.run(port=0, debug={debug})\n"
    save(project / "app.py", program)
    with in_terminal([sys.executable, "app.py"], project) as terminal:
        assert server_of(terminal).startswith("Whiskyjack/")
        terminal.wait_for(rf" \* Debug mode: {'on' if debug else 'off'}")


def test_an_application_of_a_factory_is_served_by_its_own_command_line(project: Path) -> None:
    save(
        project / "manage.py",
        "from flask import Flask\nfrom flask.cli import FlaskGroup\n"
        "from whiskyjack.contrib.flask import Whiskyjack\n"
        "def make():\n    app = Flask('shop')\n    Whiskyjack(app)\n    return app\n"
        "FlaskGroup(create_app=make)()\n",
    )
    with in_terminal([sys.executable, "manage.py", "run", "-p", "0"], project) as terminal:
        assert server_of(terminal).startswith("Whiskyjack/")


def test_a_file_that_was_named_is_watched(project: Path) -> None:
    watched = project / "menu.txt"
    save(watched, "soup")
    save(project / "app.py", page("one").replace("'one'", "open('menu.txt').read()"))
    flags = ["run", "--debug", "-p", "0", "--extra-files", str(watched)]
    with in_terminal([*FLASK, *flags], project, OURS) as terminal, Poller(port_in(terminal)) as poller:
        terminal.wait_for(r"Debugger PIN")
        poller.wait_for(200, "soup")
        save_and_see(watched, "fish", poller, 200, "fish")
        terminal.wait_for(r"Detected change in '.*menu\.txt")
    assert poller.faults == []


def test_a_certificate_is_made_where_one_is_asked_for(project: Path) -> None:
    with in_terminal([*FLASK, "run", "-p", "0", "--cert", "adhoc"], project, OURS) as terminal:
        assert "https://" in terminal.wait_for(r"Running on (\S+)")
        url = f"https://127.0.0.1:{port_in(terminal)}/"
        told = subprocess.run(
            ["curl", "--silent", "--show-error", "--insecure", "--max-time", str(DEADLINE), url],
            capture_output=True,
            timeout=DEADLINE,
            check=True,
        )
        assert told.stdout == b"one"


def test_an_application_that_is_not_there_is_flasks_message(tmp_path: Path) -> None:
    told = subprocess.run(
        [*FLASK, "run", "--server", "whiskyjack"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert told.returncode == 2
    assert "Could not locate a Flask application" in told.stderr


def test_the_command_has_flasks_options_and_one_more() -> None:
    theirs = [parameter.name for parameter in flask.cli.run_command.params]
    assert [parameter.name for parameter in run_command.params] == [*theirs, "server"]
    assert "--server [werkzeug|whiskyjack]" in re.sub(r"\s+", " ", CliRunner().invoke(run_command, ["--help"]).output)


def test_no_module_is_left_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[object] = []
    original = flask.cli.run_simple  # type: ignore[attr-defined]
    monkeypatch.setattr("whiskyjack.werkzeug.serving.run_simple", lambda *told, **_: served.append(told[2]))
    monkeypatch.delenv("FLASK_RUN_SERVER", raising=False)
    monkeypatch.delenv("FLASK_RUN_FROM_CLI", raising=False)
    app = flask.Flask("shop")
    Whiskyjack(app)
    Whiskyjack(app)
    app.run()
    assert served == [app]
    assert werkzeug.serving.run_simple.__module__ == "werkzeug.serving"
    ended = CliRunner().invoke(
        run_command, ["--server", "whiskyjack"], obj=flask.cli.ScriptInfo(create_app=lambda: app)
    )
    assert ended.exit_code == 0, ended.output
    assert served == [app, app]
    assert flask.cli.run_simple is original  # type: ignore[attr-defined]
