"""Draws docs/terminal.svg: what the server and a client really say to each other, as two terminals.

Run it where `whiskyjack` is installed: `python docs/picture.py`. It starts the server in a pseudo-terminal on a
free port, asks it a few things with curl, stops it as Ctrl-C would, and draws both transcripts.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent

APPLICATION = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from a whiskyjack\\n"]
"""
SERVER = "whiskyjack --bind 127.0.0.1:0 --access-log - hello:app"
CLIENT = (
    "curl -i {url}",
    "curl -s -o /dev/null -w '%{{http_code}}\\n' -H 'X-Evil : 1' {url}",
    "curl -s -o /dev/null -w '%{{http_code}}\\n' '{url}/birds?page=2' -d name=jay",
)

COLUMNS = 96
ROW = 19
CELL = 7.83
FONT = 13


class Program:
    """A program in a pseudo-terminal, and what it has said."""

    def __init__(self, command: str, directory: Path) -> None:
        self._master, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (40, COLUMNS))
        shell = ["/bin/sh", "-c", f"exec {command}"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "TERM": "xterm-256color", "PATH": path}
        self._process = subprocess.Popen(
            shell, cwd=directory, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
        )
        os.close(terminal)
        self.said = ""

    def hear(self, pattern: str, seconds: float = 20) -> re.Match[str]:
        """Listens until it has said this."""
        until = time.monotonic() + seconds
        while (found := re.search(pattern, self.said)) is None:
            if time.monotonic() > until or not self._listen(until):
                raise SystemExit(f"it did not say {pattern!r}, but:\n{self.said}")
        return found

    def finish(self) -> str:
        """Listens to its end, and gives all that it said."""
        while self._listen(time.monotonic() + 20):
            pass
        self._process.wait()
        return self.said

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def _listen(self, until: float) -> bool:
        left = max(0.0, until - time.monotonic())
        if not select.select([self._master], [], [], left)[0]:
            return False
        try:
            said = os.read(self._master, 65536)
        except OSError:  # Linux says so when the other end is closed
            return False
        self.said += said.decode(errors="replace")
        return bool(said)


@dataclass(frozen=True)
class Look:
    """How letters look."""

    colour: str = "ink"
    bold: bool = False
    dim: bool = False

    def after(self, code: int) -> Look:
        """What an SGR code makes of it; codes that are not in use change nothing."""
        colours = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "ink")
        if code == 0:
            return Look()
        if code in (1, 2, 22):
            return replace(self, bold=code == 1, dim=code == 2)
        if 30 <= code <= 37 or 90 <= code <= 97:
            return replace(self, colour=colours[code % 10])
        if code == 39:
            return replace(self, colour="ink")
        return self


@dataclass(frozen=True)
class Run:
    """Letters of one look, and where they begin."""

    column: int
    text: str
    look: Look


def rows(transcript: str) -> Iterator[list[Run]]:
    """The lines of a transcript, wrapped as a terminal would."""
    look = Look()
    for line in transcript.replace("\r\n", "\n").rstrip("\n").split("\n"):
        runs: list[Run] = []
        column = 0
        for piece in re.split(r"(\x1b\[[0-9;?]*[A-Za-z])", line):
            if piece.startswith("\x1b"):
                if piece.endswith("m"):
                    for code in piece[2:-1].split(";"):
                        look = look.after(int(code or 0))
                continue
            while piece:
                if column == COLUMNS:
                    yield runs
                    runs, column = [], 0
                part, piece = piece[: COLUMNS - column], piece[COLUMNS - column :]
                runs.append(Run(column, part, look))
                column += len(part)
        yield runs


def draw(windows: list[tuple[str, str]]) -> str:
    """Terminals with their titles, one below the other."""
    width = round(COLUMNS * CELL) + 40
    parts: list[str] = []
    top = 0
    for title, transcript in windows:
        lines = list(rows(transcript))
        height = 52 + len(lines) * ROW
        parts.append(
            f'<rect class="window" x="0.5" y="{top + 0.5}" width="{width - 1}" height="{height}" rx="8"/>\n'
            f'<circle cx="20" cy="{top + 18}" r="5.5" fill="#ec6a5e"/>'
            f'<circle cx="38" cy="{top + 18}" r="5.5" fill="#f4bf4f"/>'
            f'<circle cx="56" cy="{top + 18}" r="5.5" fill="#61c554"/>\n'
            f'<text class="title" x="{width / 2}" y="{top + 22}" text-anchor="middle">{escape(title)}</text>\n'
        )
        for number, line in enumerate(lines):
            y = top + 50 + number * ROW
            parts.extend(_letters(run, y) for run in line if run.text.strip())
        top += height + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top - 12}" width="{width}"'
        f' height="{top - 12}" role="img" aria-label="Whiskyjack at work in a terminal">\n'
        f"<style>{_STYLE}</style>\n{''.join(parts)}</svg>\n"
    )


def _letters(run: Run, y: int) -> str:
    kinds = " ".join([run.look.colour, *(["bold"] if run.look.bold else []), *(["dim"] if run.look.dim else [])])
    text = run.text.rstrip()
    lead = len(text) - len(text.lstrip())
    text = text.lstrip()
    x = 20 + (run.column + lead) * CELL
    # The length is given, so that columns stay columns whatever font there is.
    return f'<text class="{kinds}" x="{x:.1f}" y="{y}" textLength="{len(text) * CELL:.1f}">{escape(text)}</text>\n'


_STYLE = f"""
text {{ font: {FONT}px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; }}
.title {{ font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #8b949e; }}
.window {{ fill: #161b22; stroke: #30363d; }}
.ink {{ fill: #dde3e9; }} .black {{ fill: #6e7681; }} .red {{ fill: #ff7b72; }} .green {{ fill: #7ee787; }}
.yellow {{ fill: #e3b341; }} .blue {{ fill: #79c0ff; }} .magenta {{ fill: #d2a8ff; }} .cyan {{ fill: #76e3ea; }}
.bold {{ font-weight: bold; }} .dim {{ opacity: .65; }}
"""


def main() -> None:
    """Records and draws."""
    prompt = "\x1b[1;32m$\x1b[0m "
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "hello.py").write_text(APPLICATION)
        server = Program(SERVER, directory)
        url = server.hear(r"http://127\.0\.0\.1:\d+").group()
        client = ""
        for command in CLIENT:
            line = command.format(url=url)
            client += f"{prompt}{line}\n{Program(line, directory).finish()}"
        server.hear(rf"(?s)(?:HTTP/1\.1\".*){{{len(CLIENT) - 1}}}")
        server.interrupt()
        shown = SERVER.replace(" --bind 127.0.0.1:0", "")
        port = url.rpartition(":")[2]
        windows = [
            ("server", f"{prompt}{shown}\n{server.finish()}"),
            ("client", client),
        ]
        # Any port would do; readers know this one.
        windows = [(title, text.replace(f":{port}", ":8000")) for title, text in windows]
    (HERE / "terminal.svg").write_text(draw(windows))


if __name__ == "__main__":
    main()
