"""What Werkzeug has of a server, on Whiskyjack's engine: see `whiskyjack.werkzeug.serving`."""

from whiskyjack.werkzeug.serving import run_simple

__all__ = ["run_simple"]
