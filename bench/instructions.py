"""Counts the instructions of a request with callgrind. `make instructions`, or `python bench/instructions.py --help`.

They hardly depend on what else a machine does, so that a change of a percent is one. Only the process itself is
counted, not the kernel's work for it. Each figure is the difference between a long run and a short one, divided by the
requests that the one had more than the other: what starting costs drops out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answers import read_answer
from environment import APPS, BENCH, BUILD, UnavailableError
from process import free_port, launched

BASELINE = BENCH / "instructions.json"
CHROME = BENCH / "callgrind" / "chrome.http"

# Counts of a short run and of a long one.
FEW, MANY = 100, 2100

VALGRIND = ["valgrind", "--tool=callgrind", "--compress-strings=no", "--dump-instr=no"]


@dataclass(frozen=True)
class Count:
    """The instructions of one request, or of one turn of what is counted."""

    name: str
    instructions: float
    # of which in each program file or library, the largest first
    of: dict[str, float]


@dataclass(frozen=True)
class Case:
    """Something that is counted: `run` does it so many times, and says what callgrind saw in each library."""

    name: str
    run: Callable[[int], Counter[str]]
    # A server's threads look at each other now and then, more often when the machine is slow: the least is the truest.
    tries: int = 1

    def count(self) -> Count:
        spent = self._least(MANY)
        spent.subtract(self._least(FEW))
        of = {name: number / (MANY - FEW) for name, number in spent.most_common()}
        return Count(self.name, sum(of.values()), of)

    def _least(self, count: int) -> Counter[str]:
        return min((self.run(count) for _ in range(self.tries)), key=Counter.total)


def main() -> int:
    """Parses the flags, counts, compares, prints. Changes, however large, are no failure."""
    parser = argparse.ArgumentParser(prog="bench/instructions.py", description="Counts the instructions of a request.")
    parser.add_argument("--only", metavar="A,B", help="parts of the names of what is counted")
    parser.add_argument("--save", action="store_true", help=f"make this {BASELINE.name}, which later runs compare with")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("instructions: not counted, since there is no valgrind: apt-get install valgrind", file=sys.stderr)
        return 0
    wanted = [
        case for case in _cases() if not options.only or any(part in case.name for part in options.only.split(","))
    ]
    _build()
    counts = []
    for case in wanted:
        print(f"counting {case.name}", file=sys.stderr, flush=True)
        try:
            counts.append(case.count())
        except UnavailableError as error:
            print(f"instructions: {case.name} was not counted: {error}", file=sys.stderr)
    tools = _tools()
    document = {count.name: _rounded(count, tools) for count in counts}
    baseline: dict[str, dict[str, Any]] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    print(_table(document, baseline), end="")
    BUILD.mkdir(exist_ok=True)
    written = BUILD / BASELINE.name
    if options.save:
        # What was not counted now, as that of another Python, stays.
        written, document = BASELINE, baseline | document
    written.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {written.relative_to(BENCH.parent)}")
    return 0


def _cases() -> list[Case]:
    chrome = CHROME.read_bytes()
    hello = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
    rust = [str(_built("examples/hello")), "127.0.0.1:{port}"]
    # Without a supervisor: what callgrind sees of one process would be written over by the other.
    python = [sys.executable, "-m", "whiskyjack", "--workers", "0", "-b", "127.0.0.1:{port}", "plain:hello"]
    page, echo = [*python[:-1], "plain:page"], [*python[:-1], "plain:echo"]
    version = "CPython " + ".".join(platform.python_version_tuple()[:2])
    upload = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024

    def server(name: str, command: list[str], request: bytes, batch: int = 1) -> Case:
        return Case(name, lambda count: _server(command, request, count, batch), tries=2)

    return [
        Case("proto: hello head", lambda count: _program("hello", count)),
        Case("proto: Chrome head", lambda count: _program("chrome", count)),
        Case("proto: body of ten chunks", lambda count: _program("chunked", count)),
        Case("proto: response head", lambda count: _program("response", count)),
        server("Rust server: hello", rust, hello),
        server("Rust server: Chrome head", rust, chrome),
        server(f"{version}: hello", python, hello),
        server(f"{version}: Chrome head", python, chrome),
        server(f"{version}: one of 16 pipelined", python, hello, batch=16),
        server(f"{version}: 10 KB body", page, hello),
        server(f"{version}: POST, 1 KB echoed", echo, upload),
    ]


def _build() -> None:
    for package in (["-p", "whiskyjack-callgrind"], ["-p", "whiskyjack-server", "--example", "hello"]):
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *package], cwd=BENCH.parent, check=True)


def _built(name: str) -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", BENCH.parent / "target")) / "release" / name


def _program(case: str, count: int) -> Counter[str]:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out"
        command = [*VALGRIND, f"--callgrind-out-file={out}", str(_built("whiskyjack-callgrind")), case, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"it failed: {done.stderr.strip().splitlines()[-1]}")
        return read(out)


def _server(command: list[str], request: bytes, count: int, batch: int) -> Counter[str]:
    """Serves so many requests on one connection, one after the other or some in one write."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out"
        filled = [argument.format(port=port) for argument in command]
        started = [*VALGRIND, f"--callgrind-out-file={out}", *filled]
        with launched(started, APPS) as server:
            server.await_start(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
            try:
                _converse(port, request, count, batch)
            except (OSError, ValueError) as error:
                raise UnavailableError(f"it did not answer: {error}") from error
        # What it had counted is written when it ends, with the end of the block.
        return read(out)


def _converse(port: int, request: bytes, count: int, batch: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 60) as connection, connection.makefile("rb") as stream:
        for number in range(count):
            if number % batch == 0:
                connection.sendall(request * min(batch, count - number))
            status, _body = read_answer(stream)
            if status != 200:
                raise UnavailableError(f"an answer was {status}")


def read(out: Path) -> Counter[str]:
    """The instructions in each object file, callees not included (Callgrind Format Specification)."""
    if not out.exists():
        raise UnavailableError("callgrind wrote nothing")
    found: Counter[str] = Counter()
    name = "?"
    is_call = False
    with out.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("ob="):
                name = _object(line[3:].strip())
            elif line.startswith("calls="):
                is_call = True
            elif line[:1] in "0123456789+-*":
                # The line after a call has what the callee cost, which stands with the callee as well.
                if not is_call:
                    found[name] += int(line.split()[-1])
                is_call = False
    return found


def _object(path: str) -> str:
    """A name for people: extension modules and libraries without their versions."""
    return Path(path).name.partition(".")[0]


def _rounded(count: Count, tools: str) -> dict[str, Any]:
    of = {name: round(number) for name, number in count.of.items() if abs(number) >= 1}
    return {"instructions": round(count.instructions), "of": of, "tools": tools}


def _table(counts: dict[str, dict[str, Any]], baseline: dict[str, dict[str, Any]]) -> str:
    """A line for each count, with the change since the baseline."""
    lines = [("instructions for one", "now", "baseline", "change", "of which")]
    others: dict[str, str] = {}
    for name, count in counts.items():
        now, before = count["instructions"], baseline.get(name)
        was = change = ""
        if before:
            was, change = f"{before['instructions']:,}", f"{(now / before['instructions'] - 1) * 100:+.1f} %"
            if before["tools"] != count["tools"]:
                others[before["tools"]] = count["tools"]
        parts = [f"{library} {number:,}" for library, number in count["of"].items() if number >= 50]
        lines.append((name, f"{now:,}", was, change, ", ".join(parts) if len(parts) > 1 else ""))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    text = ""
    for name, *numbers, where in lines:
        cells = [f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True)]
        text += "  ".join([f"{name:<{widths[0]}}", *cells, where]).rstrip() + "\n"
    for then, now in others.items():
        text += f"the baseline was counted with {then}, this with {now}: not all of the change is ours\n"
    return text


def _tools() -> str:
    """What the counts depend on beside our code."""

    def said(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    rustc = " ".join(said("rustc", "--version").split()[:2])
    return f"{rustc}, {said('valgrind', '--version')}, CPython {platform.python_version()}, {platform.machine()}"


if __name__ == "__main__":
    sys.exit(main())
