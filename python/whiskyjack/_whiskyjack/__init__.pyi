from collections.abc import Sequence

from whiskyjack._whiskyjack import wsgiref as wsgiref

__all__ = ["__version__", "main", "wsgiref"]

__version__: str

# runs the whiskyjack command and returns its exit code
def main(argv: Sequence[str]) -> int: ...
