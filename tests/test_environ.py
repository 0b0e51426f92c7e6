"""What the gateway puts into the environ (PEP 3333, "environ Variables"). Each also with wsgiref.validate between."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import Serve, Served
from tests.support.server import Server
from tests.support.wire import conversation, get, post, post_chunked, send

PLAIN_AND_CHECKED = pytest.mark.parametrize("app", ["environs:show", "environs:checked_show"])


def shown(server: Server, request: bytes) -> dict[str, Any]:
    answer = send(server.port, request)
    assert answer.status == 200, server.log()
    told: dict[str, Any] = json.loads(answer.body)
    return told


def values(server: Server, request: bytes) -> dict[str, Any]:
    found: dict[str, Any] = shown(server, request)["values"]
    return found


@PLAIN_AND_CHECKED
def test_the_environ_is_a_dict_and_every_key_has_its_type(served: Served, app: str) -> None:
    told = shown(served(app), get("/path?query"))
    assert told["class"] == "dict"
    for key in [
        "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL",
        "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_URI", "RAW_URI", "HTTP_HOST", "wsgi.url_scheme",
    ]:  # fmt: skip
        assert told["types"][key] == "str", key
    for key in ["wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated"]:
        assert told["types"][key] == "bool", key
    assert told["types"]["wsgi.version"] == "tuple"
    assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper"} <= told["types"].keys()
    assert all(kind == "str" for key, kind in told["types"].items() if "." not in key), "CGI variables are strings"


@PLAIN_AND_CHECKED
def test_the_values_are_those_of_the_request_and_the_connection(served: Served, app: str) -> None:
    server = served(app)
    with conversation(server.port, get("/path/info?a=b&c", "User-Agent: tests", "X-One: 1")) as opened:
        found = json.loads(opened.read_response().body)["values"]
        assert found["REMOTE_PORT"] == str(opened.local_port)
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/path/info",
        "QUERY_STRING": "a=b&c",
        "REQUEST_URI": "/path/info?a=b&c",
        "RAW_URI": "/path/info?a=b&c",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "test.example",
        "HTTP_USER_AGENT": "tests",
        "HTTP_X_ONE": "1",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.run_once": False,
        "wsgi.multiprocess": False,
        "wsgi.input_terminated": True,
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(("threads", "multithread"), [("1", False), ("4", True)])
def test_multithread_is_true_where_there_are_threads(served: Served, threads: str, multithread: bool) -> None:
    assert values(served("environs:show", "--threads", threads), get())["wsgi.multithread"] is multithread


@PLAIN_AND_CHECKED
@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a%20b", "/a b", ""),
        ("/a%2Fb", "/a/b", ""),
        ("/%2541", "/%41", ""),
        ("/caf%C3%A9", "/caf\xc3\xa9", ""),
        ("/%ff%00", "/\xff\x00", ""),
        ("/a+b;c=d", "/a+b;c=d", ""),
        ("//double//slash/", "//double//slash/", ""),
        ("/a/../b/./c", "/a/../b/./c", ""),
        ("/?a=%20&b=?/", "/", "a=%20&b=?/"),
        ("/%3F?%23", "/?", "%23"),
    ],
)
def test_the_path_is_decoded_once_and_the_rest_is_raw(
    served: Served, app: str, target: str, path: str, query: str
) -> None:
    found = values(served(app), get(target))
    assert (found["PATH_INFO"], found["QUERY_STRING"]) == (path, query)
    assert found["REQUEST_URI"] == found["RAW_URI"] == target


@PLAIN_AND_CHECKED
def test_the_absolute_form_wins_over_host(served: Served, app: str) -> None:
    request = b"GET http://Right.example:81/a?b HTTP/1.1\r\nHost: wrong.example\r\n\r\n"
    found = values(served(app), request)
    assert (found["PATH_INFO"], found["QUERY_STRING"], found["HTTP_HOST"].lower()) == ("/a", "b", "right.example:81")


def test_an_https_uri_is_not_served_without_tls(served: Served) -> None:
    """RFC 9110 7.4: unless a gateway that is trusted had the secured connection."""
    request = get("HtTpS://right.example/a")
    with conversation(served("environs:show").port, request + get()) as opened:
        answer = opened.read_response()
        assert answer.status == 421 and answer.closes
        opened.expect_end()
    trusting = served("environs:show", "--forwarded-allow-ips", "127.0.0.1")
    assert values(trusting, request)["HTTP_HOST"] == "right.example"


def test_the_asterisk_form_reaches_the_application(served: Served) -> None:
    found = values(served("environs:show"), get("*", method="OPTIONS"))
    assert (found["REQUEST_METHOD"], found["RAW_URI"]) == ("OPTIONS", "*")


@PLAIN_AND_CHECKED
def test_http_1_0_needs_no_host(served: Served, app: str) -> None:
    found = values(served(app), b"GET /old HTTP/1.0\r\n\r\n")
    assert found["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in found
    assert found["SERVER_NAME"]


@PLAIN_AND_CHECKED
def test_content_type_and_length_are_absent_without_a_body(served: Served, app: str) -> None:
    found = values(served(app), get())
    assert not found.get("CONTENT_TYPE") and not found.get("CONTENT_LENGTH")


@PLAIN_AND_CHECKED
def test_content_type_and_length_have_no_http_prefix(served: Served, app: str) -> None:
    told = shown(served(app), post("/", b"hello", "Content-Type: text/plain; charset=utf-8"))
    found = told["values"]
    assert (found["CONTENT_TYPE"], found["CONTENT_LENGTH"]) == ("text/plain; charset=utf-8", "5")
    assert told["input"] == "hello"
    assert "HTTP_CONTENT_TYPE" not in found and "HTTP_CONTENT_LENGTH" not in found


@PLAIN_AND_CHECKED
def test_a_chunked_body_has_its_length_and_no_transfer_coding(served: Served, app: str) -> None:
    told = shown(served(app), post_chunked("/", [b"hel", b"lo"]))
    assert told["values"]["CONTENT_LENGTH"] == "5"
    assert told["input"] == "hello"
    assert "HTTP_TRANSFER_ENCODING" not in told["values"]


@PLAIN_AND_CHECKED
def test_repeated_fields_are_joined_by_commas_and_cookies_by_semicolons(served: Served, app: str) -> None:
    found = values(served(app), get("/", "X-List: a", "Cookie: a=1", "x-list: b, c", "Cookie: b=2; c=3"))
    assert re.split(", ?", found["HTTP_X_LIST"]) == ["a", "b", "c"]
    assert found["HTTP_COOKIE"] == "a=1; b=2; c=3"


@PLAIN_AND_CHECKED
def test_values_are_trimmed_and_kept_as_latin_1(served: Served, app: str) -> None:
    found = values(served(app), get("/", "X-Name: \t caf\xe9 \x80\xff\t ", "X-Empty:", "X-Inner: a \t b"))
    assert found["HTTP_X_NAME"] == "caf\xe9 \x80\xff"
    assert found["HTTP_X_EMPTY"] == ""
    assert found["HTTP_X_INNER"] == "a \t b"


@PLAIN_AND_CHECKED
def test_a_name_with_an_underscore_cannot_pose_as_another(served: Served, app: str) -> None:
    server = served(app)
    for _ in range(3):
        found = values(server, get("/", "X-User: right", "X_User: wrong", "Content_Length: 7"))
        assert found["HTTP_X_USER"] == "right"
        assert "HTTP_CONTENT_LENGTH" not in found
    server.wait_for_log("(?i)field x_user")
    assert server.log().lower().count("x_user") == 1, "the drop is logged once a name"


def test_names_that_clients_make_up_fill_neither_memory_nor_log(serve: Serve) -> None:
    server = serve("environs:show")
    with conversation(server.port) as opened:
        for start in range(0, 300, 50):
            opened.send(get("/", *(f"made_up_{number}: 1" for number in range(start, start + 50))))
            assert opened.read_response().status == 200
    assert server.log().count("made_up") <= 100


def test_names_with_underscores_may_be_refused_or_allowed(served: Served) -> None:
    request = get("/", "X_User: someone")
    with conversation(served("environs:show", "--header-map", "refuse").port, request + get()) as opened:
        answer = opened.read_response()
        assert answer.status == 400 and answer.closes
        opened.expect_end()
    assert values(served("environs:show", "--header-map", "allow"), request)["HTTP_X_USER"] == "someone"


@pytest.mark.parametrize(("flag", "expected"), [("", []), ("an other server", ["an other server"])])
def test_the_server_field_can_be_set_and_removed(served: Served, flag: str, expected: list[str]) -> None:
    answer = send(served("environs:show", f"--server-header={flag}").port, get())
    assert answer.values("Server") == expected


@PLAIN_AND_CHECKED
def test_proxy_never_becomes_http_proxy(served: Served, app: str) -> None:
    assert "HTTP_PROXY" not in values(served(app), get("/", "Proxy: http://wrong.example/"))


def test_nothing_comes_from_the_environment_of_the_process(serve: Serve) -> None:
    server = serve("environs:show", env={"HOUSE_SECRET": "a secret", "HTTP_X_FAKE": "a fake"})
    found = values(server, get())
    assert not {"HOUSE_SECRET", "HTTP_X_FAKE", "PATH", "HOME"} & found.keys()


@PLAIN_AND_CHECKED
def test_each_request_has_a_dict_of_its_own(served: Served, app: str) -> None:
    with conversation(served(app).port) as opened:
        for _ in range(3):
            opened.send(get())
            found = json.loads(opened.read_response().body)["values"]
            assert "test.mark" not in found
            assert found["wsgi.url_scheme"] == "http"


def test_fields_of_one_request_are_not_seen_by_the_next(served: Served) -> None:
    with conversation(served("environs:show").port) as opened:
        opened.send(post("/", b"x", "X-Private: 1", "Cookie: a=1", "Content-Type: text/plain"))
        assert "HTTP_X_PRIVATE" in json.loads(opened.read_response().body)["values"]
        opened.send(get())
        found = json.loads(opened.read_response().body)["values"]
    assert not {"HTTP_X_PRIVATE", "HTTP_COOKIE", "CONTENT_TYPE", "CONTENT_LENGTH"} & found.keys()


def test_the_root_path_becomes_script_name(served: Served) -> None:
    found = values(served("environs:show", "--root-path", "/shop"), get("/shop/cart"))
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/shop", "/cart")


@pytest.mark.parametrize("app", ["environs:complain", "environs:checked_complain"])
def test_what_is_written_to_wsgi_errors_is_in_the_log(served: Served, app: str) -> None:
    server = served(app)
    assert send(server.port, get()).body == b"complained"
    for text in ["written to the errors", "one line of several", "another line: caf\xe9", "printed to the errors"]:
        server.wait_for_log(text)
