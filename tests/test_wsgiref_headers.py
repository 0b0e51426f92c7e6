"""`whiskyjack.wsgiref.headers` beside the standard library's."""

from __future__ import annotations

import inspect
import random
import subprocess
import sys
import wsgiref.headers as original
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.original import outcome
from whiskyjack.wsgiref.headers import Headers, tspecials

NAMES = [
    "Content-Type",
    "content-type",
    "X-Å",
    "x-å",
    "\u212aelvin",
    "kelvin",
    "KELVIN",
    "",
    "Set-Cookie",
    "a_b",
    "\udc80",
]
VALUES = ["text/plain", "", "Å", "€", 'a"b\\c', "\t tab", "\udcff", "x" * 300]
# what is no str, or a str of another kind
ODD: list[Any] = [None, 1, b"bytes", type("Text", (str,), {})("Content-Type"), ["list"], ("a", "b")]


class Pair:
    """Ours and theirs, to which the same is done."""

    def __init__(self, items: list[Any]) -> None:
        self.items = [list(items), list(items)]
        made = [outcome(lambda: Headers(self.items[0])), outcome(lambda: original.Headers(self.items[1]))]
        self.ours: Any = made[0][1]
        self.theirs: Any = made[1][1]

    def do(self, act: Callable[[Any], object]) -> object:
        ours = outcome(lambda: act(self.ours))
        theirs = outcome(lambda: act(self.theirs))
        assert ours == theirs
        assert self.items[0] == self.items[1], "the caller's list"
        assert self.ours.items() == self.theirs.items()
        return ours[1]


def delete(headers: Any, name: Any) -> None:
    del headers[name]


def acts(chance: random.Random) -> Callable[[Any], object]:
    """One thing that can be done to headers."""
    odd = chance.random() < 0.1
    name = chance.choice(ODD if odd and chance.random() < 0.5 else NAMES)
    value = chance.choice(ODD if odd else VALUES)
    parameter = chance.choice(["filename", "a_b", "å"])
    ways: list[Callable[[Any], object]] = [
        lambda headers: headers.__setitem__(name, value),
        lambda headers: delete(headers, name),
        lambda headers: headers[name],
        lambda headers: name in headers,
        lambda headers: headers.get(name),
        lambda headers: headers.get(name, value),
        lambda headers: headers.get(name, default=3),
        lambda headers: headers.get_all(name),
        lambda headers: headers.setdefault(name, value),
        lambda headers: headers.add_header(name, value),
        lambda headers: headers.add_header(name, value, **{parameter: value}),
        lambda headers: headers.add_header(name, None, **{parameter: None, "b": "c"}),
        lambda headers: (len(headers), headers.keys(), headers.values(), headers.items()),
        repr,
        str,
        bytes,
    ]
    return chance.choice(ways)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_done_comes_out_as_in_the_original(seed: int) -> None:
    chance = random.Random(seed)
    headers = Pair([(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randrange(5))])
    for _ in range(120):
        headers.do(acts(chance))


@pytest.mark.parametrize(
    "item", [1, ("a",), "a", ("a", "b", "c"), (1, "a"), ("a", b"b"), ("a", None), None, [], [1, 2]]
)
def test_items_that_are_no_pairs_of_str_are_refused_alike(item: Any) -> None:
    ours, theirs = outcome(lambda: Headers([item])), outcome(lambda: original.Headers([item]))
    # 3.14 says how many there were
    assert (ours[0], ours[1]) == (theirs[0], str(theirs[1]).replace(", got 3)", ")"))


@pytest.mark.parametrize("headers", [(), {}, "foo", 1, type("Other", (list,), {})()])
def test_only_a_list_will_do(headers: Any) -> None:
    assert outcome(lambda: Headers(headers)) == outcome(lambda: original.Headers(headers))
    with pytest.raises(TypeError, match="must be a list of name/value tuples"):
        Headers(headers)


def test_the_list_is_the_callers_own() -> None:
    mine = [("a", "b"), ("c", "d")]
    headers = Headers(mine)
    mine.append(("e", "f"))
    assert headers["E"] == "f"
    headers["A"] = "z"
    del headers["c"]
    assert mine == [("e", "f"), ("A", "z")]
    assert headers.items() == mine and headers.items() is not mine


def test_items_that_are_lists_in_the_callers_list_are_read_as_in_the_original() -> None:
    headers = Pair([("a", "b")])
    for items in headers.items:
        items.append(["C", "d"])
    for act in (
        str,
        lambda headers: headers["c"],
        lambda headers: headers.get_all("C"),
        lambda headers: headers.keys(),
    ):
        headers.do(act)
    headers.do(lambda headers: delete(headers, "c"))


def test_overridden_methods_are_the_ones_that_are_called() -> None:
    called: list[str] = []

    class Told(Headers):
        def __init__(self, more: str, *, headers: list[tuple[str, str]]) -> None:
            super().__init__(headers)
            self.more = more

        def get(self, name: str, default: Any = None) -> Any:
            called.append("get")
            return super().get(name, default)

        def __delitem__(self, name: str) -> None:
            called.append("del")
            super().__delitem__(name)

        def __str__(self) -> str:
            return "told"

    headers = Told("more", headers=[("a", "b")])
    assert (headers["A"], "a" in headers, headers.setdefault("a", "c")) == ("b", True, "b")
    headers["a"] = "d"
    assert called == ["get", "get", "get", "del"]
    assert bytes(headers) == b"told"
    assert repr(headers) == "Told([('a', 'd')])" and headers.more == "more"


def test_bytes_are_latin_1_and_what_is_not_raises() -> None:
    assert bytes(Headers([("a", "\xe5")])) == b"a: \xe5\r\n\r\n"
    assert bytes(Headers([("a", "b")])) == b"a: b\r\n\r\n"
    with pytest.raises(UnicodeEncodeError):
        bytes(Headers([("a", "€")]))


@pytest.mark.parametrize("control", [chr(number) for number in (*range(32), 127)])
def test_control_characters_are_refused(control: str) -> None:
    """As the original does in versions newer than our oldest: they would end the field."""
    headers = Headers()
    with pytest.raises(ValueError, match="Control characters not allowed in headers"):
        headers[f"a{control}"] = "b"
    with pytest.raises(ValueError):
        headers.add_header("a", "b", **{f"c{control}": "d"})
    if control == "\t":
        headers["a"] = f"b{control}"
        return
    for act in (
        lambda: headers.__setitem__("a", f"b{control}"),
        lambda: headers.setdefault("new", f"b{control}"),
        lambda: headers.add_header("a", f"b{control}"),
        lambda: headers.add_header("a", "b", c=f"d{control}"),
        lambda: Headers([("a", f"b{control}")]),
        lambda: Headers([(f"a{control}", "b")]),
    ):
        with pytest.raises(ValueError):
            act()
    assert headers.items() == []


def test_items_are_checked_with_optimization_too() -> None:
    """The original leaves that to `__debug__`."""
    program = "from whiskyjack.wsgiref.headers import Headers\nHeaders([('a', 1)])"
    ended = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "must be of type str (got 1)" in ended.stderr


def test_signatures_and_names_are_the_originals() -> None:
    for name, method in vars(original.Headers).items():
        if not name.startswith("_"):
            ours = inspect.signature(getattr(Headers, name)).parameters
            assert list(ours) == list(inspect.signature(method).parameters), name
    assert list(inspect.signature(Headers).parameters) == ["headers"]
    assert tspecials.pattern.replace("\\", "") == original.tspecials.pattern.replace("\\", "")
