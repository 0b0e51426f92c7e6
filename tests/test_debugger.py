"""What a developer is shown of an exception: Werkzeug's debugger, and the page that is there without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.chromium import Page, browsing
from tests.support.process import on_linux
from tests.support.server import COMMAND
from tests.support.terminal import Terminal, in_terminal, save
from tests.support.wire import Truncated, send

pytestmark = on_linux
PIN = "123-456-789"

# Werkzeug is there, and is made to look as if it were not.
WITHOUT = "import sys\nsys.modules.update({'werkzeug': None, 'werkzeug.debug': None})\n"

SHOP = """\
def price(bird):
    prices = {"jay": 3, "magpie": 4}
    return prices[bird]


def app(environ, start_response):
    bird = environ["PATH_INFO"].strip("/") or "nobody"
    try:
        cost = price(bird)
    except KeyError as error:
        raise LookupError(f"no <b>such</b> bird: {bird}") from error
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(cost).encode()]
"""

PROGRAM = """
if __name__ == "__main__":
    from whiskyjack.werkzeug.serving import run_simple

    run_simple("127.0.0.1", 0, app, use_reloader=True, use_debugger=True)
"""

RUN = {"the command": [*COMMAND, "shop:app", "-b", "127.0.0.1:0", "--debug"], "a program": [sys.executable, "shop.py"]}
ways = pytest.mark.parametrize("command", RUN.values(), ids=list(RUN))


@contextmanager
def running(command: Sequence[str | Path], project: Path, text: str) -> Iterator[tuple[Terminal, str]]:
    save(project / "shop.py", text + PROGRAM)
    with in_terminal(command, project, {"WERKZEUG_DEBUG_PIN": PIN, "NO_COLOR": "1"}) as terminal:
        port = int(terminal.wait_for(r"http://127\.0\.0\.1:(\d+)"))
        yield terminal, f"http://127.0.0.1:{port}"
        assert terminal.interrupt() == 0, terminal.text()
        assert "panicked" not in terminal.text()


def asking(host: str, target: str, *fields: str) -> bytes:
    """A request by this name."""
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode()


def say(page: Page, expression: str) -> None:
    """Types into the console that is open, and sends it."""
    page.evaluate(f"document.querySelector('.console form input').value = {expression!r}")
    page.evaluate("document.querySelector('.console form').requestSubmit()")


def load(page: Page, url: str, text: str) -> str:
    """The page once this stands on it: for a second, a spare connection of the browser may lead to the old code."""
    for _ in range(20):
        page.open(url)
        if text in (shown := page.text()):
            return shown
    raise AssertionError(f"{text!r} does not come: {shown}")


@ways
def test_an_expression_is_evaluated_in_a_frame_by_who_has_the_pin(command: Sequence[str], tmp_path: Path) -> None:
    with running(command, tmp_path, SHOP) as (terminal, url), browsing(tmp_path) as page:
        terminal.wait_for(r" \* Debugger is active!")
        assert terminal.wait_for(r" \* Debugger PIN: (\S+)") == PIN
        page.open(f"{url}/albatross")
        assert "LookupError: no <b>such</b> bird: albatross" in page.text()
        # The frame in which it was raised, which is the last one.
        frame = "[...document.querySelectorAll('.traceback .frame')].at(-1)"
        asked = f"fetch(makeDebugURL({{cmd: 'bird.upper()', frm: {frame}.id.substring(6)}})).then(got => got.text())"
        assert "ALBATROSS" not in page.evaluate(asked)
        page.evaluate(f"{frame}.querySelector('pre img').click()")
        page.evaluate(f"document.querySelector('.pin-prompt input[name=pin]').value = {PIN!r}")
        page.evaluate("document.querySelector('.pin-prompt form').requestSubmit()")
        page.wait_until("EVALEX_TRUSTED")
        say(page, "bird.upper()")
        page.wait_until("document.querySelector('.console .output').innerText.includes('ALBATROSS')")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80"])
@ways
def test_the_debugger_is_not_for_pages_that_have_another_name_lead_here(
    command: Sequence[str], host: str, tmp_path: Path
) -> None:
    with running(command, tmp_path, SHOP) as (_, url):
        port = int(url.rpartition(":")[2])
        answer = send(port, asking(host, "/console"))
        assert b"EVALEX" not in answer.body and b"SECRET" not in answer.body, answer.body


@ways
def test_without_werkzeug_a_page_shows_the_exception_and_the_request(command: Sequence[str], tmp_path: Path) -> None:
    with running(command, tmp_path, WITHOUT + SHOP) as (terminal, url), browsing(tmp_path) as page:
        page.open(f"{url}/albatross?size=<big>")
        shown = page.text()
        assert "LookupError: no <b>such</b> bird: albatross" in shown
        assert "which was raised because of\n" in shown and "KeyError: 'albatross'" in shown
        for line in ("return prices[bird]", "prices = {", "raise LookupError", "cost = price(bird)"):
            assert line in shown, line
        marked = page.evaluate("[...document.querySelectorAll('.at')].map(line => line.innerText.trim())")
        assert [line.split(maxsplit=1)[1] for line in marked] == [
            'raise LookupError(f"no <b>such</b> bird: {bird}") from error',
            "cost = price(bird)",
            "return prices[bird]",
        ]
        assert "GET /albatross?size=%3Cbig%3E" in shown and "_development.py" not in shown
        assert page.evaluate("document.querySelector('h1 b')") is None
        # In the log as well, once.
        assert terminal.text().count("LookupError: no <b>such</b> bird") == 1
        page.open(f"{url}/jay")
        assert page.text().strip() == "3"


def test_secrets_of_the_request_are_not_shown_and_others_are_told_in_plain_text(tmp_path: Path) -> None:
    with running(RUN["the command"], tmp_path, WITHOUT + SHOP) as (_, url):
        port = int(url.rpartition(":")[2])
        fields = "Authorization: Basic hunter2", "Cookie: session=hunter2", "X-Api-Key: hunter2", "X-Bird: jay"
        answer = send(port, asking("localhost", "/x", "Accept: text/html", *fields))
        assert answer.status == 500 and b"hunter2" not in answer.body
        assert b"authorization" in answer.body and b"<td>jay</td>" in answer.body
        assert answer.values("Content-Security-Policy")[0].startswith("default-src 'none'")
        plain = send(port, asking("localhost", "/x", "Accept: */*", *fields))
        assert plain.values("Content-Type") == ["text/plain; charset=utf-8"]
        assert b"KeyError: 'x'" in plain.body and b"LookupError" in plain.body and b"hunter2" not in plain.body
        other = send(port, asking("evil.example", "/x", "Accept: text/html"))
        assert other.status == 500 and b"LookupError" not in other.body


def test_a_response_that_has_begun_is_broken_off_and_not_mended_with_a_page(tmp_path: Path, serve: Serve) -> None:
    save(
        tmp_path / "shop.py",
        WITHOUT + "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '9')])\n    yield b'one'\n    raise LookupError('late')\n",
    )
    server = serve("shop:app", "--debug", cwd=tmp_path)
    with pytest.raises(Truncated, match="after 3 bytes of body"):
        send(server.port, asking("localhost", "/", "Accept: text/html"))
    server.wait_for_log("LookupError: late")


def test_a_broken_import_is_seen_in_the_browser_until_it_is_mended(tmp_path: Path) -> None:
    command = [*COMMAND, "shop:app", "-b", "127.0.0.1:0", "--reload"]
    with running(command, tmp_path, SHOP) as (terminal, url), browsing(tmp_path) as page:
        page.open(f"{url}/jay")
        assert page.text().strip() == "3"
        save(tmp_path / "shop.py", SHOP.replace("return prices[bird]", "return prices[bird"))
        terminal.wait_for("INFO reloaded")
        shown = load(page, f"{url}/jay", "SyntaxError: '[' was never closed")
        assert "return prices[bird" in shown and "importing `shop` failed" in shown
        assert "SyntaxError: '[' was never closed" in terminal.text()
        save(tmp_path / "shop.py", SHOP.replace('"jay": 3', '"jay": "mended"'))
        terminal.wait_for("(?s)INFO reloaded.*INFO reloaded")
        assert load(page, f"{url}/jay", "mended").strip() == "mended"
