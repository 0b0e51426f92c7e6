"""What a connection's earlier requests leave behind: nothing that a later one could see or be reached through."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.conftest import Served
from tests.support.wire import conversation, get, post, send

NAMES = ["Accept", "User-Agent", "Cookie", "X-One", "x-one", "X_One", "X-Two", "Referer", "Content-Type"]
VALUES = ["", "a", "b", "text/html, */*;q=0.1", "caf\xe9", "k=v; l=w"]


def drawn(chance: random.Random, fields: list[str]) -> tuple[bytes, list[str]]:
    """A request that has most of the last one's fields, and what its fields are."""
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2])):
        line = f"{chance.choice(NAMES)}: {chance.choice(VALUES)}"
        what = chance.choice(["add", "change", "remove", "swap"])
        if what == "add" or not fields:
            fields = [*fields, line]
        elif what == "change":
            place = chance.randrange(len(fields))
            name = fields[place].partition(":")[0]
            fields = [*fields[:place], f"{name}: {chance.choice(VALUES)}", *fields[place + 1 :]]
        elif what == "remove":
            place = chance.randrange(len(fields))
            fields = fields[:place] + fields[place + 1 :]
        else:
            fields = fields[::-1]
    target = chance.choice(["/", "/", "/a/b?c=d", "/%41"])
    kind = chance.randrange(12)
    if kind == 0:
        return post(target, b"body", *fields), fields
    if kind == 1:
        return get(target, "Content-Length: 0", *fields), fields
    if kind == 2:
        return get(f"http://other.example{target}", *fields), fields
    return get(target, *fields), fields


@pytest.mark.parametrize("flags", [(), ("--header-map", "allow"), ("--forwarded-allow-ips", "127.0.0.1")])
@pytest.mark.parametrize("seed", range(4))
def test_the_environ_is_that_of_a_connection_of_its_own(served: Served, flags: tuple[str, ...], seed: int) -> None:
    server = served("environs:show", *flags)
    chance = random.Random(seed)
    fields: list[str] = []
    with conversation(server.port) as opened:
        for _ in range(60):
            request, fields = drawn(chance, fields)
            opened.send(request)
            found = environ(opened.read_response().body)
            alone = environ(send(server.port, request).body)
            assert found == alone, (seed, request)


def environ(body: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(body)
    # The client's port is another on each connection.
    del told["values"]["REMOTE_PORT"]
    return told


@pytest.mark.parametrize(
    "what", ["environ", "start_response", "write", "input", "read", "early_hints", "client_disconnected", "weakly"]
)
def test_what_is_kept_of_a_request_reaches_no_later_one(served: Served, what: str) -> None:
    server = served("keeping:keep", "--threads", "1")
    with conversation(server.port) as opened:
        for _ in range(3):
            opened.send(get(f"/{what}"))
            assert opened.read_response().body == b"kept"
            opened.send(post(f"/{what}?use", b"my own body"))
            told = json.loads(opened.read_response().body)
            assert told == {"outcome": "ValueError", "own": "my own body", "same": []}
