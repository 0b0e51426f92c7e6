"""What a build that is guided by a profile is trained with: without it the profile would be empty."""

from __future__ import annotations

import subprocess
import sys

from tests.support.server import ROOT, environment

SCRIPT = ROOT / "scripts" / "train.py"


def train(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=environment({"PYTHONPATH": str(SCRIPT.parent)}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_training_asks_a_server_of_every_kind() -> None:
    done = train(str(SCRIPT), "0.01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) >= 5


def test_an_answer_that_is_not_as_it_should_be_ends_the_training() -> None:
    wrong = "import sys, train; train.APPLICATION = train.APPLICATION.replace('404', '200'); sys.exit(train.main(0.01))"
    done = train("-c", wrong)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("training: GET /nowhere was answered with b'HTTP/1.1 200")
