from collections.abc import Sequence

from whiskyjack._whiskyjack import wsgiref as wsgiref

__all__ = ["RequestTimeout", "__version__", "main", "wsgiref"]

__version__: str

# raised in a thread whose request is past its deadline, where --timeout-action is raise
class RequestTimeout(BaseException): ...

# runs the whiskyjack command and returns its exit code
def main(argv: Sequence[str]) -> int: ...
