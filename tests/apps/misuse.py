"""Applications that break PEP 3333. None of them may hurt the server, and each must be told of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

# Deliberately wrong throughout: the types are those of the mistakes.
Environ = dict[str, Any]
PLAIN = ("Content-Type", "text/plain")


def raises(environ: Environ, start_response: Any) -> Any:
    raise RuntimeError("a secret before the head")


def raises_after_start(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    raise RuntimeError("a secret after start_response")


def raises_first(environ: Environ, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN])
    if environ is not None:
        raise RuntimeError("a secret before the first piece")
    yield b"never"


def exits(environ: Environ, start_response: Any) -> Any:
    sys.exit(7)


def interrupts(environ: Environ, start_response: Any) -> Any:
    raise KeyboardInterrupt


def leaves(environ: Environ, start_response: Any) -> Any:
    raise GeneratorExit("a secret on the way out")


def recurses(environ: Environ, start_response: Any) -> Any:
    return recurses(environ, start_response)


def unspeakable(environ: Environ, start_response: Any) -> Any:
    class Unspeakable(BaseException):
        def __str__(self) -> str:
            raise RuntimeError("a secret in an exception's text")

    raise Unspeakable


def never_starts(environ: Environ, start_response: Any) -> Any:
    return [b"no head"]


def starts_twice(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    start_response("201 Created", [PLAIN])
    return [b"twice"]


def starts_late(environ: Environ, start_response: Any) -> Iterator[bytes]:
    yield b"a piece before the head"
    start_response("200 OK", [PLAIN])


def returns_none(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return None


def returns_str(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return "a string"


def returns_int(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return 42


def returns_bytes(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return b"bytes alone"


async def is_asynchronous(environ: Environ, start_response: Any) -> Any:
    raise AssertionError("nobody waits for it")


def int_items(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return [b"good", 7]


def str_items(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return ["a string"]


def none_items(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return iter([None])


def writes_str(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])("a string")
    return []


def bad_exc_info(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN], "not a tuple")
    return [b"unreachable"]


BROKEN_STATUSES: dict[str, Any] = {
    "bytes": b"200 OK",
    "number": 200,
    "none": None,
    "no_code": "OK",
    "no_reason": "200",
    "beyond_599": "600 More",
    "two_spaces": "200  OK",
    "delete": "200 O\x7fK",
    "two_digits": "20 OK",
    "four_digits": "2000 OK",
    "line_feed": "200 OK\nX-Injected: yes",
    "carriage_return": "200 OK\r\nX-Injected: yes",
    "nul": "200 O\0K",
    "beyond_latin_1": "200 \u20ac",
    "zero": "000 Zero",
    "interim": "100 Continue",
}


def status(environ: Environ, start_response: Any) -> Any:
    start_response(BROKEN_STATUSES[environ["QUERY_STRING"]], [PLAIN])
    return [b"the body"]


BROKEN_FIELDS: dict[str, Any] = {
    "none": None,
    "dict": {"Content-Type": "text/plain"},
    "not_pairs": ["Content-Type"],
    "triples": [("X-A", "1", "2")],
    "bytes_name": [(b"X-A", "1")],
    "bytes_value": [("X-A", b"1")],
    "int_value": [("X-A", 1)],
    "none_value": [("X-A", None)],
    "empty_name": [("", "1")],
    "space_in_name": [("X A", "1")],
    "colon_in_name": [("X-A:", "1")],
    "line_feed_in_name": [("X-A\nX-Injected", "1")],
    "name_beyond_ascii": [("X-\xe9", "1")],
    "line_feed_in_value": [("X-A", "1\nX-Injected: yes")],
    "crlf_in_value": [("X-A", "1\r\nX-Injected: yes")],
    "carriage_return_in_value": [("X-A", "1\rX-Injected: yes")],
    "nul_in_value": [("X-A", "1\0")],
    "value_beyond_latin_1": [("X-A", "\u20ac")],
    "length_not_a_number": [("Content-Length", "many")],
    "length_negative": [("Content-Length", "-1")],
    "length_with_plus": [("Content-Length", "+8")],
    "length_list": [("Content-Length", "8, 8")],
    "length_overflow": [("Content-Length", "18446744073709551616")],
    "tuple": (PLAIN,),
    "lists": [["Content-Type", "text/plain"]],
    "two_lengths": [("Content-Length", "8"), ("Content-Length", "9")],
}


def fields(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", BROKEN_FIELDS[environ["QUERY_STRING"]])
    return [b"the body"]


APPS = {
    "raises": raises,
    "raises_after_start": raises_after_start,
    "raises_first": raises_first,
    "exits": exits,
    "interrupts": interrupts,
    "leaves": leaves,
    "recurses": recurses,
    "unspeakable": unspeakable,
    "never_starts": never_starts,
    "starts_twice": starts_twice,
    "starts_late": starts_late,
    "returns_none": returns_none,
    "returns_str": returns_str,
    "returns_int": returns_int,
    "returns_bytes": returns_bytes,
    "is_asynchronous": is_asynchronous,
    "int_items": int_items,
    "str_items": str_items,
    "none_items": none_items,
    "writes_str": writes_str,
    "bad_exc_info": bad_exc_info,
    "status": status,
    "fields": fields,
}
