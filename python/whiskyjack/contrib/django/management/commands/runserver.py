"""`manage.py runserver`: Django's own, or that of static files, with our server and a socket that outlives reloads."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from django.apps import apps
from django.conf import settings
from django.utils import autoreload

from whiskyjack._development import FailedImport
from whiskyjack._ending import ended_with_the_program
from whiskyjack._whiskyjack import Server
from whiskyjack.contrib.django.server import WSGIServer

if apps.is_installed("django.contrib.staticfiles"):
    from django.contrib.staticfiles.management.commands.runserver import Command as _Command
else:
    from django.core.management.commands.runserver import Command as _Command

# how the process that reloads tells the one that serves which descriptor listens
_VARIABLE = "WHISKYJACK_RUNSERVER_FD"


class Command(_Command):  # type: ignore[misc]
    server_cls: Any = WSGIServer

    def run(self, **options: Any) -> None:
        is_parent = options["use_reloader"] and os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true"
        # What cannot be bound is told by the child, in Django's words.
        listener = self._listen() if is_parent else None
        if listener is None:
            super().run(**options)
            return
        with listener:
            listener.set_inheritable(True)
            os.environ[_VARIABLE] = str(listener.fileno())
            super().run(**options)

    def _listen(self) -> socket.socket | None:
        listener = socket.socket(socket.AF_INET6 if self.use_ipv6 else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.addr, int(self.port)))
            listener.listen(self.server_cls.request_queue_size)
        except (OSError, OverflowError):
            listener.close()
            return None
        # The child serves it beside others that come and go.
        listener.setblocking(False)
        return listener

    def inner_run(self, *args: Any, **options: Any) -> None:
        descriptor = os.environ.pop(_VARIABLE, None)
        if descriptor is None:
            super().inner_run(*args, **options)
            return
        listener = socket.socket(fileno=int(descriptor))
        listener.set_inheritable(False)
        self.server_cls = type(self.server_cls.__name__, (self.server_cls,), {"inherited": listener})
        try:
            super().inner_run(*args, **options)
        except Exception as error:
            # Django prints it, and waits for the next save. Who asks meanwhile is told too.
            _tell(error, listener, self.addr)
            raise


def _tell(error: Exception, listener: socket.socket, host: str) -> None:
    """Answers requests with the error, on a thread that ends with the process."""
    doing = "the project could not be loaded"
    told = FailedImport(doing, error, "", [host]) if settings.DEBUG else FailedImport(doing, None, "", [])
    server = Server(told, listener)

    def serve() -> None:
        with ended_with_the_program(server):
            server.serve()

    threading.Thread(target=serve, name="whiskyjack-error", daemon=True).start()
