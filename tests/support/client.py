"""One question asked through clients that people use: requests, httpx and curl."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import requests

CLIENTS = ["requests", "httpx", "curl"]
TIMEOUT = 60


@dataclass(frozen=True)
class Answer:
    """What every client tells of a response. Names of fields are in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


def ask(
    client: str,
    url: str,
    *,
    method: str = "GET",
    fields: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Asks through the named client, without following redirects."""
    return {"requests": by_requests, "httpx": by_httpx, "curl": by_curl}[client](url, method, fields or {}, body)


def by_requests(url: str, method: str, fields: Mapping[str, str], body: bytes | None) -> Answer:
    with requests.Session() as session:
        session.trust_env = False
        found = session.request(method, url, headers=dict(fields), data=body, timeout=TIMEOUT, allow_redirects=False)
    return Answer(found.status_code, {name.lower(): value for name, value in found.headers.items()}, found.content)


def by_httpx(url: str, method: str, fields: Mapping[str, str], body: bytes | None) -> Answer:
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as session:
        found = session.request(method, url, headers=dict(fields), content=body)
    return Answer(found.status_code, {name.lower(): value for name, value in found.headers.items()}, found.content)


def by_curl(url: str, method: str, fields: Mapping[str, str], body: bytes | None) -> Answer:
    arguments = ["--head"] if method == "HEAD" else ["--request", method]
    for name, value in fields.items():
        arguments += ["--header", f"{name}: {value}"]
    if body is not None:
        arguments += ["--data-binary", "@-"]
    head, _, content = (
        curl(*arguments, "--include", url, sent=body).rpartition(b"\r\n\r\n")
        if method == "HEAD"
        else (_split_interim(curl(*arguments, "--include", url, sent=body)))
    )
    lines = head.decode("latin-1").split("\r\n")
    return Answer(
        int(lines[0].split(" ")[1]),
        {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])},
        content,
    )


def _split_interim(shown: bytes) -> tuple[bytes, bytes, bytes]:
    """The final head and the body: curl shows the heads of interim responses before them."""
    head, gap, rest = shown.partition(b"\r\n\r\n")
    while head.split(b" ")[1].startswith(b"1"):
        head, gap, rest = rest.partition(b"\r\n\r\n")
    return head, gap, rest


def curl(*arguments: str, sent: bytes | None = None, cwd: Path | None = None) -> bytes:
    """What curl printed; a failure of curl's is a failure of the test."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(TIMEOUT), *arguments],
        input=sent,
        stdin=subprocess.DEVNULL if sent is None else None,
        capture_output=True,
        cwd=cwd,
        timeout=TIMEOUT + 10,
        check=False,
    )
    assert done.returncode == 0, f"curl {arguments} ended with {done.returncode}: {done.stderr.decode()}"
    return done.stdout
