"""The virtual environment that holds every server, and what is compiled beside it. Knows no server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
APPS = BENCH / "apps"
BUILD = BENCH / "build"


class UnavailableError(Exception):
    """Why a server can't be measured here, or not in this scenario."""


class WrongAnswerError(UnavailableError):
    """A server answered, and wrongly: it is not timed."""


class Environment:
    """A virtual environment that holds servers."""

    def __init__(self, directory: Path, interpreter: str = sys.executable) -> None:
        self.directory = directory
        self.interpreter = interpreter
        self.python = directory / "bin" / "python"

    def create(self) -> None:
        """Makes it anew where it is missing or of another Python."""
        library = _said([self.interpreter, "-c", "import os; print(os.path.basename(os.path.dirname(os.__file__)))"])
        if self.python.exists() and (self.directory / "lib" / library).exists():
            return
        subprocess.run([self.interpreter, "-m", "venv", "--clear", str(self.directory)], check=True)

    def install(self, *requirements: str, **variables: str) -> None:
        """Installs packages, if they are not there in the version that is named. Raises UnavailableError with what
        pip said. `variables` are for what it builds."""
        if all(self._has(requirement) for requirement in requirements):
            return
        command = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        # What a build needs may lie in the environment itself.
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [*command, *requirements],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **variables, "PATH": path},
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
        return _said([str(self.python), "-c", code, *arguments])

    def command(self, name: str) -> str:
        """The path of a command that a package brought."""
        return str(self.directory / "bin" / name)


# Names the interpreter whose threads run at the same time.
FREE_THREADED = "BENCH_FREE_THREADED"


def free_threaded() -> str:
    """The free-threaded interpreter to measure threads with: the one that is named, our own, or one on the path.
    Raises UnavailableError where there is none."""
    if named := os.environ.get(FREE_THREADED):
        if _is_free_threaded(named):
            return named
        raise UnavailableError(f"{FREE_THREADED}={named} is no free-threaded interpreter")
    for interpreter in (sys.executable, "python3.15t", "python3.14t"):
        if _is_free_threaded(interpreter):
            return interpreter
    raise UnavailableError(f"no free-threaded interpreter; name one by {FREE_THREADED}=/path/to/python3.14t")


def _is_free_threaded(interpreter: str) -> bool:
    try:
        return _said([interpreter, "-c", "import sys; print(sys._is_gil_enabled())"]) == "False"
    except (OSError, subprocess.CalledProcessError):
        return False


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def compile_c(name: str, sources: list[str], *flags: str) -> Path:
    """Compiles a C program of ours into bench/build. Raises UnavailableError with what the compiler said."""
    BUILD.mkdir(exist_ok=True)
    options = ["-O2", "-Wall", "-Wextra", "-pthread"]
    command = ["cc", *options, "-o", str(BUILD / name), *(str(BENCH / one) for one in sources), *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UnavailableError("there is no C compiler: apt-get install gcc") from error
    if done.returncode != 0:
        raise UnavailableError(f"cc failed: {reason(done.stderr)}")
    return BUILD / name


def has_llvm_tools() -> bool:
    """Whether the compiler has the tool that makes a profile ready for it (`rustup component add llvm-tools`)."""
    try:
        sysroot = _said(["rustc", "--print", "sysroot"])
    except (OSError, subprocess.CalledProcessError):
        return False
    return any(Path(sysroot).glob("lib/rustlib/*/bin/llvm-profdata"))


def reason(stderr: str) -> str:
    """The line of an installer's or compiler's output that says most: its first error, else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() and "subprocess" not in line.lower()]
    return (errors or lines or ["it said nothing"])[0 if errors else -1]
