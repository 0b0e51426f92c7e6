"""Whiskyjack, a WSGI server written in Rust."""

from whiskyjack._whiskyjack import RequestTimeout, __version__

__all__ = ["RequestTimeout", "__version__"]
