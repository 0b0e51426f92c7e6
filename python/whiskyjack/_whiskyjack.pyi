from collections.abc import Sequence

__all__ = ["__version__", "main"]

__version__: str

def main(argv: Sequence[str]) -> int:
    """Runs the whiskyjack command and returns its exit code."""
