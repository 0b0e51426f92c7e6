"""Lines for the logger `werkzeug`, which is set up where nobody has done it. Knows no server."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

_COLOURS = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "magenta": 35, "cyan": 36}


def log(kind: str, message: str, *arguments: Any) -> None:
    """Log at the level of that name. Without a level the logger gets INFO, and without any handler one for stderr."""
    logger = logging.getLogger("werkzeug")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())
    getattr(logger, kind)(message.rstrip(), *arguments)


def styled(text: str, *styles: str) -> str:
    """The text in colour, if a terminal is to show it."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        return text
    return "".join(f"\x1b[{_COLOURS[style]}m" for style in styles) + text + "\x1b[0m"


def styled_by_status(text: str, code: str) -> str:
    match code[:1], code:
        case _, "200":
            return text
        case _, "304":
            return styled(text, "cyan")
        case _, "404":
            return styled(text, "yellow")
        case "1", _:
            return styled(text, "bold")
        case "2", _:
            return text
        case "3", _:
            return styled(text, "green")
        case "4", _:
            return styled(text, "bold", "red")
        case _:
            return styled(text, "bold", "magenta")
