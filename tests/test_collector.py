"""What the garbage collector has to look at while requests are answered."""

from __future__ import annotations

import json
from typing import TypedDict

import pytest

from tests.conftest import Serve
from tests.support.process import on_linux
from tests.support.server import Server
from tests.support.wire import get, send

pytestmark = on_linux


class Answer(TypedDict):
    frozen: int
    things: int
    ours: list[str]


def asked(server: Server) -> Answer:
    answer: Answer = json.loads(send(server.port, get()).body)
    return answer


KINDS = [["-w", "0"], ["-w", "1"], ["-w", "2", "--preload"]]


@pytest.mark.parametrize("flags", KINDS, ids=" ".join)
def test_what_the_application_begins_with_is_collected_once_and_then_left_alone(serve: Serve, flags: list[str]) -> None:
    answer = asked(serve("collector:app", *flags))
    assert answer["frozen"] > 1000
    assert answer["things"] == 0, "the collector still goes through what was made at import"


@pytest.mark.parametrize("flags", KINDS, ids=" ".join)
def test_the_collector_is_left_as_it_is_where_the_operator_says_so(serve: Serve, flags: list[str]) -> None:
    answer = asked(serve("collector:app", "--gc-freeze=false", *flags))
    assert answer["frozen"] == 0
    assert answer["things"] >= 3


def test_nothing_of_the_servers_own_in_an_environ_is_the_collectors_to_look_at(serve: Serve) -> None:
    server = serve("collector:app", "-w", "0")
    for _ in range(3):
        # The environs of all requests are kept by the application.
        assert asked(server)["ours"] == []
