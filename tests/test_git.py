"""git pushes to and clones from dulwich's application, with chunked and with compressed request bodies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.apps.bodies import made, told
from tests.conftest import Serve
from tests.support.programs import program, run
from tests.support.wire import get, send

COMMITS = 60
SIZE = 50_000


def history() -> bytes:
    """For git fast-import: each commit adds a file, and has a branch of its own so that a clone asks for it by name."""
    stream = []
    for number in range(COMMITS):
        content = made(number * SIZE, SIZE)
        stream.append(
            b"commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 0\nM 644 inline file%d\ndata %d\n%b\n"
            b"reset refs/heads/branch%d\nfrom refs/heads/main\n\n"
            % (1_000_000_000 + number, number, SIZE, content, number)
        )
    return b"".join(stream)


def git(*arguments: str | Path, cwd: Path, sent: bytes | None = None, trace: Path | None = None) -> bytes:
    settings = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "no_proxy": "*",
        **({"GIT_TRACE_CURL": str(trace), "GIT_TRACE_CURL_NO_DATA": "1"} if trace is not None else {}),
    }
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), program("git", package="git")]
    return run([*command, *arguments], cwd=cwd, sent=sent)


@pytest.mark.parametrize("flags", [(), ("--streaming-uploads",)])
def test_git_pushes_and_clones_a_history_of_megabytes(serve: Serve, flags: tuple[str, ...], tmp_path: Path) -> None:
    pushed, served, cloned = (tmp_path / name for name in ["pushed", "served", "cloned"])
    for repository in [pushed, served]:
        git("init", "--quiet", "--bare", "--initial-branch=main", repository, cwd=tmp_path)
    git("fast-import", "--quiet", cwd=pushed, sent=history())
    server = serve("git_site:application", *flags, env={"REPOSITORY": str(served)})
    url = f"{server.url}/site"

    trace = tmp_path / "trace"
    git("-c", "http.postBuffer=65536", "push", "--quiet", "--mirror", url, cwd=pushed, trace=trace)
    assert "Transfer-Encoding: chunked" in trace.read_text(encoding="utf-8")
    git("clone", "--quiet", "--mirror", url, cloned, cwd=tmp_path)

    git("fsck", "--full", "--strict", cwd=cloned)
    refs = git("for-each-ref", cwd=pushed)
    assert refs.count(b"\n") == COMMITS + 1
    assert git("for-each-ref", cwd=cloned) == git("for-each-ref", cwd=served) == refs
    for number in range(0, COMMITS, 7):
        assert told(git("show", f"main:file{number}", cwd=cloned)) == told(made(number * SIZE, SIZE))
    requests = [tuple(request) for request in json.loads(send(server.port, get("/requests")).body)]
    assert ("git-receive-pack", "identity") in requests and ("git-upload-pack", "gzip") in requests
