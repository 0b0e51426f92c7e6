"""Runs a program that imports the standard library's `wsgiref`, and gives it ours:

    python -m tests.support.redirected PROGRAM [ARGUMENT...]

That stands for the one change that a user makes in code of their own, where the code is a package's.
"""

from __future__ import annotations

import runpy
import sys

from tests.support.cpython_wsgiref import Redirect


def main() -> None:
    assert not any(name.partition(".")[0] == "wsgiref" for name in sys.modules)
    sys.meta_path.insert(0, Redirect())
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
