"""`whiskyjack --validate`: the application is held to PEP 3333 while it is served."""

from __future__ import annotations

import pytest

from tests.conftest import Served
from tests.support.wire import Truncated, get, post, post_chunked, send


def test_an_application_that_keeps_the_rules_is_served_as_without(served: Served) -> None:
    shown = []
    for flags in ([], ["--validate"]):
        server = served("unlawful:app", *flags)
        requests = [get("/a%20b?q=%e4"), post("/", b"x" * 200_000), post_chunked("/", [b"ab", b"c"])]
        answers = [send(server.port, request) for request in requests]
        answers.append(send(server.port, get("/", method="HEAD"), head=True))
        shown.append([(answer.status, answer.body) for answer in answers])
        assert "Violation" not in server.log()
    assert shown[0] == shown[1]


@pytest.mark.parametrize("path", ["/hop", "/short"])
def test_a_broken_rule_is_in_the_log_with_its_section_and_the_code(served: Served, path: str) -> None:
    server = served("unlawful:app", "--validate")
    try:
        send(server.port, get(path))
    except Truncated:
        assert path == "/short", "the head was sent before the body turned out to be short"
    found = {
        "/hop": r"Violation: .*/unlawful\.py:1\d in app: a hop-by-hop field is given: Keep-Alive: '5' "
        r"\(PEP 3333, Other HTTP Features: ",
        "/short": r"Violation: what .*/unlawful\.py:\d in app returned: the body has 4 bytes, .* is 5 "
        r"\(PEP 3333, Handling the Content-Length Header: ",
    }
    server.wait_for_log(found[path])


@pytest.mark.parametrize("path", ["/", "/json", "/stream?lines=3", "/none", "/teapot"])
def test_flask_keeps_the_rules(served: Served, path: str) -> None:
    server = served("flask_site:app", "--validate")
    got = send(server.port, get(path))
    assert got.status < 500
    assert "Violation" not in server.log()
