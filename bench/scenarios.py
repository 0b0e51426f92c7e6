"""What is measured: one row a scenario. Knows no server."""

from __future__ import annotations

import enum
from dataclasses import dataclass

# The same bytes as in apps/plain.py, written again: an answer is compared with what was meant.
LINE = b"A line of sixty-four bytes, one hundred and sixty of them here.\n"
KILOBYTE = bytes(range(256)) * 4


class Kind(enum.Enum):
    """What is done with a server."""

    # wrk asks as fast as it can
    LOAD = "load"
    # bench/clients/mix.c asks, and tells the fast answers from the slow ones
    MIX = "mix"
    # thousands of connections rest, one is busy
    IDLE = "idle"
    # it is started, and stopped once it has answered
    START = "start"
    # it is loaded with one thread on one core, and with more on as many, in one process without a GIL
    THREADS = "threads"


@dataclass(frozen=True)
class Scenario:
    """A kind of load, and the application that answers it."""

    name: str
    title: str
    # `module:attribute` in bench/apps
    application: str = "plain:hello"
    path: str = "/"
    # what is sent, by POST if it is anything, and the whole body of a right answer
    body: bytes = b""
    answer: bytes = b"Hello, World!"
    kind: Kind = Kind.LOAD
    # a script in bench/wrk
    script: str = "plain.lua"
    connections: int = 64
    # requests that leave in one write
    pipelined: int = 1
    # strings that the interpreter's floor puts into its environ; 0 where the floors don't apply
    floor_strings: int = 0
    # what the application alone costs is measured too, by calling it without a server
    alone: bool = False
    # requests that wait inside the application at once; 0 where it never waits
    waiting: int = 0
    # processes, each of which may have a core of its own
    workers: int = 1
    # threads of one process, each of which may have a core of its own; 0 where that is the server's affair
    threads: int = 0
    # an application of two pieces that waits between them, to see whether the first has left by then: plain:gated
    gated: str = ""
    # how many times as long as the others it is measured, where one batch of answers is a part of a round
    times: int = 1
    # packages that the application needs
    packages: tuple[str, ...] = ()


# What the goals of goals.py say of a scenario is found by its name.
SCENARIOS = (
    Scenario("hello", "hello, 13 bytes", floor_strings=8),
    Scenario("pipelined", "hello, 16 pipelined", script="pipelined.lua", pipelined=16, floor_strings=8),
    Scenario("page", "10 KB body", application="plain:page", answer=LINE * 160, floor_strings=8),
    Scenario("big-page", "100 KB body", application="plain:big_page", answer=LINE * 1600),
    Scenario(
        "stream",
        "ten 1 KB pieces of a generator",
        application="plain:stream",
        answer=LINE * 160,
        gated="plain:gated",
    ),
    Scenario(
        "echo",
        "POST, 1 KB echoed",
        application="plain:echo",
        body=KILOBYTE,
        answer=KILOBYTE,
        script="post.lua",
    ),
    Scenario(
        "big-echo",
        "POST, 100 KB echoed",
        application="plain:echo",
        body=KILOBYTE * 100,
        answer=KILOBYTE * 100,
        script="post.lua",
    ),
    Scenario("file", "1 MB file by wsgi.file_wrapper", application="plain:file", answer=LINE * 16384),
    # Host and the sixteen fields of chrome.lua, where hello has Host alone.
    Scenario("chrome", "a Chrome request head, with cookies", script="chrome.lua", floor_strings=24),
    Scenario(
        "flask",
        "Flask, a JSON route",
        application="flask_json:app",
        path="/birds/7",
        answer=b'{"grams":[65,84],"id":7,"latin":"Perisoreus canadensis","name":"whiskyjack"}\n',
        alone=True,
        packages=("flask==3.1.3",),
    ),
    Scenario(
        "django",
        "Django, a view with a template",
        application="django_view:app",
        path="/birds/7",
        answer=b"<h1>Bird 7</h1><p>whiskyjack</p><p>Perisoreus canadensis</p>\n",
        alone=True,
        times=2,
        packages=("django==5.2.19",),
    ),
    Scenario(
        "sleep", "an application that waits 10 ms, 64 threads", application="plain:sleep", waiting=64, floor_strings=8
    ),
    Scenario("nap", "an application that waits 1 ms, 64 threads", application="plain:nap", waiting=64, floor_strings=8),
    # 64 answers at once, as bjoern sends them, are 4 % of what others' rounds would count here.
    Scenario("burn", "an application that needs 1 ms of Python", application="plain:burn", times=4),
    Scenario(
        "mix",
        "95 % fast, 5 % that wait 100 ms, 64 threads",
        application="plain:mix",
        kind=Kind.MIX,
        waiting=64,
    ),
    Scenario("idle", "5,000 idle connections beside a busy one", kind=Kind.IDLE, connections=5000),
    Scenario("start", "start-up to the first answer", kind=Kind.START),
    Scenario("workers", "1 ms of Python, two workers on two cores", application="plain:burn", workers=2),
    Scenario(
        "threads",
        "1 ms of Python, two threads on two cores without a GIL",
        application="plain:burn",
        kind=Kind.THREADS,
        threads=2,
    ),
    Scenario("hello-threads", "hello, 13 bytes, two threads on two cores without a GIL", kind=Kind.THREADS, threads=2),
)
