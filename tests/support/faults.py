"""Faults of the machine, put between a server and the C library by a preloaded library that faults.c becomes."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).with_name("faults.c")
# clock_seconds, accept_error, accept_times, write_error, write_times, interrupting, interrupted
LAYOUT = "=qiiiiii"


def compile_faults(into: Path) -> Path:
    """The library. What builds the server has a C compiler."""
    library = into / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Faults:
    """What is wrong with the machine of one server."""

    def __init__(self, library: Path, told: Path) -> None:
        told.write_bytes(bytes(struct.calcsize(LAYOUT)))
        self.env = {"LD_PRELOAD": str(library), "FAULTS": str(told)}
        with told.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shared.close()

    def step_clock(self, seconds: int) -> None:
        """The wall clock is off by so much."""
        struct.pack_into("=q", self._shared, 0, seconds)

    def fail_accept(self, error: int, times: int) -> None:
        struct.pack_into("=ii", self._shared, 8, error, times)

    def fail_write(self, error: int, times: int) -> None:
        """Writes to regular files fail."""
        struct.pack_into("=ii", self._shared, 16, error, times)

    def interrupt(self, every_other: bool = True) -> None:
        """Every other system call of a thread is interrupted."""
        struct.pack_into("=i", self._shared, 24, every_other)

    @property
    def accept_left(self) -> int:
        """How often accepting is still to fail."""
        return int(struct.unpack_from("=i", self._shared, 12)[0])

    @property
    def interrupted(self) -> int:
        return int(struct.unpack_from("=i", self._shared, 28)[0])
