"""CPython's own tests of `wsgiref`, run as they are installed, against ours."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import whiskyjack
from tests.support.cpython_wsgiref import LEFT_OUT
from tests.support.server import DEADLINE, environment

RUNNER = Path(__file__).with_name("support") / "cpython_wsgiref.py"


@pytest.mark.skipif(
    importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_wsgiref") is None,
    reason="this Python is installed without its own tests",
)
def test_cpythons_own_tests_pass() -> None:
    package = Path(whiskyjack.__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, str(RUNNER)],
        env=environment({"PYTHONPATH": str(package)}),
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["failed"] == [], ended.stderr
    assert told["standard"] == [], "the standard wsgiref was imported"
    assert len(told["passed"]) >= 20, told
    assert bool(LEFT_OUT) == bool(told["left_out"]), told
