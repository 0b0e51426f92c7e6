"""The virtual environment that holds every server, and what is compiled beside it. Knows no server."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

BENCH = Path(__file__).resolve().parent
APPS = BENCH / "apps"
BUILD = BENCH / "build"


class UnavailableError(Exception):
    """Why a server can't be measured here, or not in this scenario."""


class WrongAnswerError(UnavailableError):
    """A server answered, and wrongly: it is not timed."""


class Environment:
    """The virtual environment that holds every server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / "bin" / "python"

    def create(self) -> None:
        """Makes it anew where it is missing or of another Python."""
        version = sysconfig.get_python_version()
        if self.python.exists() and (self.directory / "lib" / f"python{version}").exists():
            return
        arguments = [sys.executable, "-m", "venv", "--clear", str(self.directory)]
        subprocess.run(arguments, check=True)

    def install(self, *requirements: str) -> None:
        """Installs packages, if they are not there in the version that is named. Raises UnavailableError with what
        pip said."""
        if all(self._has(requirement) for requirement in requirements):
            return
        command = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        # What a build needs may lie in the environment itself.
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [*command, *requirements], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
        )
        if done.returncode != 0:
            raise UnavailableError(f"pip install {' '.join(requirements)} failed: {reason(done.stderr)}")

    def _has(self, requirement: str) -> bool:
        """Whether a requirement of one version is met. Others are pip's to look at."""
        name, _, version = requirement.partition("==")
        found = self.directory.glob(f"lib/python*/site-packages/*-{version}.dist-info")
        return bool(version) and name.lower() in {path.name.partition("-")[0].lower() for path in found}

    def run(self, code: str, *arguments: str) -> str:
        """What a line of Python prints in it."""
        command = [str(self.python), "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def command(self, name: str) -> str:
        """The path of a command that a package brought."""
        return str(self.directory / "bin" / name)


def compile_c(name: str, sources: list[str], *flags: str) -> Path:
    """Compiles a C program of ours into bench/build. Raises UnavailableError with what the compiler said."""
    BUILD.mkdir(exist_ok=True)
    command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(BUILD / name), *(str(BENCH / one) for one in sources), *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UnavailableError("there is no C compiler: apt-get install gcc") from error
    if done.returncode != 0:
        raise UnavailableError(f"cc failed: {reason(done.stderr)}")
    return BUILD / name


def reason(stderr: str) -> str:
    """The line of an installer's or compiler's output that says most: its first error, else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() and "subprocess" not in line.lower()]
    return (errors or lines or ["it said nothing"])[0 if errors else -1]
