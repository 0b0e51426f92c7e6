"""Clients that people use, as they come: bodies in both directions by their hashes, and how connections are kept."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from tests.apps.bodies import MATERIAL, made, told
from tests.conftest import Served
from tests.support.client import curl
from tests.support.programs import chromium, need_undici, program, run
from tests.support.server import Server
from tests.support.session import SESSIONS, Answer, Question, answers_of, node

HOWS = ["length", "pieces", "item", "file", "write"]
BY_ANY = pytest.mark.parametrize("client", SESSIONS)
# all of these wait for 100 (Continue) before they send a body; requests, httpx, urllib3 and undici can't
BY_THOSE_THAT_EXPECT = pytest.mark.parametrize("client", ["curl", "aiohttp", "node"])


@pytest.fixture
def server(served: Served) -> Server:
    return served("bodies:application", "--threads", "4")


def expected(asked: Question) -> str:
    """The body that belongs to the question, as the application would make it."""
    _, view, *path = asked.target.partition("?")[0].split("/")
    if asked.method == "HEAD" or view == "empty":
        return told(b"")
    return told(made(int(path[1]), int(path[2])) if view == "get" else asked.body or b"")


def check(questions: list[Question], answers: list[Answer]) -> None:
    """Each answer is the one to its question, and each question came whole."""
    assert len(answers) == len(questions)
    for asked, answer in zip(questions, answers, strict=True):
        assert answer.status == (int(asked.target[-3:]) if asked.target.startswith("/empty/") else 200), asked.target
        assert answer.fields["x-method"] == asked.method
        assert answer.fields["x-received"] == told(asked.body or b""), asked.target
        assert answer.told == expected(asked), asked.target


def connections(answers: list[Answer]) -> int:
    return len({answer.fields["x-port"] for answer in answers})


@BY_ANY
def test_bodies_arrive_whole_both_ways_over_one_connection(server: Server, client: str, tmp_path: Path) -> None:
    questions = []
    for number, how in enumerate(HOWS * 2):
        size = [0, 1, 16_383, 200_000, 2_000_000][number * 3 % 5]
        questions += [
            Question("GET", f"/get/{how}/{number}/{size}"),
            Question("HEAD", f"/get/length/{number}/{size}"),
            Question("POST", f"/echo/{how}", made(number, size)),
            Question("GET", f"/empty/{[204, 304][number % 2]}"),
            Question("PUT", f"/echo/{how}", made(number + 10, size), chunked=True),
            Question("DELETE", f"/get/{how}/7/{number}"),
        ]
    answers = SESSIONS[client](server.url, questions, tmp_path)
    check(questions, answers)
    assert connections(answers) == 1
    for asked, answer in zip(questions, answers, strict=True):
        if asked.method == "HEAD":
            assert answer.fields["content-length"] == asked.target.rpartition("/")[2]


@BY_ANY
def test_head_of_an_unknown_length_is_understood(server: Server, client: str, tmp_path: Path) -> None:
    """Clients made of llhttp open a new connection after it, as the head has neither a length nor a coding."""
    questions = [Question(method, f"/get/{how}/1/70000") for how in HOWS for method in ["HEAD", "GET"]]
    answers = SESSIONS[client](server.url, questions, tmp_path)
    check(questions, answers)
    if client not in {"aiohttp", "node", "undici"}:
        assert connections(answers) == 1


@BY_ANY
def test_a_connection_that_the_server_ends_is_followed_by_another(served: Served, client: str, tmp_path: Path) -> None:
    server = served("bodies:application", "--requests-per-connection", "3")
    questions = [
        Question("GET", "/get/pieces/0/100000")
        if number % 2
        else Question("POST", "/echo/length", made(number, 100_000))
        for number in range(12)
    ]
    answers = SESSIONS[client](server.url, questions, tmp_path)
    check(questions, answers)
    ports = [answer.fields["x-port"] for answer in answers]
    assert ports == [ports[number // 3 * 3] for number in range(12)] and len(set(ports)) == 4


@BY_THOSE_THAT_EXPECT
@pytest.mark.parametrize("flags", [(), ("--streaming-uploads",)])
def test_a_body_that_waits_for_100_is_asked_for(
    served: Served, client: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    server = served("bodies:application", *flags)
    expecting = {"Expect": "100-continue"}
    questions = [
        Question("POST", "/echo/length", made(1, 5), fields=expecting),
        Question("POST", "/echo/pieces", made(2, 2_000_000), fields=expecting),
        Question("GET", "/get/item/3/1000"),
        Question("PUT", "/echo/length", made(4, 300_000), chunked=True, fields=expecting),
    ]
    answers = SESSIONS[client](server.url, questions, tmp_path)
    check(questions, answers)
    assert connections(answers) == 1


@BY_THOSE_THAT_EXPECT
def test_a_body_that_is_not_wanted_is_not_asked_for(served: Served, client: str, tmp_path: Path) -> None:
    server = served("bodies:application", "--limit-request-body", "1M")
    asked = Question("POST", "/echo/length", made(0, 2_000_000), fields={"Expect": "100-continue"})
    (answer,) = SESSIONS[client](server.url, [asked], tmp_path)
    assert answer.status == 413 and answer.fields["connection"] == "close"


# curl


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_curl_speaks_each_version(server: Server, version: str, tmp_path: Path) -> None:
    body = made(5, 700_000)
    (tmp_path / "sent").write_bytes(body)
    spoken = [f"--http{version}", "--include"]
    for target, more in [("/get/pieces/5/700000", []), ("/echo/pieces", ["--data-binary", "@sent"])]:
        head, _, received = curl(*spoken, *more, server.url + target, cwd=tmp_path).partition(b"\r\n\r\n")
        assert f"X-Protocol: HTTP/{version}".encode() in head.splitlines()
        assert (b"Transfer-Encoding: chunked" in head.splitlines()) == (version == "1.1")
        assert told(received) == told(body)


def test_curl_sees_one_100_for_each_body_that_waits(server: Server, tmp_path: Path) -> None:
    """curl expects it by itself for more than a megabyte."""
    (tmp_path / "sent").write_bytes(made(0, 2_000_000))
    upload = ["--data-binary", "@sent", "--dump-header", "-", "--output", "/dev/null", server.url + "/echo/length"]
    heads = curl(*upload, "--next", *upload, cwd=tmp_path)
    assert re.findall(rb"^HTTP/1.1 ([0-9]+)", heads, re.MULTILINE) == [b"100", b"200"] * 2


def test_curl_uploads_what_it_reads_from_a_pipe(server: Server) -> None:
    body = made(11, 1_500_000)
    assert told(curl("--upload-file", "-", server.url + "/echo/pieces", sent=body)) == told(body)


def test_curl_keeps_a_connection_of_http_1_0_that_both_want(server: Server) -> None:
    asked = [
        "--http1.0",
        "--header",
        "Connection: keep-alive",
        "--write-out",
        "%{num_connects}",
        "--output",
        "/dev/null",
    ]
    url = server.url + "/get/length/0/5000"
    assert curl(*asked, url, "--output", "/dev/null", url) == b"10"


@pytest.mark.parametrize(
    ("range_", "status", "part"),
    [
        ("0-0", 206, made(0, 1)),
        ("1000-1999", 206, made(1000, 1000)),
        ("-500", 206, made(99_500, 500)),
        ("100000-", 416, b""),
    ],
)
def test_curl_gets_the_range_that_the_application_gives(server: Server, range_: str, status: int, part: bytes) -> None:
    head, _, body = curl("--include", "--range", range_, server.url + "/ranged/100000").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"Content-Range: bytes " in head
    assert told(body) == told(part)


def test_curl_resumes_a_download(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(made(0, 123_457))
    curl("--continue-at", "-", "--output", "file", server.url + "/ranged/1000000", cwd=tmp_path)
    assert told((tmp_path / "file").read_bytes()) == told(made(0, 1_000_000))


# wget


def wget(*arguments: str, cwd: Path) -> None:
    run(
        [program("wget", package="wget"), "--no-config", "--no-verbose", "--no-proxy", "--tries=1", *arguments], cwd=cwd
    )


def test_wget_downloads_several_files_over_one_connection(server: Server, tmp_path: Path) -> None:
    asked = [
        f"/get/{how}/{number}/{number * 60_000}" for number, how in enumerate(["length", "pieces", "item", "file"])
    ]
    wget(
        "--save-headers",
        "--force-directories",
        "--no-host-directories",
        *(server.url + target for target in asked),
        cwd=tmp_path,
    )
    ports = set()
    for number, target in enumerate(asked):
        head, _, body = (tmp_path / target[1:]).read_bytes().partition(b"\r\n\r\n")
        assert told(body) == told(made(number, number * 60_000))
        ports |= set(re.findall(rb"^X-Port: (\d+)", head, re.MULTILINE))
    assert len(ports) == 1


def test_wget_resumes_a_download(server: Server, tmp_path: Path) -> None:
    (tmp_path / "3000000").write_bytes(made(0, 1_234_567))
    wget("--continue", server.url + "/ranged/3000000", cwd=tmp_path)
    assert told((tmp_path / "3000000").read_bytes()) == told(made(0, 3_000_000))


@pytest.mark.parametrize("how", [["--post-file=sent"], ["--method=PUT", "--body-file=sent"]])
def test_wget_uploads_a_file(server: Server, how: list[str], tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(made(3, 900_000))
    wget(*how, "--output-document=received", server.url + "/echo/pieces", cwd=tmp_path)
    assert told((tmp_path / "received").read_bytes()) == told(made(3, 900_000))


# Node


def test_the_agent_of_node_uses_its_connection_again(server: Server, tmp_path: Path) -> None:
    questions = [Question("GET", f"/get/item/{number}/1000") for number in range(20)]
    found = node("http", server.url, questions, tmp_path)
    check(questions, answers_of(found))
    assert [answer["reused"] for answer in found["answers"]] == [False] + [True] * 19


def test_node_is_told_once_to_continue(server: Server, tmp_path: Path) -> None:
    questions = [
        Question("POST", "/echo/item", made(number, 50_000), fields={"Expect": "100-continue"}) for number in range(5)
    ]
    found = node("http", server.url, questions, tmp_path)
    check(questions, answers_of(found))
    assert [answer["interim"] for answer in found["answers"]] == [1] * 5


def test_undici_gets_pipelined_answers_in_order(server: Server, tmp_path: Path) -> None:
    need_undici()
    sizes = [0, 1, 40_000, 300, 5, 150_000, 16_384]
    questions = [
        Question("GET", f"/get/{HOWS[number % 5]}/{number}/{sizes[number % 7]}?id=pipelined{number}")
        for number in range(300)
    ]
    found = node("undici", server.url, questions, tmp_path, pipelining=10)
    answers = answers_of(found)
    check(questions, answers)
    assert connections(answers) == 1
    assert found["pipelined"] == 10
    called = json.loads(curl(server.url + "/calls"))
    mine = [(identity, times) for identity, times in called.items() if identity.startswith("pipelined")]
    assert mine == [(f"pipelined{number}", 1) for number in range(300)]


# Chromium

# what the page in tests/apps/page.py has
PICTURES = 12
LONG = 220_000


def test_chromium_shows_a_page_with_its_parts_and_sends_forms_and_uploads(served: Served, tmp_path: Path) -> None:
    server = served("page:application", "--threads", "8")
    shown = chromium(f"{server.url}/page/", tmp_path)
    found = re.search(r'<pre id="results">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None, shown[:2000]
    part = told(MATERIAL[1000:1_001_000])
    assert json.loads(unescape(found[1])) == {
        "pictures": PICTURES,
        "color": "rgb(1, 2, 3)",
        "form": {"word": "grüß dich", "long": LONG},
        "downloaded": part,
        "uploaded": part,
        "echoed": part,
        "head": "500000",
        "none": 204,
    }
    carried = json.loads(curl(f"{server.url}/page/ports"))
    # page, style, script, pictures, the one that waits, form, four fetches, done; and this question
    assert sum(carried.values()) == 3 + PICTURES + 1 + 1 + 4 + 1 + 1
    assert len(carried) - 1 <= 6, "a browser opens six connections to a server at most"
