"""Django's own tests of its development server, from its source distribution, against our classes."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import django
import pytest

from tests.support.server import DEADLINE, ROOT, environment

# Tests that hold Django to what we do otherwise, each with the reason.
LEFT_OUT = {
    "servers.tests.LiveServerViews.test_closes_connection_without_content_length": (
        "a response without a length comes in chunks, so that the connection need not end with it"
    ),
    "servers.tests.SingleThreadLiveServerViews.test_closes_connection_with_content_length": (
        "a connection that stays alive holds up nobody, with one thread neither"
    ),
    "servers.tests.LiveServerViews.test_keep_alive_on_connection_with_content_length": (
        "who sends Connection: close is answered with it (RFC 9112 9.6)"
    ),
    "servers.tests.LiveServerViews.test_keep_alive_connection_clears_previous_request_data": (
        "who sends Connection: close is answered with it (RFC 9112 9.6)"
    ),
}
# With a database in memory, which the connections share, these are skipped: there is nothing to close.
OF_FILES = [
    "servers.tests.LiveServerTestCloseConnectionTest.test_closes_connections",
    "servers.test_liveserverthread.LiveServerThreadTest.test_closes_connections",
]
ON_FILES = """
from test_sqlite import *
for alias, database in DATABASES.items():
    database["TEST"] = {{"NAME": "{directory}/" + alias}}
"""


@pytest.fixture(scope="module")
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the tests that belong to the Django which is installed."""
    version = django.get_version()
    cache: Path = request.config.cache.mkdir("django")
    kept = cache / f"{version}.tar.gz"
    if not kept.exists():
        into = tmp_path_factory.mktemp("download")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        ended = subprocess.run(
            [*command, "--no-binary", ":all:", "--dest", str(into), f"django=={version}"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10 * DEADLINE,
            check=False,
        )
        if ended.returncode != 0:
            pytest.skip(f"the source of Django {version} cannot be had: {ended.stderr.strip().splitlines()[-1]}")
        (found,) = into.iterdir()
        found.replace(kept)
    unpacked = tmp_path_factory.mktemp("django")
    with tarfile.open(kept) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return source / "tests"


def outcomes(suite: Path, labels: Sequence[str], *, path: Path | None = None) -> dict[str, str]:
    """How each test ended, by its name."""
    places = [str(ROOT), *([str(path)] if path else [])]
    variables = {"PYTHONPATH": ":".join(places), "PYTHONWARNINGS": "default"}
    if path is not None:
        variables["DJANGO_SETTINGS_MODULE"] = "on_files"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.djangos_tests", str(suite), *labels],
        env=environment(variables),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    # Its name, perhaps the first line of its description, and how it ended.
    told = dict(re.findall(r"^test\w+ \(([\w.]+)\)(?:\n.*?)? \.\.\. (\w+)", ended.stderr, re.MULTILINE))
    count = re.search(r"^Ran (\d+) test", ended.stderr, re.MULTILINE)
    # CPython 3.12.1 does not count those that it skips.
    skipped = list(told.values()).count("skipped")
    assert count is not None and int(count[1]) in (len(told), len(told) - skipped), ended.stderr
    return told


def test_all_pass_but_those_that_are_listed(suite: Path) -> None:
    ended = outcomes(
        suite, ["servers", "staticfiles_tests.test_liveserver", "file_storage.tests.FileLikeObjectTestCase"]
    )
    assert {name for name, how in ended.items() if how not in ("ok", "skipped")} == set(LEFT_OUT), ended
    assert {name for name, how in ended.items() if how == "skipped"} == set(OF_FILES)
    assert list(ended.values()).count("ok") >= 25


def test_connections_to_databases_in_files_are_closed(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "on_files.py").write_text(ON_FILES.format(directory=tmp_path))
    assert outcomes(suite, OF_FILES, path=tmp_path) == dict.fromkeys(OF_FILES, "ok")
