"""Live server tests on Whiskyjack's engine: `LiveServerTestCase` and `StaticLiveServerTestCase`, as Django has them."""

from __future__ import annotations

from django.contrib.staticfiles.testing import StaticLiveServerTestCase as _StaticLiveServerTestCase
from django.test import testcases

from whiskyjack.contrib.django.server import ThreadedWSGIServer

__all__ = ["LiveServerTestCase", "LiveServerThread", "StaticLiveServerTestCase"]


class LiveServerThread(testcases.LiveServerThread):  # type: ignore[misc]
    """The thread that serves while the tests run; for `server_thread_class` of test cases of your own."""

    server_class = ThreadedWSGIServer


class LiveServerTestCase(testcases.LiveServerTestCase):  # type: ignore[misc]
    server_thread_class = LiveServerThread


class StaticLiveServerTestCase(_StaticLiveServerTestCase):  # type: ignore[misc]
    server_thread_class = LiveServerThread
