"""A control group of the test's own with only so much memory. Linux, and only where the test may make one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")


def _parents() -> Iterator[tuple[Path, str]]:
    """Where a group might be made, and the file that limits its memory there: of version 2, then of version 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in sorted(lines, key=lambda line: int(line.partition(":")[0])):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            # A group of version 2 that has processes may have no groups with limits, but the root may.
            yield ROOT / path.lstrip("/"), "memory.max"
            yield ROOT, "memory.max"
        if "memory" in controllers.split(","):
            yield ROOT / "memory" / path.lstrip("/"), "memory.limit_in_bytes"


def _make(parent: Path, limit: str, most: int) -> Path:
    group = parent / f"whiskyjack-test-{os.getpid()}"
    group.mkdir()
    try:
        if not (group / limit).exists():
            raise FileNotFoundError(f"{parent} hands no memory controller on")
        (group / limit).write_text(str(most))
        # Without swap there is none of these files, or none that could be written.
        with contextlib.suppress(OSError):
            (group / "memory.swap.max").write_text("0")
        with contextlib.suppress(OSError):
            (group / "memory.memsw.limit_in_bytes").write_text(str(most))
    except OSError:
        group.rmdir()
        raise
    return group


@contextlib.contextmanager
def memory_limited(most: int) -> Iterator[list[str]]:
    """Words to put before a command, so that it and all that it starts have so many bytes together.

    All of them must have ended when the context ends.
    """
    whys = []
    for parent, limit in _parents():
        if not parent.is_dir():
            continue
        try:
            group = _make(parent, limit, most)
        except OSError as error:
            whys.append(str(error))
            continue
        try:
            yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
        finally:
            group.rmdir()
        return
    pytest.skip(f"no control group with a limit of memory can be made here: {'; '.join(whys) or 'there is none'}")
