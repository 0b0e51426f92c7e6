"""A Flask application, served to requests, httpx and curl."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests

from tests.conftest import start, stop_all
from tests.support.client import CLIENTS, ask, curl
from tests.support.server import Server
from tests.support.wire import conversation, get

CONTENT = random.Random(20).randbytes(20 * 1024 * 1024)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flask") / "content.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(scope="module")
def site(file: Path) -> Iterator[Server]:
    server = start("flask_site:app", "--threads", "4", env={"FILE": str(file)})
    yield server
    stop_all([server])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_page_is_served(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/")
    assert (answer.status, answer.body) == (200, b"Hello, stranger!")
    assert answer.fields["content-length"] == str(len(answer.body))
    assert answer.fields["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("client", CLIENTS)
def test_head_has_the_fields_of_get_and_no_body(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields["content-length"] == str(len(b"Hello, stranger!"))


def test_a_session_lives_from_login_to_logout(site: Server) -> None:
    with requests.Session() as session:
        session.trust_env = False
        assert session.post(site.url + "/login", data={"name": "Zoë"}, timeout=60).text == "Hello, Zoë!"
        assert session.get(site.url + "/messages", timeout=60).json() == ["welcome"]
        assert session.get(site.url + "/messages", timeout=60).json() == []
        assert session.post(site.url + "/logout", timeout=60).text == "Hello, stranger!"


def test_a_session_lives_in_curls_cookie_jar(site: Server, tmp_path: Path) -> None:
    jar = ["--cookie", "jar", "--cookie-jar", "jar"]
    curl(*jar, "--data", "name=Ada", site.url + "/login", cwd=tmp_path)
    assert curl(*jar, site.url + "/", cwd=tmp_path) == b"Hello, Ada!"


def test_requests_on_one_connection_see_their_own_sessions(site: Server) -> None:
    with httpx.Client(trust_env=False, timeout=60, limits=httpx.Limits(max_connections=1)) as client:
        for name in ["one", "two", "three"]:
            client.cookies.clear()
            client.post(site.url + "/login", data={"name": name})
            assert client.get(site.url + "/").text == f"Hello, {name}!"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_arrives_whole(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/stream?lines=1000")
    assert answer.body.decode().splitlines() == [f"line {number}" for number in range(1000)]
    assert "content-length" not in answer.fields


def test_a_stream_is_one_chunk_a_piece(site: Server) -> None:
    with conversation(site.port, get("/stream?lines=5")) as opened:
        assert opened.read_response().chunks == [b"line %d\n" % number for number in range(5)]


def test_server_sent_events_arrive_as_events(site: Server) -> None:
    with httpx.Client(trust_env=False, timeout=60) as client, client.stream("GET", site.url + "/events") as answer:
        told = [line for line in answer.iter_lines() if line]
    assert told == ['data: {"number": 0}', 'data: {"number": 1}', 'data: {"number": 2}']


@pytest.mark.parametrize("client", ["requests", "httpx", "curl"])
def test_a_form_with_a_file_of_20_megabytes_arrives_whole(site: Server, client: str, file: Path) -> None:
    url = site.url + "/upload"
    if client == "curl":
        told = json.loads(curl("--form", f"file=@{file};filename=ä.bin", "--form", "note=hello", url))
    elif client == "requests":
        with file.open("rb") as opened:
            told = requests.post(url, files={"file": ("ä.bin", opened)}, data={"note": "hello"}, timeout=60).json()
    else:
        with file.open("rb") as opened:
            told = httpx.post(
                url, files={"file": ("ä.bin", opened)}, data={"note": "hello"}, timeout=60, trust_env=False
            ).json()
    assert told["note"] == "hello"
    assert told["file"]["filename"] == "ä.bin"
    assert (told["file"]["length"], told["file"]["sha256"]) == (len(CONTENT), SHA256)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_raw_body_of_20_megabytes_arrives_whole(site: Server, client: str) -> None:
    told = json.loads(ask(client, site.url + "/raw", method="PUT", body=CONTENT).body)
    assert told == {"sha256": SHA256, "length": len(CONTENT), "announced": len(CONTENT)}


def pieces() -> Iterator[bytes]:
    for start_of_piece in range(0, len(CONTENT), 300_007):
        yield CONTENT[start_of_piece : start_of_piece + 300_007]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_chunked_body_of_20_megabytes_arrives_whole_and_has_a_length(site: Server, client: str, file: Path) -> None:
    url = site.url + "/raw"
    if client == "requests":
        told = requests.put(url, data=pieces(), timeout=60).json()
    elif client == "httpx":
        told = httpx.put(url, content=pieces(), timeout=60, trust_env=False).json()
    else:
        told = json.loads(
            curl("--request", "PUT", "--header", "Transfer-Encoding: chunked", "--data-binary", f"@{file}", url)
        )
    assert told == {"sha256": SHA256, "length": len(CONTENT), "announced": len(CONTENT)}


def test_a_chunked_form_is_parsed_as_a_form(site: Server) -> None:
    told = json.loads(curl("--header", "Transfer-Encoding: chunked", "--data", "a=1&b=%C3%A9", site.url + "/upload"))
    assert told == {"a": "1", "b": "é"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_json_comes_back(site: Server, client: str, method: str) -> None:
    body = json.dumps({"text": "ünï", "list": [1, 2, 3]}).encode()
    answer = ask(client, site.url + "/json", method=method, body=body, fields={"Content-Type": "application/json"})
    assert json.loads(answer.body) == {"method": method, "got": json.loads(body)}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_is_sent_whole(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/file")
    assert answer.fields["content-length"] == str(len(CONTENT))
    assert hashlib.sha256(answer.body).hexdigest() == SHA256


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=1048575-1048576", 1048575, 1048576),
        ("bytes=20000000-", 20_000_000, len(CONTENT) - 1),
        ("bytes=-10", len(CONTENT) - 10, len(CONTENT) - 1),
    ],
)
def test_a_range_of_a_file_is_that_range(site: Server, client: str, asked: str, first: int, last: int) -> None:
    answer = ask(client, site.url + "/file", fields={"Range": asked})
    assert answer.status == 206
    assert answer.fields["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.body == CONTENT[first : last + 1]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_range_beyond_the_file_is_refused_by_flask(site: Server, client: str) -> None:
    assert ask(client, site.url + "/file", fields={"Range": "bytes=99999999-"}).status == 416


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unchanged_file_is_304_without_a_body(site: Server, client: str) -> None:
    etag = ask(client, site.url + "/file", method="HEAD").fields["etag"]
    answer = ask(client, site.url + "/file", fields={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize("client", CLIENTS)
def test_paths_and_queries_are_decoded_once(site: Server, client: str) -> None:
    told = json.loads(ask(client, site.url + "/about/caf%C3%A9%20%2541?q=a%26b&empty=").body)
    assert told["name"] == "café %41"
    assert told["query"] == {"q": "a&b", "empty": ""}
    assert told["root"] == site.url + "/"
    assert told["address"] == "127.0.0.1"


@pytest.mark.parametrize("client", CLIENTS)
def test_an_error_of_the_view_is_500_and_keeps_its_secret(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/crash")
    assert answer.status == 500
    assert b"a secret of the application" not in answer.body
    site.wait_for_log("a secret of the application")


@pytest.mark.parametrize("client", CLIENTS)
def test_statuses_of_the_application_arrive(site: Server, client: str) -> None:
    assert ask(client, site.url + "/teapot").status == 418
    answer = ask(client, site.url + "/no-such-page")
    assert (answer.status, answer.body) == (404, b"nothing here, said the application")
    assert ask(client, site.url + "/json").status == 405


def test_curl_speaks_http_1_0(site: Server) -> None:
    assert curl("--http1.0", site.url + "/stream?lines=3") == b"line 0\nline 1\nline 2\n"


def test_curl_waits_for_100_continue(site: Server) -> None:
    shown = curl(
        "--include", "--header", "Expect: 100-continue", "--expect100-timeout", "50", "--request", "PUT",
        "--data-binary", "hello", site.url + "/raw",
    )  # fmt: skip
    assert shown.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert json.loads(shown.rpartition(b"\r\n\r\n")[2])["length"] == 5


def test_a_factory_of_flask_is_found_and_called(serve_factory: Server) -> None:
    assert ask("requests", serve_factory.url + "/").body == b"Hello, stranger!"


@pytest.fixture
def serve_factory(file: Path) -> Iterator[Server]:
    server = start("flask_site:create_app()", env={"FILE": str(file)})
    yield server
    stop_all([server])
