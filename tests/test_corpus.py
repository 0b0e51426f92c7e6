"""The corpus of requests through the running server: the same verdicts as the parser's own tests give."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Served
from tests.support.server import ROOT, Server
from tests.support.wire import Conversation, conversation, get, send

REQUESTS = ROOT / "crates/whiskyjack-proto/tests/requests"


# The limits that the corpus is written for.
LIMITS = [
    *("--limit-request-line", "8190", "--limit-request-fields", "100", "--limit-request-field-size", "8190"),
    *("--limit-request-head", "32k", "--limit-request-body", "1M"),
    *("--limit-chunk-extensions", "4k", "--limit-request-trailers", "4k"),
]


@dataclass(frozen=True)
class Case:
    """A row of the index: a file, the status that refuses it or `ok`, the rule, and what the parser understood."""

    path: Path
    expected: str
    rule: str
    outcome: str

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def requests(self) -> list[str]:
        """The requests that reach the application, each as `method target length`; an error at the end is no such."""
        return [understood for understood in self.outcome.split(", ") if " " in understood]


def cases(kind: str) -> list[Case]:
    """The rows of the index whose file is of this kind."""
    with (REQUESTS / "rules.tsv").open(newline="", encoding="utf-8") as rows:
        found = [
            Case(REQUESTS / kind / f"{row['name']}.http", row["expected"], row["rule"], row["outcome"])
            for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
    return [case for case in found if (case.expected == "ok") == (kind == "accepted")]


REFUSED = cases("refused")
ACCEPTED = cases("accepted")


@pytest.fixture
def server(served: Served) -> Server:
    return served("stage:corpus", "--threads", "4", *LIMITS)


def test_the_corpus_is_large_and_every_file_has_its_rule() -> None:
    for kind, found in [("refused", REFUSED), ("accepted", ACCEPTED)]:
        assert {case.path.stem for case in found} == {path.stem for path in (REQUESTS / kind).glob("*.http")}
        assert all(case.rule for case in found)
    assert len(REFUSED) + len(ACCEPTED) >= 300


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_must_be_refused_is_refused_once_and_ends_the_connection(server: Server, case: Case) -> None:
    request, mark = case.path.read_bytes(), f"/behind-{case.path.stem}"
    with conversation(server.port) as opened:
        opened.send_while_it_lasts(request + get(mark))
        expect_requests(opened, case)
        answer = opened.read_response(head=request.startswith(b"HEAD "))
        assert answer.status == int(case.expected), f"{case.rule}: {case.outcome}"
        assert answer.closes
        opened.expect_end()
    seen = send(server.port, get("/seen")).body.decode("latin-1")
    assert mark not in seen, "what follows a refused request is not read as one"


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_must_be_accepted_is_answered(server: Server, case: Case) -> None:
    with conversation(server.port, case.path.read_bytes()) as opened:
        expect_requests(opened, case)
        opened.finish_sending()
        opened.expect_end()


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_must_be_accepted_is_answered_in_segments_of_one_byte(server: Server, case: Case) -> None:
    with conversation(server.port) as opened:
        for byte in case.path.read_bytes():
            # some say `Connection: close` and go on, which the server need not wait for
            opened.send_while_it_lasts(bytes([byte]))
        expect_requests(opened, case)


def expect_requests(opened: Conversation, case: Case) -> None:
    """Reads the answers that say what the application understood."""
    for understood in case.requests:
        head = understood.startswith("HEAD ")
        answer = opened.read_response(head)
        while answer.status == 100:
            answer = opened.read_response(head)
        assert answer.status == 200, f"{case.rule}: {case.outcome}"
        beginning, cut, end = understood.partition("... ")
        found = answer.body.decode("latin-1")
        if not head:
            assert (found.startswith(beginning) and found.endswith(f" {end}")) if cut else found == understood
