"""The demo application: what it shows, to whom, and that no value can break out of it."""

from __future__ import annotations

import io
import json
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from whiskyjack.demo import application, negotiate

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


class Answer:
    """What the application answered."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = dict(headers)
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


def ask(body: bytes = b"", /, **changes: Any) -> Answer:
    """Calls the application under the validator, as a server would."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["QUERY_STRING"] = ""
    environ["wsgi.input"] = io.BytesIO(body)
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    environ.update(changes)
    seen: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> Any:
        seen.append((status, headers))
        return io.BytesIO().write

    result = validator(application)(environ, start_response)
    try:
        received = b"".join(result)
    finally:
        result.close()  # type: ignore[attr-defined]
    assert len(seen) == 1
    return Answer(*seen[0], received)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "text/plain"),
        ("", "text/plain"),
        (CHROME, "text/html"),
        ("text/html, */*", "text/html"),
        ("text/html", "text/html"),
        ("TEXT/HTML;level=1", "text/html"),
        ("text/*", "text/plain"),
        ("text/*;q=0.3, text/html;q=0.7, */*;q=0.5", "text/html"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("application/json;q=0.2, text/html;q=0.1", "application/json"),
        ("text/html;q=0, */*", "text/plain"),
        ("text/plain;q=0, text/html;q=0.001", "text/html"),
        ("text/plain;q=0, */*;q=0.5", "text/html"),
        ("text/html;q=nan, application/json;q=0.1", "application/json"),
        ("text/html;q=2, application/json;q=0.1", "application/json"),
        ("image/png", "text/plain"),
        (";;,,=,q=1", "text/plain"),
    ],
)
def test_accept_decides_the_form(accept: str, form: str) -> None:
    assert negotiate(accept) == form
    answer = ask(HTTP_ACCEPT=accept)
    assert answer.status == "200 OK"
    assert answer.headers["Content-Type"].partition(";")[0] == form
    assert answer.headers["Vary"] == "Accept"


def test_a_client_without_accept_gets_plain_text() -> None:
    answer = ask(PATH_INFO="/a", QUERY_STRING="b=c")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    lines = [line.split(None, 1) for line in answer.text.splitlines()]
    assert ["PATH_INFO", "/a"] in lines
    assert ["QUERY_STRING", "b=c"] in lines
    assert ["b", "c"] in lines
    assert "SCRIPT_NAME" in answer.text


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json"])
def test_head_has_the_fields_of_get_and_no_body(accept: str) -> None:
    get = ask(HTTP_ACCEPT=accept, REQUEST_METHOD="GET")
    head = ask(HTTP_ACCEPT=accept, REQUEST_METHOD="HEAD")
    assert head.body == b""
    assert head.headers.keys() == get.headers.keys()
    assert int(get.headers["Content-Length"]) == len(get.body)
    # The method itself is one letter longer wherever it is shown.
    assert int(head.headers["Content-Length"]) > len(get.body)


def test_a_body_is_read_to_its_end_and_its_size_shown() -> None:
    answer = ask(b"x" * 200_000, REQUEST_METHOD="POST", HTTP_ACCEPT="application/json")
    assert json.loads(answer.body)["body"] == {"bytes": 200_000}
    plain = ask(b"x" * 200_000, REQUEST_METHOD="POST")
    assert "200,000" in plain.text


def test_a_body_without_length_is_read_where_the_server_ends_it() -> None:
    stream = io.BytesIO(b"x" * 70_000)
    changes = {
        "wsgi.input": stream,
        "wsgi.input_terminated": True,
        "HTTP_ACCEPT": "application/json",
    }
    assert json.loads(ask(**changes).body)["body"] == {"bytes": 70_000}


def test_json_holds_the_environ_as_it_is() -> None:
    answer = ask(PATH_INFO="/caf\xc3\xa9", HTTP_ACCEPT="application/json")
    environ = json.loads(answer.body)["environ"]
    assert environ["PATH_INFO"] == "/caf\xc3\xa9"
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.run_once"] in (0, False)
    assert environ["wsgi.input"].endswith("InputWrapper object>")


def test_text_and_page_show_utf_8_as_such() -> None:
    for accept in ("text/plain", "text/html"):
        answer = ask(PATH_INFO="/caf\xc3\xa9", HTTP_ACCEPT=accept)
        assert "/café" in answer.text


def test_every_value_is_escaped_on_the_page() -> None:
    evil = "<script>alert('x')</script>\"&"
    answer = ask(
        HTTP_ACCEPT="text/html",
        REQUEST_METHOD="GET",
        PATH_INFO="/" + evil,
        QUERY_STRING="<b>=%3Ci%3E",
        HTTP_HOST=evil,
        HTTP_X_EVIL=evil,
        SERVER_SOFTWARE=evil,
        CONTENT_TYPE=evil,
        **{"evil.<b>": evil},
    )
    assert "<script" not in answer.text
    assert "<b>=" not in answer.text
    assert "<i>" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_control_characters_do_not_reach_a_terminal() -> None:
    answer = ask(HTTP_X_EVIL="\x1b[2J\r\nboo", QUERY_STRING="a=%1b%5b")
    assert "\x1b" not in answer.text
    assert "\\x1b[2J\\r\\nboo" in answer.text


def test_the_page_loads_nothing_and_allows_no_script() -> None:
    answer = ask(HTTP_ACCEPT=CHROME)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    assert 'src="' not in answer.text


def test_the_environment_of_the_process_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    for accept in ("text/plain", "text/html", "application/json"):
        # wsgiref's own server copies os.environ into every environ.
        answer = ask(HTTP_ACCEPT=accept, SECRET_TOKEN="hunter2")
        assert "hunter2" not in answer.text


def test_a_query_of_too_many_fields_is_shown_undecoded() -> None:
    answer = ask(QUERY_STRING="&".join(f"a{number}=1" for number in range(200)))
    assert "a199=1" in answer.text
