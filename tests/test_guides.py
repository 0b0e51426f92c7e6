"""The guides, from an empty directory, as they are written: in a fresh virtual environment, from a wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.server import ADDRESS, DEADLINE, ROOT, environment
from tests.support.terminal import Terminal, in_terminal

HEADING = "## From an empty directory\n"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVES = re.compile(
    r"flask .*\brun\b|whiskyjack (?!migrate|check|--check)|gunicorn |python manage\.py (runserver|serve)"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of what is here, compiled as the module under test is."""
    into = tmp_path_factory.mktemp("wheel")
    found = shutil.which("maturin", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("maturin is not beside this Python, so that no wheel can be built")
    tag = f"{sys.version_info[0]}.{sys.version_info[1]}{'t' if 't' in sys.abiflags else ''}"
    ended = subprocess.run(
        [found, "build", "--quiet", "--out", str(into), "--interpreter", sys.executable, "--auditwheel", "skip"],
        cwd=ROOT,
        env={**environment(), "CARGO_TARGET_DIR": str(ROOT / f"target/python-{tag}")},
        capture_output=True,
        text=True,
        timeout=20 * DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (built,) = into.iterdir()
    return built


@dataclass
class Reader:
    """Somebody who does what a guide says, and looks whether what comes is what stands there."""

    directory: Path
    variables: Mapping[str, str]
    # the server that was started last, in a terminal of its own
    servers: ExitStack = field(default_factory=ExitStack)
    port: str | None = None

    def write(self, text: str) -> None:
        first, _, rest = text.partition("\n")
        name = first.removeprefix("# ").partition(",")[0]
        with (self.directory / name).open("a" if first.endswith("at its end") else "w") as file:
            file.write(f"\n{rest}")

    def type(self, command: str) -> str:
        if SERVES.match(command):
            self.start(command)
            return ""
        if self.port is not None:
            # Every server of the tests has a free port, which the guide cannot know.
            command = re.sub(r"(http://127\.0\.0\.1):\d+", rf"\1:{self.port}", command)
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.directory,
            env=environment(self.variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10 * DEADLINE,
            check=False,
        )
        if command.startswith("pip install") and re.search("No matching distribution|Connection", ended.stderr):
            pytest.skip(f"{command} needs the package index: {ended.stderr.strip().splitlines()[-1]}")
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def start(self, command: str) -> None:
        self.servers.close()
        if command.endswith("runserver"):
            command += " 0"  # it knows no variable for it
        line = ["bash", "-c", f"exec {command}"]
        terminal: Terminal = self.servers.enter_context(in_terminal(line, self.directory, self.variables))
        self.port = terminal.wait_for(ADDRESS.pattern)


@pytest.fixture
def reader(tmp_path: Path, wheel: Path) -> Iterator[Reader]:
    directory = tmp_path / "empty"
    directory.mkdir()
    constraint = tmp_path / "constraint.txt"
    constraint.write_text(f"whiskyjack == {wheel.name.split('-')[1]}\n")
    python = Path(os.path.realpath(sys.executable)).parent
    variables = {
        "PATH": os.pathsep.join([str(directory / ".venv/bin"), str(python), os.environ["PATH"]]),
        "VIRTUAL_ENV": str(directory / ".venv"),
        "PIP_CONSTRAINT": str(constraint),
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "FLASK_RUN_PORT": "0",
        "WHISKYJACK_BIND": "127.0.0.1:0",
        "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:0",
    }
    reader = Reader(directory, variables)
    with reader.servers:
        yield reader


@pytest.mark.parametrize("guide", ["flask", "django", "from-gunicorn"])
def test_a_guide_holds_from_an_empty_directory(reader: Reader, guide: str) -> None:
    page = (ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8")
    section = page.partition(HEADING)[2].partition("\n## ")[0]
    typed = 0
    for kind, text in FENCE.findall(section):
        if kind != "console":
            reader.write(text)
            continue
        for asked in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, told = asked.partition("\n")
            answer = reader.type(command)
            assert told in ("", answer), f"{command}\n{answer}"
            typed += 1
    assert typed >= 6
