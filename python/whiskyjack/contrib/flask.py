"""Flask's development server on Whiskyjack's engine: `flask run --server whiskyjack`, or `Whiskyjack(app)` in the code.

Flask asks Werkzeug's `run_simple` to serve; where Whiskyjack was chosen it is given ours, for that one call. All else
(finding the application, the options, FLASK_* variables, messages) stays Flask's. `docs/flask.md` tells more.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click
import flask.cli
from flask import Flask

__all__ = ["Whiskyjack", "run_command"]

_NAME = "whiskyjack"
# what Flask reads --server from, where it is not given
_VARIABLE = "FLASK_RUN_SERVER"


class Whiskyjack:
    """Has `app.run()`, and `flask run` for this application, serve by Whiskyjack."""

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        if _NAME in app.extensions:
            return
        app.extensions[_NAME] = self
        flasks = app.run

        def run(*arguments: Any, **options: Any) -> None:
            # Flask imports it as it is called.
            with _instead_of("werkzeug.serving", _run_simple):
                flasks(*arguments, **options)

        app.run = run  # type: ignore[method-assign]


def _run_simple(*arguments: Any, **options: Any) -> None:
    from whiskyjack.werkzeug.serving import run_simple

    run_simple(*arguments, **options)


@contextmanager
def _instead_of(name: str, run_simple: Callable[..., None]) -> Iterator[None]:
    """Until it is called once, or the block is left, `run_simple` of the module of this name is another."""
    module: Any = import_module(name)
    original = module.run_simple

    def once(*arguments: Any, **options: Any) -> None:
        module.run_simple = original
        run_simple(*arguments, **options)

    module.run_simple = once
    try:
        yield
    finally:
        module.run_simple = original


def _run(server: str | None, **options: Any) -> Any:
    """What `flask run` does: Flask's own, and what it serves with in the end is whose was chosen."""
    flasks: Any = flask.cli.run_command.callback
    if server == "werkzeug":
        return flasks(**options)
    original = getattr(flask.cli, "run_simple", None)
    if original is None:
        if server is None:
            return flasks(**options)
        raise click.UsageError("--server whiskyjack needs Flask 2.2 or newer")

    def chosen(host: str, port: int, app: Any, **rest: Any) -> None:
        if server is None and _NAME not in getattr(app, "extensions", {}):
            original(host, port, app, **rest)
        else:
            # A child of the reloader whose application cannot be imported has nothing else to know it from.
            os.environ[_VARIABLE] = _NAME
            _run_simple(host, port, app, **rest)

    with _instead_of("flask.cli", chosen):
        return flasks(**options)


# What `flask` finds as its command `run` where Whiskyjack is installed: Flask's own, with one option more.
run_command = copy.copy(flask.cli.run_command)
run_command.callback = _run
run_command.params = [
    *flask.cli.run_command.params,
    click.Option(
        ["--server"],
        type=click.Choice(["werkzeug", _NAME]),
        default=None,
        help="Which server serves: Werkzeug's, which is the default, or Whiskyjack.",
    ),
]
