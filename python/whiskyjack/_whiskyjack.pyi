from collections.abc import Sequence

__all__ = ["__version__", "main"]

__version__: str

# runs the whiskyjack command and returns its exit code
def main(argv: Sequence[str]) -> int: ...
