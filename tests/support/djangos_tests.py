"""Runs some of Django's own tests with our classes in the place of those of `django.core.servers.basehttp`:

python -m tests.support.djangos_tests DIRECTORY_OF_THE_TESTS LABEL...
"""

from __future__ import annotations

import os
import runpy
import sys

from django.core.servers import basehttp

from whiskyjack.contrib.django import server


def main() -> None:
    basehttp.WSGIServer = server.WSGIServer
    basehttp.ThreadedWSGIServer = server.ThreadedWSGIServer
    from django.test import testcases

    assert testcases.LiveServerThread.server_class is server.ThreadedWSGIServer
    directory, *labels = sys.argv[1:]
    os.chdir(directory)
    sys.path.insert(0, directory)
    sys.argv = ["runtests.py", "--parallel=1", "--verbosity=2", "--noinput", *labels]
    runpy.run_path("runtests.py", run_name="__main__")


if __name__ == "__main__":
    main()
