from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from whiskyjack._whiskyjack import wsgiref as wsgiref

__all__ = ["FileWatcher", "Request", "RequestTimeout", "Server", "__version__", "main", "wsgiref"]

__version__: str

# raised in a thread whose request is past its deadline, where --timeout-action is raise
class RequestTimeout(BaseException): ...

# what was asked for, as the hooks of a Server see it; attributes of their own may be kept on it
class Request:
    __dict__: dict[str, Any]
    # as in a socket's address; empty text over a Unix socket
    @property
    def client_address(self) -> tuple[str, int] | tuple[str, int, int, int] | str: ...
    # these are empty where what came was no request
    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def line(self) -> str: ...
    @property
    def fields(self) -> list[tuple[str, str]]: ...

class _Socket(Protocol):
    def fileno(self) -> int: ...

# serves one application from one socket that listens, once; settings are those of the whiskyjack command, but one
# thread by default
class Server:
    def __init__(
        self,
        application: Callable[..., Any],
        socket: _Socket,
        *,
        # what environs begin with, beneath all that the server sets; its HTTP_* and CONTENT_* are left out
        process_environ: Mapping[str, Any] | None = None,
        # looked at for each connection: what it has stands over what the server says of one, such as SERVER_NAME
        base_environ: dict[str, Any] | None = None,
        # SERVER_SOFTWARE
        server_software: str | None = None,
        # after each request: the request, the status (0: none was sent), the bytes of the body, the seconds it took
        on_request: Callable[[Request, int, int, float], object] | None = None,
        # after each fault of the application, instead of a traceback on sys.stderr
        on_error: Callable[[Request, BaseException], object] | None = None,
        # every `tick` seconds, on the thread that serves, between two requests; what it raises comes out of serve()
        on_tick: Callable[[], object] | None = None,
        tick: float = 0.5,
        **settings: str | float | bool,
    ) -> None: ...
    # serves on the calling thread until one of the others is called, from wherever
    def serve(self) -> None: ...
    # takes nothing new and lets what is under way finish, within graceful_timeout
    def drain(self) -> None: ...
    # cuts off what is under way
    def stop(self) -> None: ...
    # drain(), and waits for the end; not from inside the application
    def shutdown(self) -> None: ...
    @property
    def connections(self) -> int: ...
    # the request that the calling thread answers, where there is a hook
    @staticmethod
    def current() -> Request | None: ...

# watches the files of what the process has imported and of what can be imported from Python's path, and extra ones
class FileWatcher:
    def __init__(
        self,
        *,
        # whether the system tells of changes; where not, files are looked at in this interval, in seconds
        events: bool,
        interval: float,
        # files, and directories all below which counts
        extra_files: Sequence[str | PathLike[str]],
        # as with fnmatch, of whole paths
        exclude_patterns: Sequence[str],
    ) -> None: ...
    # what tells of changes: inotify, FSEvents, kqueue or stat
    @property
    def name(self) -> str: ...
    # waits until files have changed, and returns them; handlers of signals run meanwhile
    def wait(self) -> list[Path]: ...

# runs the whiskyjack command and returns its exit code
def main(argv: Sequence[str]) -> int: ...
