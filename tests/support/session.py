"""Several questions, one after the other over one connection, through clients that people use."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import requests
import urllib3

from tests.apps.bodies import told
from tests.support.client import curl
from tests.support.programs import NODE, need_undici, program, run

TIMEOUT = 60
PIECE = 10_000


@dataclass(frozen=True)
class Question:
    method: str
    target: str
    body: bytes | None = None
    chunked: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)

    def pieces(self) -> Iterator[bytes]:
        assert self.body is not None
        return (self.body[start : start + PIECE] for start in range(0, len(self.body), PIECE))


@dataclass(frozen=True)
class Answer:
    """What a client made of a response: names of fields in lower case, the body as length and hash."""

    status: int
    fields: dict[str, str]
    told: str


def _answer(status: int, fields: Mapping[str, str], body: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in fields.items()}, told(body))


def by_requests(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    with requests.Session() as session:
        session.trust_env = False
        answers = []
        for asked in questions:
            body = asked.pieces() if asked.chunked else asked.body
            found = session.request(
                asked.method, url + asked.target, headers=dict(asked.fields), data=body, timeout=TIMEOUT
            )
            answers.append(_answer(found.status_code, found.headers, found.content))
    return answers


def by_httpx(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False) as session:
        answers = []
        for asked in questions:
            body = asked.pieces() if asked.chunked else asked.body
            found = session.request(asked.method, asked.target, headers=dict(asked.fields), content=body)
            answers.append(_answer(found.status_code, found.headers, found.content))
    return answers


def by_urllib3(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    with urllib3.PoolManager(maxsize=1, block=True, timeout=TIMEOUT, retries=False) as pool:
        answers = []
        for asked in questions:
            body = asked.pieces() if asked.chunked else asked.body
            found = pool.request(
                asked.method,
                url + asked.target,
                headers=asked.fields,
                body=body,
                chunked=asked.chunked,
                preload_content=False,
            )
            answers.append(_answer(found.status, found.headers, b"".join(found.stream(PIECE))))
            found.release_conn()
    return answers


def by_http_client(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    opened = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
    answers = []
    for asked in questions:
        opened.request(
            asked.method, asked.target, asked.pieces() if asked.chunked else asked.body, headers=dict(asked.fields)
        )
        found = opened.getresponse()
        answers.append(_answer(found.status, dict(found.getheaders()), found.read()))
    opened.close()
    return answers


def by_aiohttp(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    async def pieces(asked: Question) -> AsyncIterator[bytes]:
        for piece in asked.pieces():
            yield piece

    async def story() -> list[Answer]:
        connector = aiohttp.TCPConnector(limit=1)
        timeout = aiohttp.ClientTimeout(TIMEOUT)
        async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
            answers = []
            for asked in questions:
                body = pieces(asked) if asked.chunked else asked.body
                fields = {name: value for name, value in asked.fields.items() if name != "Expect"}
                # it sends nothing of a body that was not asked for by 100 (Continue)
                expect = "Expect" in asked.fields
                async with session.request(
                    asked.method, asked.target, headers=fields, data=body, expect100=expect
                ) as found:
                    answers.append(_answer(found.status, found.headers, await found.read()))
            return answers

    return asyncio.run(story())


def by_curl(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    command: list[str] = []
    for number, asked in enumerate(questions):
        command += ["--next"] if number else []
        command += ["--silent", "--show-error", "--noproxy", "*", "--http1.1", "--max-time", str(TIMEOUT)]
        command += ["--head"] if asked.method == "HEAD" else ["--request", asked.method]
        # curl expects 100 for large bodies by itself, and goes on without it after this time: 1 s if nobody says more
        command += ["--expect100-timeout", str(TIMEOUT)]
        command += ["--output", f"{number}.body", "--dump-header", f"{number}.head"]
        (directory / f"{number}.body").write_bytes(b"")
        for name, value in asked.fields.items():
            command += ["--header", f"{name}: {value}"]
        if asked.body is not None:
            (directory / f"{number}.sent").write_bytes(asked.body)
            command += ["--data-binary", f"@{number}.sent"]
            command += ["--header", "Transfer-Encoding: chunked"] if asked.chunked else []
        command.append(url + asked.target)
    curl(*command, cwd=directory)
    answers = []
    for number, asked in enumerate(questions):
        # interim responses stand before the last one
        head = (directory / f"{number}.head").read_text(encoding="latin-1").strip().split("\n\n")[-1].splitlines()
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = b"" if asked.method == "HEAD" else (directory / f"{number}.body").read_bytes()
        answers.append(_answer(int(head[0].split(" ")[1]), fields, body))
    return answers


def node(library: str, url: str, questions: Sequence[Question], directory: Path, **more: object) -> Any:
    """What tests/node/session.mjs prints."""
    asked: list[dict[str, object]] = []
    for number, question in enumerate(questions):
        described: dict[str, object] = {
            "method": question.method,
            "target": question.target,
            "fields": dict(question.fields),
            "chunked": question.chunked,
        }
        if question.body is not None:
            file = directory / f"{number}.sent"
            file.write_bytes(question.body)
            described["file"] = str(file)
        asked.append(described)
    plan = {"library": library, "url": url, "questions": asked, **more}
    return json.loads(run([program("node", package="nodejs"), NODE / "session.mjs"], sent=json.dumps(plan).encode()))


def answers_of(found: Any) -> list[Answer]:
    return [Answer(answer["status"], answer["fields"], answer["told"]) for answer in found["answers"]]


def by_node(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    return answers_of(node("http", url, questions, directory))


def by_undici(url: str, questions: Sequence[Question], directory: Path) -> list[Answer]:
    need_undici()
    return answers_of(node("undici", url, questions, directory))


SESSIONS: dict[str, Callable[[str, Sequence[Question], Path], list[Answer]]] = {
    "requests": by_requests,
    "httpx": by_httpx,
    "urllib3": by_urllib3,
    "http.client": by_http_client,
    "aiohttp": by_aiohttp,
    "curl": by_curl,
    "node": by_node,
    "undici": by_undici,
}
