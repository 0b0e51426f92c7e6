"""What stands around an application, or in its place, in development mode: the debugger and the page for errors."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from whiskyjack._error_page import Page, page

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_FAILED = "500 Internal Server Error"


def debugged(application: WSGIApplication, hosts: Iterable[str], evalex: bool = True) -> WSGIApplication:
    """The application under Werkzeug's debugger, or, without Werkzeug, with a page of ours for what it raises.

    Either shows itself only to who calls the server by a name of this machine, or by one of these: a page in
    a browser can have any other name lead here.
    """
    try:
        debug: Any = import_module("werkzeug.debug")
    except ImportError:
        return ErrorPage(application, hosts)
    debugger = debug.DebuggedApplication(application, evalex=evalex, pin_logging=False)
    debugger.trusted_hosts += hosts
    return debugger  # type: ignore[no-any-return]


def tell_pin(application: WSGIApplication) -> None:
    """Log how to unlock the debugger, if it is one that has a lock."""
    from whiskyjack.werkzeug._log import log

    if isinstance(application, ErrorPage):
        return
    pin = getattr(application, "pin", None)
    log("warning", " * Debugger is active!")
    if pin is None:
        log("warning", " * Debugger PIN disabled. DEBUGGER UNSECURED!")
    else:
        log("info", " * Debugger PIN: %s", pin)


def is_trusted(environ: WSGIEnvironment, hosts: Iterable[str]) -> bool:
    """Whether the request names this machine, or one of the hosts."""
    name = str(environ.get("HTTP_HOST", "")).lower()
    if name.rpartition(":")[2].isdigit():
        name = name.rpartition(":")[0]
    name = name.strip("[]")
    return name in ("localhost", "127.0.0.1", "::1", *hosts) or name.endswith(".localhost")


class ErrorPage:
    """Shows what the application raises to the developer, where nothing was sent yet."""

    def __init__(self, application: WSGIApplication, hosts: Iterable[str]) -> None:
        self.application = application
        self.hosts = tuple(host.strip("[]").lower() for host in hosts)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        response: Iterable[bytes] = ()
        try:
            response = self.application(environ, start_response)
            yield from response
        except Exception as error:
            if not is_trusted(environ, self.hosts):
                raise
            # Without our own frame, which is the first.
            error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
            found = page(f"{environ.get('REQUEST_METHOD')} raised an exception", error, "", environ)
            # This raises the exception again where something was sent: then it is the server's to log.
            start_response(_FAILED, found.headers(), sys.exc_info())
            environ["wsgi.errors"].write("".join(traceback.format_exception(error)))
            yield found.body
        finally:
            close: Callable[[], object] | None = getattr(response, "close", None)
            if close is not None:
                close()


class FailedImport:
    """Stands in the place of an application that could not be imported, until it can."""

    def __init__(self, doing: str, error: BaseException | None, text: str, hosts: Iterable[str]) -> None:
        self.doing = doing
        self.error = error
        self.text = text
        self.hosts = tuple(host.strip("[]").lower() for host in hosts)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if is_trusted(environ, self.hosts):
            shown = page(self.doing, self.error, self.text, environ)
        else:
            told = f"{self.doing}: see the server's terminal, or ask by the name localhost\n"
            shown = Page("text/plain; charset=utf-8", told.encode())
        start_response(_FAILED, shown.headers())
        return [shown.body]
