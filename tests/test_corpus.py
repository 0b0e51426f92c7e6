"""The corpus of requests through the running server: the same verdicts as the parser's own tests give."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Served
from tests.support.server import ROOT, Server
from tests.support.wire import conversation, get, send

REQUESTS = ROOT / "crates/whiskyjack-proto/tests/requests"


@dataclass(frozen=True)
class Case:
    """A row of an index: a file, what should become of it, and the rule that says so."""

    path: Path
    expected: str
    rule: str

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"


def cases(kind: str) -> list[Case]:
    """The rows of rules.tsv for the files of this kind; every file must have a row, and every row a file."""
    found = []
    for index in (REQUESTS / "rules.tsv", REQUESTS / kind / "rules.tsv"):
        if not index.exists():
            continue
        with index.open(newline="", encoding="utf-8") as rows:
            lines = (line for line in rows if not line.startswith("#"))
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                name = row["name"].removesuffix(".http").removeprefix(f"{kind}/")
                path = REQUESTS / kind / f"{name}.http"
                if path.exists():
                    found.append(Case(path, row["expected"], row["rule"]))
    return found


REFUSED = cases("refused")
ACCEPTED = cases("accepted")


@pytest.fixture
def server(served: Served) -> Server:
    return served("stage:corpus", "--threads", "4")


def test_the_corpus_is_there_and_every_file_has_its_rule() -> None:
    for kind, found in [("refused", REFUSED), ("accepted", ACCEPTED)]:
        files = {path.stem for path in (REQUESTS / kind).glob("*.http")}
        assert files, f"no file in {REQUESTS / kind}"
        assert {case.path.stem for case in found} == files
        assert all(case.rule for case in found)
    assert len(REFUSED) + len(ACCEPTED) >= 300


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_must_be_refused_is_refused_once_and_ends_the_connection(server: Server, case: Case) -> None:
    mark = f"behind-{case.path.stem}"
    with conversation(server.port) as opened:
        opened.send_while_it_lasts(case.path.read_bytes() + get(f"/{mark}"))
        opened.finish_sending()
        statuses: list[int] = []
        while not statuses or statuses[-1] < 400:
            answer = opened.read_response()
            statuses.append(answer.status)
        assert str(statuses[-1]) in case.expected, f"{statuses} is not {case.expected}: {case.rule}"
        assert answer.closes
        opened.expect_end()
    assert f"/{mark}" not in targets(server), "what follows a refused request is not read as one"


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_must_be_accepted_is_answered(server: Server, case: Case) -> None:
    request = case.path.read_bytes()
    head_only = request.lstrip(b"\r\n").startswith(b"HEAD ")
    with conversation(server.port, request) as opened:
        opened.finish_sending()
        answer = opened.read_response(head=head_only)
        while answer.status == 100:
            answer = opened.read_response(head=head_only)
        assert answer.status == 200, f"{answer.status} {answer.body!r}: {case.rule}"


def targets(server: Server) -> list[str]:
    return send(server.port, get("/seen")).body.decode("latin-1").splitlines()
