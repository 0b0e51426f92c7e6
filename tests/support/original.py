"""Puts the same to ours and to the standard library's, and compares what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def outcome(act: Callable[[], object]) -> tuple[str, object]:
    """What an act returns, or which exception it raises with which words."""
    try:
        return "returned", act()
    except Exception as error:
        return type(error).__name__, str(error)


def same(ours: Callable[..., object], theirs: Callable[..., object], *arguments: Any, **named: Any) -> object:
    """What both give for the arguments."""
    given = outcome(lambda: ours(*arguments, **named))
    expected = outcome(lambda: theirs(*arguments, **named))
    assert given == expected, (arguments, named)
    return given[1]
