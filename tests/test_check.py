"""`whiskyjack check`: an application is put through requests, and is told which rules it breaks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import COMMAND, DEADLINE, Output, environment, run


def write(directory: Path, source: str) -> Path:
    (directory / "shop.py").write_text(textwrap.dedent(source))
    return directory


def found(directory: Path, *arguments: str) -> dict[str, Any]:
    """What the check says of `shop:app` to programs."""
    ended = run("check", "shop:app", "--json", *arguments, cwd=directory)
    assert ended.stderr == "", ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == (1 if told["broken"] else 0)
    return told


def requests_with(told: dict[str, Any], words: str) -> set[str]:
    return {
        request["request"]
        for request in told["requests"]
        if any(words in finding["found"] for finding in request["findings"])
    }


@pytest.mark.parametrize("name", ["hello:app", "flask_site:app", "../../python/whiskyjack/demo.py"])
def test_an_application_that_keeps_the_rules_passes(name: str) -> None:
    ended = run("check", name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "nothing is wrong in " in ended.stdout and "FAIL" not in ended.stdout


def test_each_broken_rule_is_told_once_with_its_section_and_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        """\
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
            return [b"body"]
        """,
    )
    ended = run("check", "shop:app", cwd=tmp_path)
    assert ended.returncode == 1
    place = f"{tmp_path}/shop.py:2 in app"
    assert ended.stdout.count(f"broken: {place}: a hop-by-hop field is given: Connection: 'close'") == 1
    assert "    PEP 3333, Other HTTP Features: hop-by-hop fields are the server's affair\n" in ended.stdout
    count = ended.stdout.count("FAIL")
    assert count >= 30 and f"    in: GET /, and {count - 1} more\n" in ended.stdout
    assert ended.stdout.endswith(f"shop:app: 1 broken in {count} requests\n")


def test_programs_get_json(tmp_path: Path) -> None:
    write(tmp_path, "def app(environ, start_response): return None\n")
    told = found(tmp_path)
    assert (told["application"], told["broken"], told["warnings"]) == ("shop:app", 1, 0)
    first = told["requests"][0]
    assert (first["request"], first["status"]) == ("GET /", None)
    assert first["findings"] == [
        {
            "kind": "broken",
            "section": "PEP 3333, The Application/Framework Side",
            "rule": "the application returns an iterable of bytes",
            "party": "application",
            "found": "the application returned None (is a `return` missing?)",
            "where": f"{tmp_path}/shop.py:1 in app",
        }
    ]


START = """
def app(environ, start_response):
    method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
    def answer(*items, status="200 OK", headers=[]):
        start_response(status, [("Content-Type", "text/plain"), *headers])
        return list(items)
"""

# What an application forgets: its code, words of what is found, and the requests that find it.
FORGOTTEN = {
    "a path that is no UTF-8": (
        "    return answer(path.encode('latin-1').decode('utf-8').encode())",
        "UnicodeDecodeError",
        {"GET /%FF%FE%80?%FF=%FE, with bytes that are no UTF-8"},
    ),
    "OPTIONS *": (
        "    assert path.startswith('/'); return answer()",
        "AssertionError",
        {"OPTIONS *"},
    ),
    "HTTP/1.0 has no Host": (
        "    return answer(environ['HTTP_HOST'].encode())",
        "KeyError: 'HTTP_HOST'",
        {"GET /, HTTP/1.0, without Host"},
    ),
    "a body in chunks has no length": (
        "    int(environ['CONTENT_LENGTH']) if method == 'POST' and 'form' in environ['CONTENT_TYPE'] else 0\n"
        "    return answer()",
        "KeyError: 'CONTENT_LENGTH'",
        {"POST /, a form in chunks, still coming"},
    ),
    "HEAD with half a body": (
        "    return answer(b'half', headers=[('Content-Length', '8')]) if method == 'HEAD' else answer()",
        "the body has 4 bytes, and its Content-Length is 8",
        {"HEAD /"},
    ),
    "204 with a body": (
        "    if method != 'DELETE': return answer()\n    start_response('204 Gone', []); return [b'gone']",
        "a 204 response has a body",
        {"DELETE /"},
    ),
    "text for a query": (
        "    return answer(query if query.startswith('a=') else b'')",
        "which is text; encode it",
        {"GET /?a=1&b=%C3%A9&c&&=d, with a query"},
    ),
    "state from the last request": (
        "    first = not environ.setdefault('wsgi.errors', 0) or app.__dict__.setdefault('seen', environ) is environ\n"
        "    return answer(*([] if first else [app.seen['wsgi.input'].read(1)]))",
        "wsgi.input was read after the request was over",
        None,
    ),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_what_applications_forget_is_found_by_the_request_that_shows_it(tmp_path: Path, name: str) -> None:
    code, words, requests = FORGOTTEN[name]
    told = found(write(tmp_path, START + code + "\n"))
    shown = requests_with(told, words)
    assert shown, json.dumps(told, indent=1)
    assert requests is None or requests <= shown


def test_a_response_without_an_end_is_left(tmp_path: Path) -> None:
    source = """\
        closed = 0

        class Endless:
            def __iter__(self):
                return self
            def __next__(self):
                return b"tick"
            def close(self):
                global closed
                closed += 1

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain"), ("X-Closed", str(closed))])
            return Endless()
        """
    told = found(write(tmp_path, source))
    assert told["broken"] == told["warnings"] == 0
    assert {request["status"] for request in told["requests"]} == {200}


def test_other_paths_can_be_asked_for(tmp_path: Path) -> None:
    write(tmp_path, START + "    return answer(path if '/odd' in path else b'')\n")
    assert found(tmp_path, "--path", "/a")["broken"] == 0
    told = found(tmp_path, "--path", "/a", "--path", "/odd?c=d")
    assert told["broken"] == 1
    assert {"GET /a", "GET /odd?c=d"} <= {request["request"] for request in told["requests"]}
    ended = run("check", "shop:app", "--path", "b", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "whiskyjack: `b` can't be asked for: a path begins with / and is percent-encoded\n"


def test_the_application_comes_from_settings_too(tmp_path: Path) -> None:
    write(tmp_path, START + "    return answer()\n")
    (tmp_path / "whiskyjack.toml").write_text('app = "shop:app"\nthreads = 3\n')
    assert run("check", cwd=tmp_path).returncode == 0
    ended = run("check", "shop:nothing", cwd=tmp_path)
    assert ended.returncode == 3 and "`shop` has no attribute `nothing`" in ended.stderr
    ended = run("check", "--threads", "3", cwd=tmp_path)
    assert ended.returncode == 2 and "--threads" in ended.stderr


def test_an_application_called_check_is_still_served_by_its_whole_name() -> None:
    assert "check" in run("--help").stdout
    assert "no module `check`" in run("--check-config", "check:app").stderr


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    source = """\
        import signal

        def app(environ, start_response):
            print("called", flush=True)
            signal.pause()
        """
    write(tmp_path, source)
    command = [*COMMAND, "check", "shop:app"]
    started = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert started.stdout is not None and started.stderr is not None
    said = Output(started.stdout)
    said.wait_for("called")
    os.kill(started.pid, signal.SIGINT)
    assert started.wait(DEADLINE) == 130
    assert started.stderr.read() == b"whiskyjack: interrupted\n"
    started.stderr.close()
    said.whole()
