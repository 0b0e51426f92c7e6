"""Programs that some tests need beside Python: where they are, or how to get them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

NODE = Path(__file__).resolve().parent.parent / "node"
TIMEOUT = 120


def program(*names: str, package: str) -> str:
    """The first of the names that is installed; without one the test is skipped."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    pytest.skip(f"{names[0]} is not installed: apt-get install {package}")


def run(command: Sequence[str | Path], *, cwd: Path | None = None, sent: bytes | None = None) -> bytes:
    """What a program printed; a failure of the program's is a failure of the test."""
    done = subprocess.run(
        command,
        cwd=cwd,
        input=sent,
        stdin=subprocess.DEVNULL if sent is None else None,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}"
    return done.stdout


def chromium(url: str, directory: Path) -> str:
    """What Chromium makes of a page; its profile is in the directory."""
    browser = program("chromium", "chromium-browser", "google-chrome", package="chromium")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--no-proxy-server",
        f"--user-data-dir={directory}/profile",
    ]
    return run([browser, *flags, "--dump-dom", url], cwd=directory).decode()


@functools.cache
def _without_undici() -> str | None:
    """Installs what the lock file names beside it, once for all runs; says why where that is impossible."""
    wanted = json.loads((NODE / "package.json").read_text(encoding="utf-8"))["dependencies"]["undici"]
    installed = NODE / "node_modules" / "undici" / "package.json"
    if installed.exists() and json.loads(installed.read_text(encoding="utf-8"))["version"] == wanted:
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "undici is not installed, nor is npm: apt-get install npm"
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=NODE, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    return None if done.returncode == 0 else f"undici is not installed, and npm could not get it: {done.stderr}"


def need_undici() -> None:
    """Makes sure that Node finds the undici of the lock file; without npm or its registry the test is skipped."""
    if (why := _without_undici()) is not None:
        pytest.skip(why)
