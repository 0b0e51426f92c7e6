"""What is measured: one row a scenario. Knows no server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """A kind of load, and the application that answers it."""

    name: str
    title: str
    # `module:attribute` in bench/apps
    application: str = "plain:hello"
    path: str = "/"
    # what a right answer's body begins with, and its whole length
    begins: bytes = b"Hello, World!"
    length: int = 13
    # a script in bench/wrk
    script: str = "plain.lua"
    connections: int = 64
    # requests that leave in one write
    pipelined: int = 1
    # strings that the interpreter's floor puts into its environ; 0 where the floors don't apply
    floor_strings: int = 8
    # packages that the application needs
    packages: tuple[str, ...] = ()


HELLO = Scenario("hello", "hello, 13 bytes")

SCENARIOS = (
    HELLO,
    Scenario("pipelined", "hello, 16 pipelined", script="pipelined.lua", pipelined=16),
    Scenario(
        "page",
        "10 KB body",
        application="plain:page",
        begins=b"A line of sixty-four bytes",
        length=10240,
    ),
    # Host and the sixteen fields of chrome.lua, where hello has Host alone.
    Scenario("chrome", "a Chrome request head", script="chrome.lua", floor_strings=24),
    Scenario(
        "flask",
        "Flask, a JSON route",
        application="flask_json:app",
        path="/birds/7",
        begins=b"{",
        length=77,
        floor_strings=0,
        packages=("flask==3.1.3",),
    ),
)
